"""The nights of a suite in the store: which there were, which one tuned, and which was the last good one."""

from collections.abc import Sequence
from dataclasses import dataclass

from optsuite.tracking.query import read_runs
from optsuite.tracking.schema import CAMPAIGN, GOOD, NIGHT, SUITE, having
from optsuite.tracking.store import Store

REFERENCE, ORDINARY = (
    "reference",
    "ordinary",
)  # a night that tunes the rates, and one that takes them over


@dataclass(frozen=True, kw_only=True)
class Night:
    """One night: its campaign, its start in Unix seconds, its kind, and whether nothing had got worse; None if unknown."""

    campaign: str
    started: float
    kind: str
    good: bool | None
    study_runs: tuple[str, ...]


def nights(store: Store, suite: str) -> list[Night]:
    """The nights of the suite of this name, by start."""
    found = store.search(f"tags.`{NIGHT}` LIKE '%' AND {having(kind='study')}")
    by_campaign: dict[str, list[tuple[float | None, str, str, str | None]]] = {}
    for run in found:
        tags = run.data.tags
        campaign = tags.get(CAMPAIGN)
        if (
            tags.get(SUITE) != suite or campaign is None
        ):  # not in the search, which has no escapes for a name
            continue
        own = (_seconds(run.info.start_time), run.info.run_id, tags[NIGHT], tags.get(GOOD))
        by_campaign.setdefault(campaign, []).append(own)
    made = []
    for campaign, studies in by_campaign.items():
        verdicts = {good for *_, good in studies}
        made.append(
            Night(
                campaign=campaign,
                started=min(
                    (started for started, *_ in studies if started is not None), default=0.0
                ),
                kind=next(
                    (kind for _, _, kind, _ in studies if kind in (REFERENCE, ORDINARY)), ORDINARY
                ),
                good=None if verdicts == {None} else verdicts <= {"true", None},
                study_runs=tuple(sorted(run_id for _, run_id, *_ in studies)),
            )
        )
    return sorted(made, key=lambda night: (night.started, night.campaign))


def _seconds(milliseconds: object) -> float | None:
    """A time in seconds; None where a store that was damaged holds none."""
    return milliseconds / 1e3 if isinstance(milliseconds, int | float) else None


def rates(store: Store, reference: Night | None) -> dict[tuple[str, str], float]:
    """The tuned rate of every finished study of the reference night, by benchmark and optimizer."""
    if reference is None:
        return {}
    runs = read_runs(store, reference.campaign)
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    return {(row["benchmark"], row["optimizer"]): row["lr"] for row in studies.to_dict("records")}


def last(found: Sequence[Night], **wanted: object) -> Night | None:
    """The last night with these attributes."""
    fitting = [
        night
        for night in found
        if all(getattr(night, name) == value for name, value in wanted.items())
    ]
    return fitting[-1] if fitting else None


def needed(found: Sequence[Night]) -> dict[str, str]:
    """The campaigns that a later night takes its rates from or is compared with, and what each is."""
    wanted = {"the last reference night": last(found, kind=REFERENCE)}
    wanted["the last good night"] = last(found, good=True)
    if wanted["the last good night"] is None:
        wanted["the last night, none being good"] = last(found)
    return {night.campaign: what for what, night in wanted.items() if night is not None}


def prune(store: Store, found: Sequence[Night], keep: int) -> list[Night]:
    """Delete all but the last `keep` nights, and never the last good one or the last reference. Returns what was deleted."""
    kept = needed(found)
    old = [night for night in found[: max(0, len(found) - keep)] if night.campaign not in kept]
    for night in old:
        for run in store.search(having(campaign=night.campaign)):
            store.delete(run.info.run_id)
    return old


def judge(store: Store, night: Night, *, good: bool) -> None:
    """Remember whether a night was good, on the runs of its studies."""
    for run_id in night.study_runs:
        store.tag(run_id, GOOD, str(good).lower())
