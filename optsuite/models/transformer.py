"""A decoder-only transformer over tokens. Its attention is written out, so that runs can be stacked."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal self-attention: (B, T, width) -> (B, T, width)."""

    mask: Tensor

    def __init__(self, width: int, n_heads: int, context: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.register_buffer("mask", torch.ones(context, context).triu(1).bool())

    def forward(self, x: Tensor) -> Tensor:
        """Each position attends to itself and what is before it."""
        split = self.queries_keys_values(x).unflatten(-1, (3, self.n_heads, -1)).movedim(-3, 0)
        queries, keys, values = split.transpose(-2, -3)  # each (B, heads, T, width / heads)
        weights = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
        length = x.shape[-2]
        weights = weights.masked_fill(self.mask[:length, :length], -math.inf).softmax(dim=-1)
        mixed: Tensor = self.output((weights @ values).transpose(-2, -3).flatten(-2))
        return mixed


class Block(nn.Module):
    """Attention and a dense network four times as wide, each on normalised inputs and added to them."""

    def __init__(self, width: int, n_heads: int, context: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width, bias=False), Attention(width, n_heads, context))
        self.expand = nn.Sequential(nn.LayerNorm(width, bias=False), nn.Linear(width, 4 * width, bias=False), nn.GELU())
        self.contract = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        x = x + self.attention(x)
        added: Tensor = self.contract(self.expand(x))
        return x + added


class Transformer(nn.Module):
    """Tokens (B, T) to scores of the next one (B, T, n_tokens); the table of tokens is that of the scores, too.

    Weights start at N(0, 0.02^2), those that add to the residual stream smaller by the root of their number.
    Source: Radford et al. 2019, as nanoGPT has it, without biases.
    """

    def __init__(self, *, n_tokens: int, context: int, width: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(n_tokens, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.Sequential(*(Block(width, n_heads, context) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                adds = name.endswith(("output.weight", "contract.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * n_layers) if adds else 1))

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers of any dtype."""
        embedded = self.tokens(x.long()) + self.positions[: x.shape[-1]]
        return F.linear(self.norm(self.blocks(embedded)), self.tokens.weight)


def next_character(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats a character: outputs (B, T, n_tokens), targets (B, T)."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten().long())
