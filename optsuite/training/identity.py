"""The fingerprint of a run: a hash of everything that determines its bits. Same fingerprint, same curve."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields

import torch

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.training.describe import describe, tensor_bytes
from optsuite.training.run import Run

DTYPE = torch.float32  # of every run that is recorded
PROTOCOL = 2  # raise it when the training code changes what a run computes: older results then count as superseded


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


def setting(benchmark: Benchmark, splits: Splits, *, dtype: torch.dtype, device: str) -> str:
    """What all runs that may be compared with each other share: the benchmark, its data, the numerics, the protocol."""
    parts: Mapping[str, object] = {
        f.name: getattr(benchmark, f.name) for f in fields(benchmark) if f.name not in ("name", "dataset")
    }
    kind = torch.device(device).type
    return digest(PROTOCOL, benchmark.name, describe(parts), hash_splits(splits), str(dtype), kind, torch.__version__)


def definition(spec: OptimizerSpec) -> str:
    """What determines the steps of an optimizer, but for its rate."""
    parts = (spec.build, spec.fixed, spec.schedule, spec.closure, spec.proportional)
    return digest(spec.name, *(describe(part) for part in parts))


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
