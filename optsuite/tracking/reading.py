"""Reading a campaign back: one row a run, the same columns whatever is there."""

import pandas as pd
from mlflow.entities import Run as MlflowRun

from optsuite.tracking.store import SUPERSEDED, Store

TAGS = ("kind", "arm", "benchmark", "optimizer", "campaign", "suite", "outcome", "fingerprint", "error")
PARAMS = ("lr", "n_trials", "n_tuning_seeds", "n_seeds")
SUMMARIES = (
    "initial/validation_loss",
    "initial/test_loss",
    "score",
    "best/step",
    "best/test_loss",
    "best/test_accuracy",
    "final/train_loss",
    "steps_to_target",
)
TEXT = ("run_id", "experiment_id", "parent", "status", "target", *TAGS)
FLAGS = ("superseded", "at_edge")
NUMBERS = ("seed", *PARAMS, "seconds", *SUMMARIES)
COLUMNS = (*TEXT, *FLAGS, *NUMBERS)


def read_runs(store: Store, campaign: str, *, everything: bool = False) -> pd.DataFrame:
    """The runs of a campaign with COLUMNS, sorted by what they are; with `everything`, unfinished and superseded ones too.

    Text columns hold None where a run has no such tag, numbers nan. `seconds` is the run's wall-clock time.
    """
    condition = f"tags.`optsuite.campaign` = '{campaign}'"
    rows = [_row(run) for run in store.search(condition)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="object")
    frame = frame.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(FLAGS, "bool"))
    if not everything:
        frame = frame[(frame["status"] != "RUNNING") & (frame["status"] != "KILLED") & ~frame["superseded"]]
    return frame.sort_values(["benchmark", "optimizer", "kind", "arm", "lr", "seed", "run_id"], ignore_index=True)


def _row(run: MlflowRun) -> dict[str, object]:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    ended = run.info.end_time
    return (
        {tag: tags.get(f"optsuite.{tag}") for tag in TAGS}
        | {name: params.get(name) for name in PARAMS}
        | {name: metrics.get(name) for name in SUMMARIES}
        | {
            "run_id": run.info.run_id,
            "experiment_id": run.info.experiment_id,
            "parent": tags.get("mlflow.parentRunId"),
            "status": run.info.status,
            "target": params.get("target"),
            "superseded": SUPERSEDED in tags,
            "at_edge": params.get("at_edge") == "True",
            "seed": tags.get("optsuite.seed"),
            "seconds": None if ended is None else (ended - run.info.start_time) / 1e3,
        }
    )
