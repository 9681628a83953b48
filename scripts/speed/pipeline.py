"""The whole comparison: the script of the tutorials beside `optsuite run`, as separate commands."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A finished command: its runs, its seconds, and the seconds from its first to its last run."""

    n_runs: int
    seconds: float
    training_seconds: float

    @property
    def runs_a_minute(self) -> float:
        """Once started."""
        return self.n_runs / self.training_seconds * 60


def tutorial(folder: Path, n_trials: int, n_seeds: int) -> Whole:
    """Run the tutorials' script with its store in the folder."""
    return _whole(
        folder / "mlflow.db",
        folder,
        str(HERE / "tutorial.py"),
        str(folder),
        str(n_trials),
        str(n_seeds),
    )


def suite(folder: Path, n_trials: int, n_seeds: int) -> Whole:
    """Run the same comparison through the command line, and the default rates as well."""
    arguments = (
        "--suite",
        str(HERE / "suite.py"),
        "--trials",
        str(n_trials),
        "--seeds",
        str(n_seeds),
    )
    return _whole(folder / "mlruns" / "mlflow.db", folder, "-m", "optsuite", "run", *arguments)


def _whole(database: Path, folder: Path, *arguments: str) -> Whole:
    folder.mkdir(parents=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
    }
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, cwd=folder, capture_output=True, env=environment
    )
    seconds = time.perf_counter() - started
    client = MlflowClient(f"sqlite:///{database}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, max_results=1_000)
    trained = [run for run in runs if run.data.tags.get("optsuite.kind") not in ("study", "report")]
    studies = [run for run in runs if run.data.tags.get("optsuite.kind") == "study"]
    first = min(run.info.start_time for run in trained)
    ended = studies or trained  # a study is written after all its runs
    last = max(run.info.end_time for run in ended)
    return Whole(n_runs=len(trained), seconds=seconds, training_seconds=(last - first) / 1e3)
