"""Networks over signals (B, T): convolutional, and recurrent.

The recurrent one does without torch's own cells, so that runs can be stacked.
"""

import torch
from torch import Tensor, nn


def signal_cnn(n_channels: int = 24, n_classes: int = 10) -> nn.Sequential:
    """Convolutions that halve a signal thrice, and a dense layer: (B, 40) -> (B, classes).

    Source: the network of Greydanus and Kobak 2024 for MNIST-1D, with 24 channels instead of 25.
    """
    return nn.Sequential(
        nn.Unflatten(-1, (1, 40)),
        nn.Conv1d(1, n_channels, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(n_channels, n_channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(n_channels, n_channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(n_channels * 5, n_classes),
    )


class GatedRecurrent(nn.Module):
    """A gated recurrent unit over some samples at a time: (B, T) -> (B, classes), its last state.

    Source: Cho et al. 2014, with the reset gate inside the product, as torch's GRU has it.
    """

    def __init__(self, *, n_read: int, width: int, n_classes: int) -> None:
        """`n_read` samples per time step, which must divide the length of the signal."""
        super().__init__()
        self.n_read, self.width = n_read, width
        self.read = nn.Linear(n_read, 3 * width)
        self.recur = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, n_classes)
        for layer in (self.read, self.recur):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of each class."""
        read = self.read(x.reshape(len(x), -1, self.n_read))  # (B, steps, 3 width)
        state = torch.zeros_like(read[:, 0, : self.width])
        for given in read.unbind(dim=1):
            reset, keep, new = given.chunk(3, dim=-1)
            reset_own, keep_own, new_own = self.recur(state).chunk(3, dim=-1)
            keep = torch.sigmoid(keep + keep_own)
            new = torch.tanh(new + torch.sigmoid(reset + reset_own) * new_own)
            state = new + keep * (state - new)
        scores: Tensor = self.output(state)
        return scores
