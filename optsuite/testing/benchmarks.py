"""The contract of every benchmark, independent of its model and data."""

from typing import ClassVar

import torch
from torch import Tensor

from optsuite.definitions.benchmark import Benchmark, Split
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.optimizers import OPTIMIZERS
from optsuite.testing.training import Trained, expect, fitted_splits, rates_of, shortened, train
from optsuite.training.plain import initial_model
from optsuite.training.validation.data import check_finite
from optsuite.training.validation.definitions import check_benchmark, check_repeatable, load_splits
from optsuite.training.validation.means import check_means

PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))


class BenchmarkContract:
    """Set `benchmark` in a subclass.

    `optimizers` are tried in order until one learns, for at most `n_steps` a run. `n_shared` is how
    many examples two splits may share, for a published dataset with duplicates.
    """

    benchmark: ClassVar[Benchmark]
    optimizers: ClassVar[tuple[OptimizerSpec, ...]] = (OPTIMIZERS["adam"], OPTIMIZERS["sgd"])
    n_steps: ClassVar[int] = 100
    n_shared: ClassVar[int] = 0

    @property
    def problem(self) -> Benchmark:
        """The benchmark with the budget of the contract."""
        return shortened(self.benchmark, self.n_steps)

    def test_definition_is_accepted(self) -> None:
        """It passes all that `optsuite run` checks before it trains."""
        check_benchmark(self.benchmark, fitted_splits(self.benchmark))

    def test_dataset_is_repeatable(self) -> None:
        """Loaded twice, it has the same bits."""
        check_repeatable(self.benchmark, load_splits(self.benchmark))

    def test_splits_are_disjoint(self) -> None:
        """No example, its inputs and targets together, is in two splits."""
        splits = load_splits(self.benchmark)
        for one, other in PAIRS:
            shared = _examples(getattr(splits, one)) & _examples(getattr(splits, other))
            found = f"{len(shared)} examples are in both {one} and {other}"
            expect(len(shared) <= self.n_shared, f"{found}, allowed: {self.n_shared}")

    def test_splits_are_finite(self) -> None:
        """No value is NaN or infinite, unless the loss ignores it."""
        splits = fitted_splits(self.benchmark)
        check_finite(self.benchmark, initial_model(self.benchmark, 0), splits)

    def test_losses_and_metrics_are_means(self) -> None:
        """Each is a mean over the examples, or the benchmark declares `whole_split`."""
        splits = fitted_splits(self.benchmark)
        notes = check_means(self.benchmark, initial_model(self.benchmark, 0), splits)
        found = "; ".join(notes)
        expect(not found, found)

    def test_some_optimizer_beats_initial_loss(self) -> None:
        """One optimizer, at some rate, makes the validation loss at least 1 % lower."""
        tried: list[str] = []
        splits = fitted_splits(self.benchmark)
        for spec in self.optimizers:
            for lr in rates_of(spec):
                (run,) = train(self.problem, spec, splits, [(lr, 0)])
                expect(not run.error, f"{spec.name} at lr={lr:g} failed: {run.error}")
                if run.has_improved:
                    return
                tried.append(f"{spec.name} at {lr:.3g}")
        steps = self.problem.max_steps
        expect(False, f"nothing learned in {steps} steps: {', '.join(tried)}")

    def test_one_seed_gives_one_curve(self) -> None:
        """A run does not depend on earlier runs in the process."""
        first, other, again = self._trained([0, 1, 0])
        expect(not first.error, first.error)
        expect(first.curve == again.curve, "seed 0 gave two curves")
        expect(first.curve != other.curve, "seeds 0 and 1 gave one curve")

    def _trained(self, seeds: list[int]) -> list[Trained]:
        spec = self.optimizers[0]
        lr = rates_of(spec)[0]
        splits = fitted_splits(self.benchmark)
        return train(self.problem, spec, splits, [(lr, seed) for seed in seeds])


def _examples(split: Split) -> set[bytes]:
    """The bytes of each example, to find equal ones."""
    inputs, targets = map(_rows, split)
    return set(map(bytes.__add__, inputs, targets))


def _rows(values: Tensor) -> list[bytes]:
    flat = values.detach().cpu().reshape(len(values), -1).contiguous()
    return [row.tobytes() for row in flat.view(torch.uint8).numpy()]
