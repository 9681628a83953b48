"""Fingerprints of schema 2, in which the versions of packages are part of every description.

They are computed only if a store holds such fingerprints, to find the runs that the present
definitions would have given. To be removed one release after schema 3, with `campaign.migration`
and `tracking.legacy_rows`.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import torch

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError
from optsuite.training.canonical.container_parts import scalar
from optsuite.training.canonical.descriptions import (
    Descriptions,
    Parts,
    benchmark_parts,
    spec_parts,
)
from optsuite.training.canonical.names import (
    FIRST_NAMES,
    INSTALLED,
    Code,
    Member,
    Module,
    Names,
    Own,
    Texts,
    Version,
    Written,
)
from optsuite.training.canonical.own_code import version
from optsuite.training.device import kind_of
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import FIRST_ARMS, PROTOCOL, digest, hash_splits
from optsuite.training.identity import names_run as names_run_now

FormerBasis = tuple[str, str]
TEXT = re.compile("([0-9a-f]+)-([0-9a-f]+)-([0-9a-f]+)")
DEFINITIONS = "optsuite.definition"  # the module that held CLASSES in schema 2
CLASSES = {"Benchmark", "LogUniform", "OptimizerSpec", "Splits", "Suite", "Target"}


@dataclass(frozen=True, kw_only=True)
class FormerFingerprint:
    """Digests of the benchmark, the optimizer, and the rest, which includes the engine."""

    benchmark_hash: str
    optimizer_hash: str
    run: str

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """The fingerprint that a text stands for; None if it is not one of schema 2."""
        if not isinstance(text, str):
            return None
        found = TEXT.fullmatch(text)
        if found is None:
            return None
        return cls(benchmark_hash=found[1], optimizer_hash=found[2], run=found[3])

    def __str__(self) -> str:
        return f"{self.benchmark_hash}-{self.optimizer_hash}-{self.run}"

    @property
    def basis(self) -> FormerBasis:
        """The part that the fingerprints of a study's runs share."""
        return self.benchmark_hash, self.optimizer_hash


@dataclass(frozen=True, kw_only=True)
class Former:
    """The digests that schema 2 gives to the definitions of a study."""

    benchmark_hash: str
    optimizer_hash: str

    @property
    def basis(self) -> FormerBasis:
        """The basis of its fingerprints."""
        return self.benchmark_hash, self.optimizer_hash


Formers = Mapping[str, Former]  # by optimizer
AnyFingerprint = Fingerprint | FormerFingerprint


def read_fingerprint(text: object) -> AnyFingerprint | None:
    """The fingerprint that a text stands for, in either schema; None if it is not a fingerprint."""
    return Fingerprint.parse(text) or FormerFingerprint.parse(text)


def names_run(
    fingerprint: AnyFingerprint,
    *,
    lr: str,
    seed: int,
    kind: str,
    arm: str | None,
    engine: str | None,
) -> bool:
    """Whether a fingerprint of either schema fits the values in the row of its run."""
    if isinstance(fingerprint, Fingerprint):
        return names_run_now(fingerprint, lr=lr, seed=seed, kind=kind, arm=arm)
    if len(fingerprint.run) != len(digest()):
        return True
    found = engine_of(fingerprint, engines(engine), lr=lr, seed=seed, kind=kind, arm=arm)
    return found is not None


def engines(said: str | None) -> tuple[str, ...]:
    """The engines that may have trained a run with this engine in its row."""
    named = [said.partition(":")[0]] if said else []
    return (*named, "plain", "stacked")


def engine_of(
    fingerprint: FormerFingerprint,
    among: Iterable[str],
    *,
    lr: str,
    seed: int,
    kind: str,
    arm: str | None,
) -> str | None:
    """The engine with which a run has this fingerprint; None if it is not among these."""
    rates: list[float] = [float(lr)]
    if float(lr).is_integer():  # It may have been given as an integer.
        rates.append(int(float(lr)))
    arm = FIRST_ARMS.get(str(arm), arm)
    for engine in among:
        if fingerprint.run in [digest(rate, seed, kind, arm, engine) for rate in rates]:
            return engine
    return None


class FormerNames(Names):
    """Writes names as schema 2 does."""

    def write(self, name: Any) -> Any:
        """The text of a name; for Texts, all of them."""
        match name:
            case Code(module, own):
                if module.partition(".")[0] == "optsuite":
                    former_module = DEFINITIONS if own in CLASSES else module
                    return f"{former_module}.{FIRST_NAMES.get(own, own)} "
                return f"{module}.{own} {_version(module)}"
            case Own(_, own) | Module(own) | Member(own):
                return own
            case Version(_, text):
                return scalar(text)
            case Texts(texts):
                found = [(key, _text(key, text)) for key, text in texts]
                return Written(found, [key for key, _ in found])
        raise TypeError(name)


def _text(module: str, text: str) -> str:
    return f"installed {_version(module)}" if text == INSTALLED else text


def _version(module: str) -> str:
    return version(module.partition(".")[0])


class FormerDescriptions:
    """Descriptions of a suite in schema 2, made at once; empty unless `wanted`."""

    def __init__(self, suite: Suite, *, wanted: bool = True) -> None:
        self._described = Descriptions(suite, FormerNames) if wanted else None

    def of(
        self,
        benchmark: Benchmark,
        specs: Iterable[OptimizerSpec],
        splits: Splits,
        *,
        dtype: str,
        device: str,
    ) -> dict[str, Former]:
        """The digests for runs of the benchmark, by optimizer.

        Optimizers that cannot be described are left out: `prepare` reports them.
        """
        found: dict[str, Former] = {}
        if self._described is None:
            return found
        numerics = (dtype, kind_of(device), torch.__version__, *self._described.numerics)
        data = {"data": hash_splits(splits), "numerics": digest(*numerics)}
        for spec in specs:
            with suppress(InputError):
                parts = sorted((self._texts(benchmark_parts(benchmark)) | data).items())
                own_parts = sorted(self._texts(spec_parts(spec)).items())
                found[spec.name] = Former(
                    benchmark_hash=digest(PROTOCOL, benchmark.name, parts),
                    optimizer_hash=digest(spec.name, own_parts),
                )
        return found

    def _texts(self, parts: Parts) -> dict[str, str]:
        assert self._described is not None
        return {name: self._described.of(part, name).text for name, part in parts.items()}
