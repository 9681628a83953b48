"""A suite: the benchmarks and optimizers compared together, and the protocol of the comparison."""

from dataclasses import dataclass

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import require, require_count, require_name

MOST_TRIALS, MOST_SEEDS = 1_000, 1_000  # more is a typing error
TOLERANCE = 0.01  # differences below 1 % of the better score do not matter, however certain
# The fields that say how many runs there are.
BUDGET = ("n_trials", "n_tuning_seeds", "n_confirmation_seeds", "n_seeds", "max_seeds")
FIRST_SEED, FIRST_TUNING_SEED = 0, 1_000
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The benchmarks and optimizers compared together, and the protocol of the comparison.

    `on_request` are benchmarks that run only when named, because they need a download or hours.
    Differences of less than `tolerance`, a fraction of the better score, do not count, however
    certain.

    Each of `n_trials` rates is trained on `n_tuning_seeds`; rates around the best are then trained
    on `n_confirmation_seeds` more, unless that is 0. The table uses `n_seeds` others, and where a
    verdict is open, as many again at a time, up to `max_seeds`; with 0, no more. To tune again with
    other seeds, change `first_seed` and `first_tuning_seed`.
    """

    name: str
    benchmarks: tuple[Benchmark, ...]
    optimizers: tuple[OptimizerSpec, ...]
    on_request: tuple[Benchmark, ...] = ()
    n_trials: int = 16
    n_tuning_seeds: int = 1
    n_confirmation_seeds: int = 6
    n_seeds: int = 12
    max_seeds: int = 0
    first_seed: int = FIRST_SEED
    first_tuning_seed: int = FIRST_TUNING_SEED
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        require_name("suite name", self.name)
        where = f"suite {self.name}"
        kinds = {"benchmarks": Benchmark, "on_request": Benchmark, "optimizers": OptimizerSpec}
        for part, kind in kinds.items():
            values = getattr(self, part)
            typed = isinstance(values, tuple) and all(isinstance(value, kind) for value in values)
            require(typed, f"{where}: {part}", values, f"a tuple of {kind.__name__}")
        benchmarks = [benchmark.name for benchmark in self.benchmarks + self.on_request]
        optimizers = [spec.name for spec in self.optimizers]
        require(benchmarks, f"{where}: benchmarks", (), "at least one")
        require(optimizers, f"{where}: optimizers", (), "at least one")
        for part, names in {"benchmarks": benchmarks, "optimizers": optimizers}.items():
            is_unique = len(set(names)) == len(names)
            require(is_unique, f"{where}: names of {part}", names, "each name once")
        require_count(f"{where}: n_trials", self.n_trials, high=MOST_TRIALS)
        require_count(f"{where}: n_tuning_seeds", self.n_tuning_seeds, high=MOST_SEEDS)
        require_count(
            f"{where}: n_confirmation_seeds", self.n_confirmation_seeds, low=0, high=MOST_SEEDS
        )
        require_count(f"{where}: n_seeds", self.n_seeds, high=MOST_SEEDS)
        require_count(f"{where}: max_seeds", self.max_seeds, low=0, high=MOST_SEEDS)
        is_more = self.max_seeds == 0 or self.max_seeds > self.n_seeds
        allowed = f"0, or more than n_seeds, {self.n_seeds}"
        require(is_more, f"{where}: max_seeds", self.max_seeds, allowed)
        for name in ("first_seed", "first_tuning_seed"):
            require_count(f"{where}: {name}", getattr(self, name), low=0, high=LARGEST_SEED)
        self._require_usable_seeds()
        number = isinstance(self.tolerance, int | float) and 0 <= self.tolerance < 1
        require(number, f"{where}: tolerance", self.tolerance, "a number from 0 to below 1")

    @property
    def seeds(self) -> range:
        """The evaluation seeds: fresh, never seen while the learning rate is tuned."""
        return range(self.first_seed, self.first_seed + self.n_seeds)

    @property
    def all_seeds(self) -> range:
        """The evaluation seeds, and those that may follow where a verdict is open."""
        return range(self.first_seed, self.first_seed + max(self.n_seeds, self.max_seeds))

    @property
    def tuning_seeds(self) -> range:
        """The seeds of every trial, disjoint from the evaluation seeds."""
        return range(self.first_tuning_seed, self.first_tuning_seed + self.n_tuning_seeds)

    @property
    def confirmation_seeds(self) -> range:
        """The seeds on which the best trials are confirmed: those that follow `tuning_seeds`."""
        first = self.tuning_seeds.stop
        return range(first, first + self.n_confirmation_seeds)

    def _require_usable_seeds(self) -> None:
        """Raise InputError for seeds that are too large, or for tuning and for evaluation."""
        for name, last in (
            ("first_seed", self.all_seeds.stop - 1),
            ("first_tuning_seed", self.confirmation_seeds.stop - 1),
        ):
            most = f"one whose seeds end at {LARGEST_SEED}, the largest, or before"
            value = getattr(self, name)
            require(last <= LARGEST_SEED, f"suite {self.name}: {name}", value, most)
        tuning = range(self.tuning_seeds.start, self.confirmation_seeds.stop)
        own = self.all_seeds
        is_apart = own.stop <= tuning.start or tuning.stop <= own.start
        allowed = f"no seed of {tuning.start} to {tuning.stop - 1}, on which rates are tuned"
        evaluated = f"{own.start} to {own.stop - 1}"
        require(is_apart, f"suite {self.name}: evaluation seeds", evaluated, allowed)
