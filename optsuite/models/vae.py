"""The variational autoencoder of DeepOBS (Schneider et al. 2019), problem mnist_vae."""

import torch
from torch import Tensor, nn

from optsuite.models.images import Normalise
from optsuite.models.vision import initialised

LATENTS = 8
LEAK = 0.3
DROPOUT = 0.2


class VariationalAutoencoder(nn.Module):
    """Images (B, 1, 28, 28) in 0..255 to their reconstruction (B, 784) in [0, 1], and mean and log deviation of its code.

    The code is drawn anew at every forward pass, in eval mode too. Four-wide kernels with "same" padding put the odd pixel
    at the end, as TensorFlow does.
    """

    def __init__(self) -> None:
        super().__init__()

        def encoding(n_in: int, stride: int) -> list[nn.Module]:
            padding = nn.ZeroPad2d((1, 1, 1, 1) if stride == 2 else (1, 2, 1, 2))
            return [padding, nn.Conv2d(n_in, 64, 4, stride), nn.LeakyReLU(LEAK), nn.Dropout(DROPOUT)]

        self.encoder = nn.Sequential(Normalise(), *encoding(1, 2), *encoding(64, 2), *encoding(64, 1), nn.Flatten())
        self.mean = nn.Linear(7 * 7 * 64, LATENTS)
        self.log_deviation = nn.Linear(7 * 7 * 64, LATENTS)
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENTS, 24), nn.LeakyReLU(LEAK), nn.Linear(24, 49), nn.LeakyReLU(LEAK), nn.Unflatten(1, (1, 7, 7))),
            *(nn.ConvTranspose2d(1, 64, 4, stride=2, padding=1), nn.ReLU(), nn.Dropout(DROPOUT)),
            *(nn.ConvTranspose2d(64, 64, 4), nn.ZeroPad2d((-1, -2, -1, -2)), nn.ReLU(), nn.Dropout(DROPOUT)),
            *(nn.ConvTranspose2d(64, 64, 4), nn.ZeroPad2d((-1, -2, -1, -2)), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(14 * 14 * 64, 784), nn.Sigmoid()),
        )
        for part in (self.encoder, nn.Sequential(self.mean, self.log_deviation), self.decoder):
            initialised(part, convolution=nn.init.xavier_uniform_, dense=nn.init.xavier_uniform_, bias=0.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw a code, decode."""
        encoded = self.encoder(x)
        mean, log_deviation = self.mean(encoded), 0.5 * self.log_deviation(encoded)
        code = mean + torch.randn_like(mean) * log_deviation.exp()
        return self.decoder(code), mean, log_deviation


def evidence_loss(outputs: tuple[Tensor, Tensor, Tensor], images: Tensor) -> Tensor:
    """Squared errors of the pixels plus the divergence of the code from a standard normal, in nats; summed, mean over B."""
    reconstruction, mean, log_deviation = outputs
    pixels = images.flatten(1).to(reconstruction.dtype) / 255
    errors = (reconstruction - pixels).square().sum(dim=1)
    divergence = -0.5 * (1 + 2 * log_deviation - mean.square() - (2 * log_deviation).exp()).sum(dim=1)
    return (errors + divergence).mean()
