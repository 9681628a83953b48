"""Every run that optsuite has written to a store, in whatever state: what deleting decides by."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run as MlflowRun

from optsuite.tracking.schema import (
    ARM,
    BENCHMARK,
    CAMPAIGN,
    CLAIMS,
    FINGERPRINT,
    GIVEN_UP,
    KIND,
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

OWNERS = (CAMPAIGN, GIVEN_UP, CLAIMS)  # tags whose value is the campaign that a run belongs to
WRITTEN = (KIND, BENCHMARK, OPTIMIZER, FINGERPRINT)
MARKS = (SUPERSEDED, REFUSAL, TRIED, PROPOSED)
TAGS = (*OWNERS, *WRITTEN, ARM, NIGHT, SUITE, PARENT, *MARKS)
PARAMS = ("engine", "engine_reason")
ENDED = ("FINISHED", "FAILED")
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
    """A run with the tags TAGS and the params PARAMS. `started` is in Unix seconds.

    `is_deleted` runs are in MLflow's trash. Those of an experiment in the trash come back with it.
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
        """The campaign that it belongs to, or claims."""
        return next(self.texts[name] for name in OWNERS if name in self.texts)

    @property
    def kind(self) -> str:
        """What kind of run it is; empty where no tag says so."""
        return self.texts.get(KIND, "")

    @property
    def is_ours(self) -> bool:
        """Whether optsuite has written it; others may have given a run of theirs our tag."""
        return any(name in self.texts for name in WRITTEN)

    @property
    def is_manual(self) -> bool:
        """Whether it was trained at a rate given by hand."""
        return self.texts.get(ARM) in MANUAL_ARMS

    @property
    def is_refuted(self) -> bool:
        """Whether it must never be used again."""
        return self.texts.get(SUPERSEDED) == REFUTED

    @property
    def is_current(self) -> bool:
        """Whether its result counts in a report, or may do so."""
        counts = self.status in ENDED and SUPERSEDED not in self.texts
        return counts and not self.is_deleted and self.kind not in ("claim", "report")

    @property
    def fingerprint(self) -> str:
        """The fingerprint; empty where it has none."""
        found = self.texts.get(FINGERPRINT, "")
        return found if read_fingerprint(found) else ""

    @property
    def basis(self) -> object:
        """What it shares with all runs of its study; None without a fingerprint."""
        return basis_of(self.fingerprint)

    @property
    def pair(self) -> tuple[str | None, str | None]:
        """The benchmark and the optimizer."""
        return self.texts.get(BENCHMARK), self.texts.get(OPTIMIZER)


def basis_of(fingerprint: str) -> object:
    """What the runs of a study share, from the fingerprint of one; None for what is no fingerprint."""
    found = read_fingerprint(fingerprint)
    return found.basis if found else None


def inventory(store: Store, campaign: str | None = None) -> list[InventoryRow]:
    """The runs of a campaign, of all campaigns where it is None, claims among them, by start.

    A server tells only of what is not in its trash.
    """
    found = _of_database(store, campaign) if store.is_database else _of_server(store, campaign)
    return sorted(found, key=lambda run: (run.started, run.run_id))


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
    for owner in OWNERS:
        wanted = "LIKE '%'" if campaign is None else f"= '{campaign}'"
        for run in store.search(f"tags.`{owner}` {wanted}"):
            yield _stored(run)


def _stored(run: MlflowRun) -> InventoryRow:
    return InventoryRow(
        run_id=run.info.run_id,
        status=run.info.status,
        started=_seconds(run.info.start_time),
        artifact_uri=run.info.artifact_uri or "",
        is_deleted=False,
        experiment_is_deleted=False,
        texts={name: run.data.tags[name] for name in TAGS if name in run.data.tags}
        | {name: run.data.params[name] for name in PARAMS if name in run.data.params},
    )


def _seconds(milliseconds: object) -> float:
    """A time in seconds; 0 where a store that was damaged holds none."""
    usable = isinstance(milliseconds, int | float) and not math.isnan(milliseconds)
    return milliseconds / 1e3 if usable else 0.0  # type: ignore[operator]
