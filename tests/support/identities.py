"""The identities of the suites in folders; run as a program, those found by another process."""

import contextlib
import json
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from optsuite import import_path
from optsuite.definitions.suite import Suite
from optsuite.registry import load_suite
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.identity import identify_benchmark, identify_optimizer
from optsuite.training.numerics import fit


@contextlib.contextmanager
def loaded(folder: Path) -> Iterator[Suite]:
    """The suite of a folder, loaded as in a fresh process; its modules are removed afterwards."""
    import_path.search()  # a suite that another test loaded in this process is left behind
    before = set(sys.modules)
    path = list(sys.path)
    precision = torch.get_float32_matmul_precision()
    linecache.clearcache()
    try:
        yield load_suite(str(folder / "suite.py"))
    finally:
        torch.set_float32_matmul_precision(precision)
        sys.path[:] = path
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            places = [getattr(module, "__file__", ""), getattr(module, "__path__", "")]
            is_replaced = (folder / f"{name}.py").exists()  # another object is in its place
            if str(folder) in str(places) or is_replaced:
                del sys.modules[name]


def identities(suite: Suite) -> tuple[Identity, Identity]:
    """The identities of the first benchmark and the last optimizer of a suite."""
    described = Descriptions(suite)
    benchmark = suite.benchmarks[0]
    fitted = fit(benchmark, benchmark.dataset(), device="cpu")
    own = identify_benchmark(
        benchmark, fitted.splits, dtype=fitted.dtype, device="cpu", described=described
    )
    return own, identify_optimizer(suite.optimizers[-1], described)


def use(suite: Suite) -> None:
    """Build and train once what can be built and trained."""
    benchmark = suite.benchmarks[0]
    x, y = benchmark.dataset().train
    for spec in suite.optimizers:
        with contextlib.suppress(Exception):
            model = benchmark.model()
            optimizer = spec.build(model, 0.1, **spec.fixed)
            loss = benchmark.loss(model(x).mean(1, keepdim=True), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def digests(folder: Path) -> list[str]:
    """The digests of the identities of a suite."""
    with loaded(folder) as suite:
        return [identity.digest for identity in identities(suite)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps({folder: digests(Path(folder)) for folder in sys.argv[1:]}))
