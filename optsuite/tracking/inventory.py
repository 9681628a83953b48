"""Every run that optsuite has written to a store, in any state: the basis of deleting."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run as MlflowRun

from optsuite.tracking.schema import (
    ARM,
    BENCHMARK,
    CAMPAIGN,
    ENDED,
    FINGERPRINT,
    GIVEN_UP,
    KIND,
    LEASE,
    LEASED,
    MANUAL_ARMS,
    NIGHT,
    OPTIMIZER,
    PARENT,
    PROPOSED,
    REFUSAL,
    REFUTED,
    SUITE,
    SUPERSEDED,
    TRIED,
)
from optsuite.tracking.sql import query
from optsuite.tracking.store import Store
from optsuite.training.legacy_fingerprint import read_fingerprint

OWNERS = (CAMPAIGN, GIVEN_UP, LEASED)  # tags whose value is the campaign that a run belongs to
WRITTEN = (KIND, BENCHMARK, OPTIMIZER, FINGERPRINT)
MARKS = (SUPERSEDED, REFUSAL, TRIED, PROPOSED)
TAGS = (*OWNERS, *WRITTEN, ARM, NIGHT, SUITE, PARENT, *MARKS)
PARAMS = ("engine", "engine_reason")
RUNS = """
    SELECT runs.run_uuid AS run_id, runs.status, runs.start_time, runs.artifact_uri,
        runs.lifecycle_stage AS stage, experiments.lifecycle_stage AS stage_of_experiment
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS owner ON owner.run_uuid = runs.run_uuid AND owner.key IN :owners {condition}
"""
ITEMS = """
    SELECT item.run_uuid AS run_id, item.key, item.value FROM {table} AS item
    JOIN tags AS owner ON owner.run_uuid = item.run_uuid AND owner.key IN :owners {condition}
    WHERE item.key IN :names
"""


@dataclass(frozen=True, kw_only=True)
class InventoryRow:
    """A run. `started` is in Unix seconds, `texts` holds the tags TAGS and the params PARAMS.

    `is_deleted` runs are in MLflow's trash. Restoring a deleted experiment restores its runs.
    """

    run_id: str
    status: str
    started: float
    artifact_uri: str
    is_deleted: bool
    experiment_is_deleted: bool
    texts: Mapping[str, str]

    @property
    def campaign(self) -> str:
        """The campaign that the run belongs to, or leases."""
        return next(self.texts[name] for name in OWNERS if name in self.texts)

    @property
    def kind(self) -> str:
        """The kind of the run; empty without such a tag."""
        return self.texts.get(KIND, "")

    @property
    def is_ours(self) -> bool:
        """Whether optsuite wrote the run; another program may have used one of our tags."""
        return any(name in self.texts for name in WRITTEN)

    @property
    def is_manual(self) -> bool:
        """Whether the run was trained at a rate given by hand."""
        return self.texts.get(ARM) in MANUAL_ARMS

    @property
    def is_refuted(self) -> bool:
        """Whether the run must never be used again."""
        return self.texts.get(SUPERSEDED) == REFUTED

    @property
    def is_current(self) -> bool:
        """Whether the result of the run counts in a report, or may count."""
        counts = self.status in ENDED and SUPERSEDED not in self.texts
        return counts and not self.is_deleted and self.kind not in (LEASE, "report")

    @property
    def fingerprint(self) -> str:
        """The fingerprint; empty if there is no valid one."""
        found = self.texts.get(FINGERPRINT, "")
        return found if read_fingerprint(found) else ""

    @property
    def basis(self) -> object:
        """The part of the fingerprint that all runs of the study share; None without one."""
        return basis_of(self.fingerprint)

    @property
    def pair(self) -> tuple[str | None, str | None]:
        """The benchmark and the optimizer."""
        return self.texts.get(BENCHMARK), self.texts.get(OPTIMIZER)


def basis_of(fingerprint: str) -> object:
    """The part of a fingerprint that all runs of a study share; None if the text is not one."""
    found = read_fingerprint(fingerprint)
    return found.basis if found else None


def inventory(store: Store, campaign: str | None = None) -> list[InventoryRow]:
    """The runs and leases of a campaign, or of all campaigns if it is None, by start.

    A server does not list the runs in its trash.
    """
    read = _of_database if store.is_database else _of_server
    return sorted(read(store, campaign), key=lambda run: (run.started, run.run_id))


def _of_database(store: Store, campaign: str | None) -> Iterator[InventoryRow]:
    values: dict[str, Any] = {"owners": list(OWNERS)}
    condition = ""
    if campaign is not None:
        values["campaign"] = campaign
        condition = "AND owner.value = :campaign"
    texts: dict[str, dict[str, str]] = {}
    for table, names in (("tags", TAGS), ("params", PARAMS)):
        text = ITEMS.format(table=table, condition=condition)
        items = query(store, text, names=list(names), **values)
        for run_id, key, value in items.itertuples(index=False):
            texts.setdefault(run_id, {})[key] = str(value)
    rows = query(store, RUNS.format(condition=condition), **values)
    for row in rows.drop_duplicates("run_id").to_dict("records"):
        yield InventoryRow(
            run_id=row["run_id"],
            status=str(row["status"]),
            started=_seconds(row["start_time"]),
            artifact_uri=row["artifact_uri"] or "",
            is_deleted=row["stage"] == "deleted",
            experiment_is_deleted=row["stage_of_experiment"] == "deleted",
            texts=texts[row["run_id"]],
        )


def _of_server(store: Store, campaign: str | None) -> Iterator[InventoryRow]:
    wanted = "LIKE '%'" if campaign is None else f"= '{campaign}'"
    for owner in OWNERS:
        for run in store.search(f"tags.`{owner}` {wanted}"):
            yield _stored(run)


def _stored(run: MlflowRun) -> InventoryRow:
    tags = {name: run.data.tags[name] for name in TAGS if name in run.data.tags}
    params = {name: run.data.params[name] for name in PARAMS if name in run.data.params}
    return InventoryRow(
        run_id=run.info.run_id,
        status=run.info.status,
        started=_seconds(run.info.start_time),
        artifact_uri=run.info.artifact_uri or "",
        is_deleted=False,
        experiment_is_deleted=False,
        texts=tags | params,
    )


def _seconds(milliseconds: object) -> float:
    """A time in seconds; 0 if a damaged store has lost it."""
    if not isinstance(milliseconds, int | float) or math.isnan(milliseconds):
        return 0.0
    return milliseconds / 1e3
