"""The suites by name, as `--suite` takes them.

SUITE, the default, has benchmarks that tell optimizers apart in minutes and need no download.
This package is `optsuite.benchmarks`, in a clone through a link.
"""

from dataclasses import replace

from optsuite import OPTIMIZERS, Suite
from optsuite.import_path import alias_package

if __name__ == "benchmarks":  # in a clone, where this is optsuite.benchmarks too
    alias_package(__name__, "optsuite.benchmarks", __file__)

from . import (
    cifar10_3c3d,
    cifar10_resnet,
    diabetes_mlp,
    digits_autoencoder,
    digits_cnn,
    digits_logreg,
    digits_mlp,
    fashion_mnist_2c2d,
    language_transformer,
    mnist1d_cnn,
    mnist1d_gru,
    mnist1d_mlp,
    mnist_mlp,
    mnist_vae,
    modular_transformer,
    quadratic_deep,
    shakespeare_gpt,
    teacher_mlp,
)

# Chosen by how many pairs of optimizers they tell apart in a second, with seeds that no campaign
# uses by default.
DECISIVE = (
    teacher_mlp.BENCHMARK,
    mnist1d_mlp.BENCHMARK,
    mnist1d_cnn.BENCHMARK,
    mnist1d_gru.BENCHMARK,
    digits_autoencoder.BENCHMARK,
    language_transformer.BENCHMARK,
)
# A few hundred examples to validate on, so that noise hides most differences.
NOISY = (
    digits_logreg.BENCHMARK,
    digits_mlp.BENCHMARK,
    digits_cnn.BENCHMARK,
    diabetes_mlp.BENCHMARK,
)
EMBEDDED = (*DECISIVE, modular_transformer.BENCHMARK, quadratic_deep.BENCHMARK, *NOISY)
VISION = (
    mnist_mlp.BENCHMARK,
    mnist_vae.BENCHMARK,
    fashion_mnist_2c2d.BENCHMARK,
    cifar10_3c3d.BENCHMARK,
    cifar10_resnet.BENCHMARK,
)
LANGUAGE = (language_transformer.BENCHMARK, modular_transformer.BENCHMARK, shakespeare_gpt.BENCHMARK)
DEEPOBS = (quadratic_deep.BENCHMARK, mnist_vae.BENCHMARK, fashion_mnist_2c2d.BENCHMARK, cifar10_3c3d.BENCHMARK)

SUITE = Suite(
    name="default",
    benchmarks=DECISIVE,
    on_request=(
        modular_transformer.BENCHMARK,
        quadratic_deep.BENCHMARK,
        *NOISY,
        *VISION,
        shakespeare_gpt.BENCHMARK,
    ),
    max_seeds=36,
    optimizers=tuple(OPTIMIZERS[name] for name in ("sgd", "momentum", "adam", "adamw", "adagrad", "rmsprop")),
)
# All share the protocol of the default suite, so that one campaign can hold results of several, and reuses them.
SMOKE = replace(
    SUITE,
    name="smoke",
    max_seeds=0,
    benchmarks=(digits_logreg.BENCHMARK, digits_mlp.BENCHMARK, diabetes_mlp.BENCHMARK),
    on_request=(),
    optimizers=tuple(OPTIMIZERS[name] for name in ("sgd", "momentum", "adam")),
)
SUITES = {
    suite.name: suite
    for suite in (
        SMOKE,
        SUITE,
        replace(SUITE, name="digits", benchmarks=(*NOISY, digits_autoencoder.BENCHMARK), on_request=()),
        replace(SUITE, name="vision", benchmarks=VISION, on_request=()),
        replace(SUITE, name="language", benchmarks=LANGUAGE, on_request=()),
        replace(SUITE, name="full", benchmarks=(*EMBEDDED, *VISION, shakespeare_gpt.BENCHMARK), on_request=()),
        # As published (Schneider et al. 2019): SGD, momentum of 0.99, Adam.
        replace(
            SUITE,
            name="deepobs",
            benchmarks=DEEPOBS,
            on_request=(),
            optimizers=(
                OPTIMIZERS["sgd"],
                replace(OPTIMIZERS["momentum"], name="heavy_ball", fixed={"momentum": 0.99, "weight_decay": 0.0}),
                OPTIMIZERS["adam"],
            ),
        ),
    )
}
