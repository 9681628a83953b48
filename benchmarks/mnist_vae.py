"""A convolutional variational autoencoder of MNIST: DeepOBS (Schneider et al. 2019), small suite P2.

Followed to the letter: 50 epochs of 937 steps, measured after each, the batch order drawn once per run. The published
test loss is the mean of our validation and test loss. Needs the data, from OPTSUITE_DATA or a download.
"""

from functools import partial

from optsuite import Benchmark, data, models

BENCHMARK = Benchmark(
    name="mnist_vae",
    dataset=partial(data.mnist_autoencoding, n_test=156 * 64),
    model=models.VariationalAutoencoder,
    loss=models.evidence_loss,
    batch_size=64,
    max_steps=50 * 937,
    eval_every=937,
    shuffle="once",
)
