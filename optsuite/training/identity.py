"""Identities of benchmarks and optimizers, and the fingerprints of runs made from them."""

import hashlib
import json
from dataclasses import dataclass

import torch

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.canonical.canonicalize import tensor_bytes
from optsuite.training.canonical.descriptions import (
    Descriptions,
    Identity,
    Parts,
    benchmark_parts,
    spec_parts,
)
from optsuite.training.device import kind_of
from optsuite.training.fingerprint import Basis, Environment, Fingerprint
from optsuite.training.results import Run

# Digests keep the first name of an arm, so that renaming it trains no run again.
FIRST_ARMS = {"manual": "given"}
# Raise it when the training code changes what a run computes. Older results then count as
# superseded.
PROTOCOL = 3
Texts = dict[str, str]


def digest(*parts: object) -> str:
    """A hash of the parts, which are JSON values, in 16 hexadecimal digits."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) for a list of parts, the same in every process."""
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
    benchmark: Benchmark,
    splits: Splits,
    *,
    dtype: str,
    device: str,
    described: Descriptions | None = None,
) -> Identity:
    """The identity of a benchmark: its code, its data, the protocol, and the numerics.

    `dtype` names the dtypes of the model's parameters, as `numerics.fit` found them. `described`
    holds the descriptions of the suite, made when it was loaded. Raises InputError.
    """
    described = described or Descriptions()
    named = benchmark_parts(benchmark)
    parts, packages = _described(named, described, f"benchmark {benchmark.name}")
    parts["data"] = hash_splits(splits)
    environment = packages | {
        "torch": torch.__version__,
        "settings of torch": ", ".join(described.numerics),
        "dtype of the model": dtype,
        "kind of device": kind_of(device),
    }
    return Identity(
        digest=digest(PROTOCOL, benchmark.name, sorted(parts.items())),
        parts=parts,
        environment_digest=digest(sorted(environment.items())),
        environment=environment,
    )


def identify_optimizer(spec: OptimizerSpec, described: Descriptions | None = None) -> Identity:
    """The identity of an optimizer: all that determines its steps, except its rate.

    Raises InputError.
    """
    described = described or Descriptions()
    parts, packages = _described(spec_parts(spec), described, f"optimizer {spec.name}")
    return Identity(
        digest=digest(spec.name, sorted(parts.items())),
        parts=parts,
        environment_digest=digest(sorted(packages.items())),
        environment=packages,
    )


def _described(named: Parts, described: Descriptions, what: str) -> tuple[Texts, Texts]:
    """The descriptions of parts by name, and the versions of all packages that they use."""
    texts: Texts = {}
    packages: dict[str, str] = {}
    for name, part in named.items():
        description = described.of(part, f"{what}: its {name}")
        texts[name] = description.text
        packages |= dict(description.packages)
    return texts, packages


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What the runs of one optimizer on one benchmark share here, whichever engine trains them."""

    benchmark: Identity
    optimizer: Identity

    @property
    def basis(self) -> Basis:
        """The part that the fingerprints of these runs share."""
        return self.named("", engine="").basis

    def fingerprint(self, run: Run, *, engine: str) -> Fingerprint:
        """The fingerprint of a run that the engine trains."""
        return self.named(run_digest(run.lr, run.seed, run.kind, run.arm), engine=engine)

    def named(self, run: str, *, engine: str) -> Fingerprint:
        """The fingerprint with this digest of what distinguishes the run from others."""
        return Fingerprint(
            benchmark=self.benchmark.digest,
            optimizer=self.optimizer.digest,
            run=run,
            environment=Environment(
                benchmark=self.benchmark.environment_digest,
                optimizer=self.optimizer.environment_digest,
                engine=engine,
            ),
        )


def define(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    *,
    dtype: str = "float32",
    device: str = "cpu",
) -> Definition:
    """The definition of an optimizer on a benchmark, described now. Raises InputError."""
    own = identify_benchmark(benchmark, splits, dtype=dtype, device=device)
    return Definition(benchmark=own, optimizer=identify_optimizer(spec))


def run_digest(lr: float, seed: int, kind: str, arm: str | None) -> str:
    """A digest of what distinguishes the runs of a study."""
    return digest(float(lr), int(seed), kind, FIRST_ARMS.get(str(arm), arm))


def names_run(own: Fingerprint, *, lr: str, seed: int, kind: str, arm: str | None) -> bool:
    """Whether a fingerprint fits the values in the row of its run.

    `lr` is a text from the store. A digest of a different length was not made here and is trusted.
    """
    return len(own.run) != len(digest()) or own.run == run_digest(float(lr), seed, kind, arm)
