"""The default suite: every benchmark that needs no download, with six optimizers that people argue about."""

from benchmarks import digits_cnn, digits_logreg, digits_mlp, mnist_mlp, quadratic_deep
from optsuite import OPTIMIZERS, Suite

SUITE = Suite(
    name="default",
    benchmarks=(
        quadratic_deep.BENCHMARK,
        digits_logreg.BENCHMARK,
        digits_mlp.BENCHMARK,
        digits_cnn.BENCHMARK,
    ),
    on_request=(mnist_mlp.BENCHMARK,),
    optimizers=tuple(OPTIMIZERS[name] for name in ("sgd", "momentum", "adam", "adamw", "adagrad", "rmsprop")),
)
