"""The fingerprint of a run: a hash of everything that determines its bits. Same fingerprint, same curve."""

import hashlib
import json

import torch

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.training.describe import tensor_bytes
from optsuite.training.described import Descriptions, Identity, benchmark_parts, spec_parts
from optsuite.training.run import Run

PROTOCOL = 3  # raise it when the training code changes what a run computes: older results then count as superseded


def digest(*parts: object) -> str:
    """16 hexadecimal digits that name the parts, which are values of JSON."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) of its own for each list of parts, the same in every process."""
    return int(digest(*parts), 16) >> 1


def hash_splits(splits: Splits) -> str:
    """A hash of the tensors of a dataset."""
    content = hashlib.blake2b(digest_size=8)
    for split in (splits.train, splits.validation, splits.test):
        for tensor in split:
            content.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            content.update(tensor_bytes(tensor))
    return content.hexdigest()


def identify_benchmark(
    benchmark: Benchmark, splits: Splits, *, dtype: str, device: str, described: Descriptions | None = None
) -> Identity:
    """What all runs that may be compared with each other share: the benchmark, its data, the numerics, the protocol.

    `dtype` names those of the model's parameters, as `numerics.fit` found them. `described` holds the descriptions of the suite
    as it was loaded. Raises BadInput.
    """
    described = described or Descriptions()
    parts = {}
    for name, part in benchmark_parts(benchmark).items():
        own = described.of(part, f"benchmark {benchmark.name}: its {name}")
        parts[name] = digest(own.text, own.packages)
    parts["data"] = hash_splits(splits)
    parts["numerics"] = digest(dtype, torch.device(device).type, torch.__version__, *described.numerics)
    return Identity(digest=digest(PROTOCOL, benchmark.name, sorted(parts.items())), parts=parts)


def identify_optimizer(spec: OptimizerSpec, described: Descriptions | None = None) -> Identity:
    """What determines the steps of an optimizer, but for its rate. Raises BadInput."""
    described = described or Descriptions()
    parts = {}
    for name, part in spec_parts(spec).items():
        own = described.of(part, f"optimizer {spec.name}: its {name}")
        parts[name] = digest(own.text, own.packages)
    return Identity(digest=digest(spec.name, sorted(parts.items())), parts=parts)


def setting(benchmark: Benchmark, splits: Splits, *, dtype: str, device: str) -> str:
    """The first part of a fingerprint: that of the benchmark."""
    return identify_benchmark(benchmark, splits, dtype=dtype, device=device).digest


def definition(spec: OptimizerSpec) -> str:
    """The second part of a fingerprint: that of the optimizer."""
    return identify_optimizer(spec).digest


def fingerprint(run: Run, *, setting: str, definition: str, engine: str) -> str:
    """The identity of a run: `setting-definition-rest`, so that what became of an older run can be told from it."""
    return f"{setting}-{definition}-{_rest(run.lr, run.seed, run.kind, run.arm, engine)}"


def names_run(fingerprint: str, *, lr: str, seed: int, kind: str, arm: str | None, engine: str | None) -> bool:
    """Whether the fingerprint may be that of a run that says this of itself: its last part can be computed again.

    `lr` and `engine` are texts as the store keeps them. A part of another length is not ours to judge.
    """
    rest = fingerprint.rpartition("-")[2]
    if len(rest) != len(digest()):
        return True
    rates = {float(lr)} | ({int(lr)} if lr.isdecimal() else set())
    engines = {"plain", "stacked"} | ({engine.partition(":")[0]} if engine else set())
    return any(rest == _rest(rate, seed, kind, arm, name) for rate in (*rates, *map(float, rates)) for name in engines)


def _rest(lr: float, seed: int, kind: str, arm: str | None, engine: str) -> str:
    """The part of a fingerprint that tells the runs of a study apart."""
    return digest(lr, seed, kind, arm, engine)
