"""Models and metrics: builders of nn.Module with fresh random weights, and functions of (outputs, targets).

What prepares a batch, from whole numbers to normalised and augmented ones, is the first layer of a model: it runs on the
device, and knows by the mode of the model whether it trains.
"""

from optsuite.models.images import Normalise, PerImage, RandomColours, RandomCrop, RandomFlip
from optsuite.models.modular import ModularTransformer
from optsuite.models.quadratic import Quadratic, mean_output, quadratic_deep
from optsuite.models.simple import accuracy, mlp, small_cnn
from optsuite.models.transformer import Transformer, next_character
from optsuite.models.vae import VariationalAutoencoder, evidence_loss
from optsuite.models.vision import cnn_2c2d, cnn_3c3d, mnist_mlp, penalised, resnet18, unpenalised

__all__ = [
    "ModularTransformer",
    "Normalise",
    "PerImage",
    "Quadratic",
    "RandomColours",
    "RandomCrop",
    "RandomFlip",
    "Transformer",
    "VariationalAutoencoder",
    "accuracy",
    "cnn_2c2d",
    "cnn_3c3d",
    "evidence_loss",
    "mean_output",
    "mlp",
    "mnist_mlp",
    "next_character",
    "penalised",
    "quadratic_deep",
    "resnet18",
    "small_cnn",
    "unpenalised",
]
