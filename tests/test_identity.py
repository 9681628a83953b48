import importlib.util
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny

from optsuite import OPTIMIZERS, LogUniform, Target, models
from optsuite.training.identity import definition, derived_seed, describe, fingerprint, hash_splits, setting
from optsuite.training.run import Run

RUN = Run(benchmark="tiny_line", optimizer="sgd", lr=0.1, seed=0, kind="evaluation", arm="tuned")


def of(benchmark: Any = tiny.BENCHMARK, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> str:
    return setting(benchmark, benchmark.dataset(), dtype=dtype, device=device)


def identity(run: Run, spec: Any = OPTIMIZERS["sgd"], engine: str = "plain") -> str:
    return fingerprint(run, setting=of(), definition=definition(spec), engine=engine)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"model": partial(torch.nn.Linear, 3, 1, bias=False)},
        {"loss": F.l1_loss},
        {"batch_size": 8},
        {"max_steps": 41},
        {"eval_every": 5},
        {"shuffle": "once"},
        {"target": Target("validation/loss", 2.0)},
        {"metrics": {"mae": F.l1_loss}},
        {"dataset": lambda: replace(tiny.line(), test=tiny.line().train)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_benchmark_changes_its_setting(change: dict[str, Any]) -> None:
    assert of(replace(tiny.BENCHMARK, **change)) != of()


def test_numerics_are_part_of_the_setting() -> None:
    assert len({of(), of(dtype=torch.float64), of(device="cuda")}) == 3
    assert of(device="cuda:0") == of(device="cuda:1")


def test_the_same_definition_made_again_is_the_same() -> None:
    assert of(replace(tiny.BENCHMARK, dataset=lambda: tiny.line())) == of()


@pytest.mark.parametrize("change", [{"lr": 0.2}, {"seed": 1}, {"kind": "trial", "arm": None}, {"arm": "default"}])
def test_whatever_changes_a_run_changes_its_fingerprint(change: dict[str, Any]) -> None:
    assert identity(replace(RUN, **change)) != identity(RUN)


def test_optimizers_differ_by_what_they_do_not_by_what_is_searched() -> None:
    sgd = OPTIMIZERS["sgd"]
    assert identity(RUN, replace(sgd, fixed={"momentum": 0.5})) != identity(RUN)
    assert identity(RUN, engine="stacked") != identity(RUN)
    assert identity(RUN, replace(sgd, lr=LogUniform(low=1e-9, high=1.0), default_lr=0.5, source="")) == identity(RUN)
    assert len({definition(spec) for spec in OPTIMIZERS.values()}) == len(OPTIMIZERS)


def load(folder: Path, text: str) -> ModuleType:
    """The text as a module of its own, always of the same name."""
    path = folder / f"{abs(hash(text))}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("written", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TEXT = """
import torch
WIDTH = 4
def helper():
    return 1
def model(n=2):
    return torch.nn.Linear(WIDTH, n + helper())
def made(scale):
    def loss(outputs, targets):
        return outputs.mean() * scale
    return loss
loss = made(2.0)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("WIDTH = 4", "WIDTH = 5"), ("return 1", "return 2"), ("n=2", "n=3"), ("n + helper()", "n - helper()")],
    ids=["constant", "helper", "default", "body"],
)
def test_edits_of_what_a_function_reads_are_noticed(tmp_path: Path, old: str, new: str) -> None:
    before, after = load(tmp_path, TEXT), load(tmp_path, TEXT.replace(old, new))
    assert describe(before.model) != describe(after.model)
    assert describe(before.loss) == describe(after.loss)


def test_what_a_function_closes_over_is_noticed(tmp_path: Path) -> None:
    before, after = load(tmp_path, TEXT), load(tmp_path, TEXT.replace("made(2.0)", "made(3.0)"))
    assert describe(before.loss) != describe(after.loss)


def test_functions_that_call_each_other_are_described(tmp_path: Path) -> None:
    module = load(tmp_path, "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\n")
    assert "recursion" in str(describe(module.even))


def test_classes_and_partials_are_described_by_source_and_arguments() -> None:
    assert describe(partial(models.mlp, (3, 1))) != describe(partial(models.mlp, (3, 2)))
    assert "distance" in str(describe(models.Quadratic))


def test_data_are_hashed_by_content() -> None:
    splits = tiny.line()
    changed = splits.test[0].clone()
    changed[0, 0] += 1e-6
    assert hash_splits(splits) == hash_splits(tiny.line())
    assert hash_splits(splits) != hash_splits(replace(splits, test=(changed, splits.test[1])))


def test_derived_seeds_are_fixed_numbers() -> None:
    assert derived_seed("round", "digits_mlp", 1) == 8840290663727853503
    assert all(0 <= derived_seed(part) < 2**63 for part in range(100))
    assert derived_seed(1, 23) != derived_seed(12, 3)
