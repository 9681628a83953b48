"""A suite: the benchmarks and optimizers compared together, and the protocol of the comparison."""

from dataclasses import dataclass

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import require, require_count, require_name

MOST_TRIALS, MOST_SEEDS = 1_000, 1_000  # more is a typing error
TOLERANCE = 0.01  # differences below 1 % of the better score do not matter, however certain
BUDGET = ("n_trials", "n_tuning_seeds", "n_seeds")  # the fields that say how many runs there are
FIRST_TUNING_SEED = 1_000  # evaluation seeds are 0, 1, ...; the two ranges never overlap


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The benchmarks and optimizers compared together, and the protocol of the comparison.

    `on_request` are benchmarks that run only when named, because they need a download or hours.
    Differences of less than `tolerance`, a fraction of the better score, do not count, however
    certain.
    """

    name: str
    benchmarks: tuple[Benchmark, ...]
    optimizers: tuple[OptimizerSpec, ...]
    on_request: tuple[Benchmark, ...] = ()
    n_trials: int = 16
    n_tuning_seeds: int = 1
    n_seeds: int = 12
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
        require_count(f"{where}: n_seeds", self.n_seeds, high=FIRST_TUNING_SEED)
        number = isinstance(self.tolerance, int | float) and 0 <= self.tolerance < 1
        require(number, f"{where}: tolerance", self.tolerance, "a number from 0 to below 1")

    @property
    def seeds(self) -> range:
        """The evaluation seeds: fresh, never seen while the learning rate is tuned."""
        return range(self.n_seeds)

    @property
    def tuning_seeds(self) -> range:
        """The seeds of every trial, disjoint from the evaluation seeds."""
        return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.n_tuning_seeds)
