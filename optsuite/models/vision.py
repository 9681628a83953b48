"""Networks for MNIST, Fashion-MNIST and CIFAR-10, their first layers included: (B, channels, height, width) -> (B, 10)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Loss
from optsuite.models.images import Normalise, PerImage, RandomColours, RandomCrop, RandomFlip
from optsuite.models.simple import mlp

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of its 60,000 training images; the constants of AlgoPerf's workload
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of its 50,000 training images
TRUNCATION = 0.87962566  # the deviation of a standard normal that is cut at two deviations
Initialise = Callable[[Tensor], Tensor]


def mnist_mlp() -> nn.Sequential:
    """784-128-10 with sigmoids. Source: AlgoPerf's development workload."""
    return nn.Sequential(Normalise((MNIST_MEAN,), (MNIST_STD,)), nn.Flatten(), *mlp((784, 128, 10), nn.Sigmoid))


def cnn_2c2d() -> nn.Sequential:
    """Two 5x5 convolutions and two dense layers for 28x28 images, 3,274,634 parameters. Source: DeepOBS, problem P3."""
    net = nn.Sequential(
        Normalise(),
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(7 * 7 * 64, 1024), nn.ReLU()),
        nn.Linear(1024, 10),
    )

    def truncated(weight: Tensor) -> Tensor:
        return nn.init.trunc_normal_(weight, std=0.05, a=-0.1, b=0.1)

    return initialised(net, convolution=truncated, dense=truncated, bias=0.05)


def cnn_3c3d() -> nn.Module:
    """Three convolutions and three dense layers for 32x32 images, with its weight decay. Source: DeepOBS, problem P4."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)

    net = nn.Sequential(
        *(RandomCrop(2), RandomFlip(), ToReal(), RandomColours(), PerImage()),
        *(nn.Conv2d(3, 64, 5), nn.ReLU(), pool()),
        *(nn.Conv2d(64, 96, 3), nn.ReLU(), pool()),
        *(nn.Conv2d(96, 128, 3, padding=1), nn.ReLU(), pool()),
        nn.Flatten(),
        *mlp((3 * 3 * 128, 512, 256, 10)),
    )
    return Penalised(initialised(net, convolution=_glorot_normal, dense=nn.init.xavier_uniform_, bias=0.0), 0.002)


def resnet18() -> nn.Module:
    """ResNet-18 with a 3x3 stem and no pooling after it, for 32x32 images; random flips and crops. Source: He et al. 2016."""
    from torchvision import models

    net = models.resnet18(num_classes=10)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return nn.Sequential(RandomCrop(4), RandomFlip(), Normalise(CIFAR_MEAN, CIFAR_STD), net)


class ToReal(nn.Module):
    """Whole numbers 0..255 as real ones, not scaled."""

    like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("like", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any dtype to that of the layer."""
        return x.to(self.like.dtype)


class Penalised(nn.Module):
    """A network and half the squared size of its weights, biases apart, times `decay`: outputs (network's, penalty)."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Penalise tensors of at least two dimensions."""
        super().__init__()
        self.net = net
        self.decay = decay

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty has no dimensions."""
        squares = [weight.square().sum() for weight in self.net.parameters() if weight.ndim > 1]
        return self.net(x), 0.5 * self.decay * torch.stack(squares).sum()


def penalised(loss: Loss, outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """A loss plus the penalty of a Penalised network: DeepOBS reports it so, on test data too."""
    return loss(outputs[0], targets) + outputs[1]


def unpenalised(metric: Loss, outputs: tuple[Tensor, Any], targets: Tensor) -> Tensor:
    """A metric of the outputs of a Penalised network."""
    return metric(outputs[0], targets)


def initialised(net: nn.Sequential, *, convolution: Initialise, dense: Initialise, bias: float) -> nn.Sequential:
    """The network with fresh weights from these functions, which fill a tensor, and this bias everywhere."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            (dense if isinstance(layer, nn.Linear) else convolution)(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)
    return net


def _glorot_normal(weight: Tensor) -> Tensor:
    """Keras' form: cut at two deviations, and widened so that the variance is Glorot's."""
    fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
    std = (2 / (fan_in + fan_out)) ** 0.5 / TRUNCATION
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
