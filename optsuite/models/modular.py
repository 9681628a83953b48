"""The transformer of one layer that learns to add modulo a number."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ModularTransformer(nn.Module):
    """Tokens "a b =" (B, 3) to scores of the answer (B, modulus), read at the last position, which alone asks a question.

    After Power et al. 2022, with less of everything, normalisation included. The dense part squares, as in Gromov 2023,
    embeddings start small and serve as output weights: so it generalises in hundreds of steps, without first memorising
    for thousands.
    """

    def __init__(self, modulus: int, *, width: int = 32, n_heads: int = 4, n_hidden: int = 64, scale: float = 0.2) -> None:
        """`scale` is the standard deviation of the embeddings."""
        super().__init__()
        self.n_heads = n_heads
        self.tokens = nn.Parameter(scale * torch.randn(modulus + 1, width))  # the last is "="
        self.positions = nn.Parameter(scale * torch.randn(3, width))
        self.query, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.expand = nn.Linear(width, n_hidden, bias=False)
        self.contract = nn.Linear(n_hidden, width, bias=False)
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers of any dtype."""
        embedded = F.embedding(x.long(), self.tokens) + self.positions
        last = embedded[:, -1]
        query = self.query(last).unflatten(-1, (self.n_heads, 1, -1))  # (B, heads, 1, width / heads)
        key, value = (layer(embedded).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for layer in (self.key, self.value))
        weights = (query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5).softmax(dim=-1)
        last = last + self.output((weights @ value).flatten(1))
        last = last + self.contract(self.expand(last).square())
        return F.linear(last, self.tokens[:-1])
