"""The fingerprint of a run: a value of two parts, task and environment.

No other module knows its text form.
"""

import re
from dataclasses import dataclass
from typing import Self

PART = "([0-9a-f]+)"
TEXT = re.compile("-".join([*[PART] * 5, "([a-z][a-z0-9_]*)"]))
Basis = tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment of a run, which decides its last bits.

    `benchmark` is a digest of torch's version and settings, the dtype of the model, the kind of
    device, and the versions of the packages that the benchmark uses. `optimizer` is a digest of
    the versions of the packages that the optimizer uses. `engine` is the engine's name.
    """

    benchmark: str
    optimizer: str
    engine: str


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """All that determines a run. Two runs with the same fingerprint have the same curve.

    Three digests make up its task: `benchmark` (code, hash of the data, PROTOCOL), `optimizer`
    (code, fixed hyperparameters), and `run` (rate, seed, kind, arm). The task is the same in a
    clone and a wheel, on any machine, and with any versions of packages.

    The class of machine is not part of the environment. Results from another machine are
    accepted by evidence: a stored run is trained again and compared.
    """

    benchmark: str
    optimizer: str
    run: str
    environment: Environment

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """The fingerprint that a text stands for; None if it is not a fingerprint."""
        if not isinstance(text, str):
            return None
        found = TEXT.fullmatch(text)
        if found is None:
            return None
        benchmark, optimizer, run, of_benchmark, of_optimizer, engine = found.groups()
        own = Environment(benchmark=of_benchmark, optimizer=of_optimizer, engine=engine)
        return cls(benchmark=benchmark, optimizer=optimizer, run=run, environment=own)

    def __str__(self) -> str:
        own = self.environment
        return "-".join((*self.task, own.benchmark, own.optimizer, own.engine))

    @property
    def task(self) -> tuple[str, str, str]:
        """The digests that do not depend on the environment."""
        return self.benchmark, self.optimizer, self.run

    @property
    def definition(self) -> tuple[str, str]:
        """The benchmark and the optimizer: the same for all runs of a study, everywhere."""
        return self.benchmark, self.optimizer

    @property
    def benchmark_hash(self) -> tuple[str, str]:
        """The benchmark and its environment: the same for all runs that may be compared."""
        return self.benchmark, self.environment.benchmark

    @property
    def optimizer_hash(self) -> tuple[str, str]:
        """The optimizer and its environment."""
        return self.optimizer, self.environment.optimizer

    @property
    def basis(self) -> Basis:
        """The same for all runs of a study in one environment, whichever engine trains them."""
        return self.benchmark_hash, self.optimizer_hash
