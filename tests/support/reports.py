"""Tables and reports of rows that are typed in."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optsuite.analysis.leaderboard import comparison, leaderboard
from optsuite.reporting.write import build
from optsuite.tracking.schema import CURVES
from support.frames import NAN, frame, run, seeds


def losses(runs: Iterable[str]) -> pd.DataFrame:
    """A falling curve for every run."""
    rows = [
        (name, "validation/loss", step, 9.0 / (1 + step))
        for name in runs
        for step in range(0, 60, 10)
    ]
    return pd.DataFrame(rows, columns=list(CURVES)).astype({"step": "int64", "value": "float64"})


def made(folder: Path, *rows: dict[str, Any]) -> str:
    """Build the report of the rows and return its page."""
    runs = frame(*(row | {"experiment_id": "1"} for row in rows))
    build(
        runs,
        losses,
        comparison(runs),
        folder,
        campaign="c",
        ui="http://127.0.0.1:5000",
        notes=["Skipped d: no data"],
    )
    return (folder / "index.html").read_text()


def table(*rows: dict[str, Any]) -> dict[tuple[str, str], dict[Any, Any]]:
    """The leaderboard of the rows by optimizer and arm."""
    return {
        (row["optimizer"], row["arm"]): row for row in leaderboard(frame(*rows)).to_dict("records")
    }


def whole(
    names: Sequence[str], benchmarks: Sequence[str] = ("b",), n_seeds: int = 12
) -> list[dict[str, Any]]:
    """Studies with trials, tuned and default evaluations of every optimizer on every benchmark."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for benchmark in benchmarks:
        for i, name in enumerate(names):
            ids = {"benchmark": benchmark, "max_steps": 50.0, "eval_every": 10.0, "lr": 0.1}
            own = [*seeds(name, list(0.3 + 0.1 * i + 0.02 * rng.random(n_seeds)))]
            own += [
                run(name, 1.0 + i, seed, arm="default", lr=0.01) | {"run_id": f"{name} {seed} d"}
                for seed in range(n_seeds)
            ]
            for k, rate in enumerate((0.001, 0.01, 0.1, 1.0)):
                score = NAN if k == 3 else 2.0 - 0.5 * k
                own.append(
                    run(name, score, 1000, kind="trial", arm=None, lr=rate)
                    | {"run_id": f"{name} t{k}"}
                )
            rows += [
                row
                | ids
                | {"lr": row["lr"], "run_id": f"{benchmark} {row['run_id']}"}
                | _parent(row, benchmark)
                for row in own
            ]
    return rows


def _parent(row: dict[str, Any], benchmark: str) -> dict[str, Any]:
    return {"parent": f"{benchmark} {row['parent']}" if row["parent"] else None}
