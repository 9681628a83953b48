"""Which stored runs are of other definitions than the present ones, and what has changed since."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from optsuite.campaign.stored_run import StoredRun
from optsuite.campaign.study import Study
from optsuite.training.fingerprint import Fingerprint

# By benchmark or study, and whether rates are given by hand: the hashes of present definitions.
Current = dict[tuple[object, bool], set[object]]
Cause = Literal["definition", "environment"]


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """How many runs leave the report, because of what; `optimizer` is None for the benchmark.

    The cause is the definition, or else the environment: packages, numerics, or kind of device.
    """

    benchmark: str
    optimizer: str | None
    cause: Cause
    n_runs: int


class Definitions:
    """The present definitions of the studies of a campaign."""

    def __init__(self, studies: Iterable[Study]) -> None:
        self._benchmarks: Current = {}
        self._optimizers: Current = {}
        self._tasks: set[str] = set()
        for study in studies:
            self._tasks.update(study.identity.definition)
            for own in (study.identity, study.former or study.identity):
                pair = (study.name, study.is_manual)
                self._optimizers.setdefault(pair, set()).add(own.optimizer_hash)
                # A comparison's definitions also supersede runs at given rates, never the reverse.
                for is_manual in {study.is_manual, True}:
                    benchmark = (study.name[0], is_manual)
                    self._benchmarks.setdefault(benchmark, set()).add(own.benchmark_hash)

    def include(self, stored: StoredRun) -> bool:
        """Whether the run belongs to one of the studies, whichever its definition."""
        return (stored.name, stored.is_manual) in self._optimizers

    def are_of(self, stored: StoredRun) -> bool:
        """Whether the run is of a present definition, or the studies do not include its pair."""
        return self._has_benchmark(stored) and self._has_optimizer(stored)

    def outdated(self, runs: Iterable[StoredRun]) -> tuple[Outdated, ...]:
        """What `are_of` newly rules out, by its cause."""
        counts: Counter[tuple[str, str | None, Cause]] = Counter()
        for stored in runs:
            if stored.kind == "study" or stored.superseded or self.are_of(stored):
                continue
            benchmark, optimizer = stored.name
            own = stored.fingerprint
            if self._has_benchmark(stored):
                is_same = isinstance(own, Fingerprint) and own.optimizer in self._tasks
                counts[benchmark, optimizer, "environment" if is_same else "definition"] += 1
            else:
                is_same = isinstance(own, Fingerprint) and own.benchmark in self._tasks
                counts[benchmark, None, "environment" if is_same else "definition"] += 1
        return tuple(
            Outdated(benchmark=benchmark, optimizer=optimizer, cause=cause, n_runs=n)
            for (benchmark, optimizer, cause), n in counts.items()
        )

    def _has_benchmark(self, stored: StoredRun) -> bool:
        known = self._benchmarks.get((stored.name[0], stored.is_manual))
        return known is None or stored.fingerprint.benchmark_hash in known

    def _has_optimizer(self, stored: StoredRun) -> bool:
        known = self._optimizers.get((stored.name, stored.is_manual))
        return known is None or stored.fingerprint.optimizer_hash in known
