"""Runs of a campaign typed in by hand, as `read_runs` would give them."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from optsuite.tracking.schema import COLUMNS, NUMBERS

NAN = math.nan
EVIL = """<script>alert("x")</script> & 'o' $x_1$ %"""  # a name that no page may take for markup


def run(optimizer: str, score: float, seed: int = 0, **change: Any) -> dict[str, Any]:
    """An evaluation at the tuned rate; a score of nan is a diverged run."""
    row = dict.fromkeys(COLUMNS) | {
        "run_id": f"{optimizer}{seed}",
        "parent": f"study {optimizer}",
        "status": "FINISHED",
        "target": "validation/loss <= 0.5",
        "kind": "evaluation",
        "arm": "tuned",
        "benchmark": "b",
        "optimizer": optimizer,
        "outcome": "diverged" if math.isnan(score) else "finished",
        "superseded": False,
        "at_edge": False,
        "seed": float(seed),
        "lr": 0.1,
        "initial/validation_loss": 9.0,
        "initial/test_loss": 10.0,
        "score": score,
        "best/step": NAN if math.isnan(score) else 50.0,
        "best/test_loss": score + 1,
        "best/test_accuracy": NAN if math.isnan(score) else 0.9,
        "steps_to_target": 20.0 if score <= 0.5 else NAN,
    }
    return row | change


def study(optimizer: str, n_seeds: int = 1, n_trials: int = 16, **change: Any) -> dict[str, Any]:
    budget = {"n_seeds": float(n_seeds), "n_trials": float(n_trials), "n_tuning_seeds": 1.0}
    budget |= {"n_confirmation_seeds": 0.0, "max_seeds": 0.0, "n_evaluated": float(n_seeds)}
    own = {
        "run_id": f"study {optimizer}",
        "parent": None,
        "kind": "study",
        "arm": None,
        "seed": NAN,
    }
    return run(optimizer, 1.0) | budget | own | change


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS), dtype="object")
    return frame.astype(
        dict.fromkeys(NUMBERS, "float64") | {"superseded": "bool", "at_edge": "bool"}
    )


def seeds(optimizer: str, scores: Sequence[float], **change: Any) -> list[dict[str, Any]]:
    """A finished study and its evaluations, one for each score."""
    runs = [run(optimizer, score, seed, **change) for seed, score in enumerate(scores)]
    return [*runs, study(optimizer, len(scores))]


def around(score: float, n: int = 12) -> list[float]:
    """Scores of n seeds within half a per mille."""
    return [score * (1 + 1e-4 * ((seed * 7) % 5 - 2)) for seed in range(n)]
