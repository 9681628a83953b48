"""The nights of a suite in the store: all, the last that tuned, and the last that passed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.entities import Run as MlflowRun

from optsuite.tracking.query import read_runs
from optsuite.tracking.schema import CAMPAIGN, NIGHT, PASSED, SUITE, having
from optsuite.tracking.store import Store

TUNED = "reference"  # a night that tuned the learning rates
ORDINARY = "ordinary"  # a night that reuses the rates of the last night that tuned


@dataclass(frozen=True, kw_only=True)
class Night:
    """One night: its campaign, its start in Unix seconds, its kind, and the runs of its studies.

    `passed` tells whether nothing had become worse; None if unknown.
    """

    campaign: str
    started: float
    kind: str
    passed: bool | None
    study_runs: tuple[str, ...]


def nights(store: Store, suite: str) -> list[Night]:
    """The nights of the suite with this name, by start."""
    by_campaign: dict[str, list[MlflowRun]] = {}
    for study in store.search(f"tags.`{NIGHT}` LIKE '%' AND {having(kind='study')}"):
        # Not part of the search, because MLflow's search language cannot escape a name.
        campaign = study.data.tags.get(CAMPAIGN)
        if study.data.tags.get(SUITE) == suite and campaign is not None:
            by_campaign.setdefault(campaign, []).append(study)
    made = [_night(campaign, studies) for campaign, studies in by_campaign.items()]
    return sorted(made, key=lambda night: (night.started, night.campaign))


def _night(campaign: str, studies: Sequence[MlflowRun]) -> Night:
    kinds = [study.data.tags[NIGHT] for study in studies]
    known = [kind for kind in kinds if kind in (TUNED, ORDINARY)]
    verdicts = {study.data.tags.get(PASSED) for study in studies}
    run_ids = sorted(study.info.run_id for study in studies)
    return Night(
        campaign=campaign,
        started=min(_starts(studies), default=0.0),
        kind=known[0] if known else ORDINARY,
        passed=None if verdicts == {None} else verdicts <= {"true", None},
        study_runs=tuple(run_ids),
    )


def _starts(studies: Sequence[MlflowRun]) -> Iterator[float]:
    """The starts of studies in Unix seconds, without those that a damaged store has lost."""
    for study in studies:
        milliseconds: object = study.info.start_time
        if isinstance(milliseconds, int | float):
            yield milliseconds / 1e3


def rates(store: Store, tuned: Night | None) -> dict[tuple[str, str], float]:
    """The tuned rate of each finished study of a night that tuned, by benchmark and optimizer."""
    if tuned is None:
        return {}
    runs = read_runs(store, tuned.campaign)
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    return {(row["benchmark"], row["optimizer"]): row["lr"] for row in studies.to_dict("records")}


def last(found: Sequence[Night], **wanted: object) -> Night | None:
    """The last night with these attributes."""
    for night in reversed(found):
        if all(getattr(night, name) == value for name, value in wanted.items()):
            return night
    return None


def needed(found: Sequence[Night]) -> dict[str, str]:
    """The campaigns that a later night takes its rates from or is compared with, and why."""
    wanted = {"the last night that tuned": last(found, kind=TUNED)}
    wanted["the last night that passed"] = last(found, passed=True)
    if wanted["the last night that passed"] is None:
        wanted["the last night (none passed)"] = last(found)
    return {night.campaign: reason for reason, night in wanted.items() if night is not None}


def prune(store: Store, found: Sequence[Night], keep: int) -> list[Night]:
    """Delete all nights except the last `keep` and those that are `needed`; return the deleted."""
    kept = needed(found)
    old = [night for night in found[: max(0, len(found) - keep)] if night.campaign not in kept]
    for night in old:
        for run in store.search(having(campaign=night.campaign)):
            store.delete(run.info.run_id)
    return old


def judge(store: Store, night: Night, *, passed: bool) -> None:
    """Store whether a night passed, as a tag of its studies."""
    for run_id in night.study_runs:
        store.tag(run_id, PASSED, str(passed).lower())
