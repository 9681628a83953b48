"""First layers for images: from whole numbers 0..255 to normalised ones, and random changes while training.

Inputs and outputs are (B, channels, height, width). Random changes differ from image to image, and draw from torch's
generator of the device; in eval mode there are none.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Normalise(nn.Module):
    """Pixels to [0, 1], less the mean, divided by the standard deviation, each per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)) -> None:
        """Without arguments, only scale to [0, 1]."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Any dtype to that of the layer."""
        return (x.to(self.mean.dtype) / 255 - self.mean) / self.std


class PerImage(nn.Module):
    """Each image less its own mean, divided by its own deviation, at least that of one brighter value in an even image.

    Source: per_image_standardization of TensorFlow, which DeepOBS applies to CIFAR-10.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Real numbers to real numbers."""
        flat = x.flatten(1)
        least = flat.shape[1] ** -0.5
        scaled = (flat - flat.mean(dim=1, keepdim=True)) / flat.std(dim=1, correction=0, keepdim=True).clamp(min=least)
        return scaled.view_as(x)


class RandomFlip(nn.Module):
    """Half of the images, left to right."""

    def forward(self, x: Tensor) -> Tensor:
        """Any dtype."""
        if not self.training:
            return x
        flipped = torch.rand(len(x), device=x.device) < 0.5
        return torch.where(flipped[:, None, None, None], x.flip(-1), x)


class RandomCrop(nn.Module):
    """A window of the image's own size in the image padded with zeros on all sides."""

    def __init__(self, padding: int) -> None:
        """Pad by so many pixels on each side."""
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Any dtype."""
        if not self.training:
            return x
        n, _, height, width = x.shape
        top, left = torch.randint(2 * self.padding + 1, (2, n), device=x.device)
        rows = top[:, None] + torch.arange(height, device=x.device)
        columns = left[:, None] + torch.arange(width, device=x.device)
        padded = F.pad(x, (self.padding,) * 4).permute(0, 2, 3, 1)
        images = torch.arange(n, device=x.device)[:, None, None]
        return padded[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class RandomColours(nn.Module):
    """Brightness, then saturation, then contrast, by as much as DeepOBS changes CIFAR-10; pixels count 0 to 255.

    Its brightness moves by at most a quarter of one of 255 values: the original means fractions and is given whole numbers.
    """

    BRIGHTNESS = 63 / 255
    SATURATION = (0.5, 1.5)
    CONTRAST = (0.2, 1.8)

    def forward(self, x: Tensor) -> Tensor:
        """Real numbers to real numbers."""
        if not self.training:
            return x

        def draw(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)

        x = x + draw(-self.BRIGHTNESS, self.BRIGHTNESS)
        value, least = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
        saturation = (value - least) / value.where(value != 0, 1)
        wanted = (saturation * draw(*self.SATURATION)).clamp(0, 1)
        x = value - (value - x) * wanted / saturation.where(saturation != 0, 1)
        mean = x.mean(dim=(2, 3), keepdim=True)
        return mean + (x - mean) * draw(*self.CONTRAST)
