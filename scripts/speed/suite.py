"""The suite of `speed`: the tutorials' comparison (20 epochs), and all benchmarks in short."""

from dataclasses import replace

from benchmarks import EMBEDDED, digits_mlp, mnist_mlp
from optsuite import OPTIMIZERS, Suite

STEPS = 100
SHORT = tuple(
    replace(b, max_steps=max(STEPS, b.eval_every)) for b in (*EMBEDDED, mnist_mlp.BENCHMARK)
)
SUITE = Suite(
    name="speed",
    benchmarks=(
        replace(
            digits_mlp.BENCHMARK, name="digits_mlp_20_epochs", max_steps=20 * 16, eval_every=16
        ),
    ),
    on_request=SHORT,
    optimizers=tuple(OPTIMIZERS[name] for name in ("momentum", "adam", "adagrad", "rmsprop")),
    n_confirmation_seeds=0,  # the tutorials confirm nothing
)
