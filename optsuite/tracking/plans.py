"""How the studies of a campaign were trained, so that no engine is decided on, or tried, twice."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from optsuite.tracking.location import is_server, store_exists
from optsuite.tracking.retry import UNREADABLE
from optsuite.tracking.schema import CAMPAIGN, FINGERPRINT, KIND, REFUSAL, TRIED, having
from optsuite.tracking.sql import ask
from optsuite.tracking.store import open_store
from optsuite.training.fingerprint import Basis
from optsuite.training.legacy_fingerprint import Former, FormerBasis, read_fingerprint

KEYS = (FINGERPRINT, REFUSAL, TRIED, "engine", "engine_reason")
# Deleted runs count too: an interrupted study was planned as well.
OF_STUDIES = f"""
    SELECT runs.run_uuid AS run_id, item.key, item.value FROM runs
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = '{CAMPAIGN}' AND campaign.value = :campaign
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid
        AND kind.key = '{KIND}' AND kind.value = 'study'
    JOIN {{table}} AS item ON item.run_uuid = runs.run_uuid AND item.key IN :names
    ORDER BY runs.start_time, runs.run_uuid
"""


@dataclass(frozen=True, kw_only=True)
class Known:
    """An engine that an earlier start decided on for the rates from `low` to `high`.

    `reason` tells why it was not a faster one.
    """

    engine: str
    reason: str
    low: float
    high: float

    def covers(self, low: float, high: float) -> bool:
        """Whether the decision holds for all of these rates."""
        return self.low <= low and high <= self.high


Plans = Mapping[Basis | FormerBasis, Sequence[Known]]


def read_plans(uri: str, campaign: str) -> Plans:
    """The decisions of earlier studies, by the basis of their fingerprints.

    Includes studies that were stacked, because a check had allowed it for some rates, and studies
    whose stacked runs were refused afterwards, which holds for all rates. Leaves out other plain
    studies: an option of that start may have been the reason. Empty if the store cannot be read:
    opening it for writing reports why.
    """
    plans: dict[Basis | FormerBasis, tuple[Known, ...]] = {}
    refused: dict[Basis | FormerBasis, tuple[Known, ...]] = {}
    if not store_exists(uri):
        return plans
    read = _of_server if is_server(uri) else _of_database
    with suppress(*UNREADABLE):
        for study in read(uri, campaign):
            fingerprint = read_fingerprint(study.get(FINGERPRINT))
            known = _known(study)
            if fingerprint is None or known is None:
                continue
            basis = fingerprint.basis
            if REFUSAL in study:
                refused[basis] = (known,)
            else:
                plans[basis] = (*plans.get(basis, ()), known)
    return plans | refused


def _known(study: Mapping[str, str]) -> Known | None:
    """The decision of a study; None if it tells nothing about another start."""
    engine = study.get("engine")
    if engine is None:
        return None
    if REFUSAL in study:
        return Known(engine="plain", reason=study[REFUSAL], low=0.0, high=math.inf)
    rates = _rates(study.get(TRIED, ""))
    if engine == "plain" or rates is None:
        return None
    low, high = rates
    return Known(engine=engine, reason=study.get("engine_reason", ""), low=low, high=high)


def decided(
    plans: Plans, basis: Basis, former: Former | None, low: float, high: float
) -> tuple[str, str] | None:
    """The engine that was decided on for these rates, and the reason; None without a decision."""
    found = list(plans.get(basis, ()))
    if former:
        found += plans.get(former.basis, ())
    for known in found:
        if known.covers(low, high):
            return known.engine, known.reason
    return None


def _rates(text: str) -> tuple[float, float] | None:
    """The two rates of a tag; None if it holds something different."""
    try:
        low, high = map(float, text.split())
    except ValueError:
        return None
    return (low, high) if 0 < low <= high < math.inf else None


def _of_database(uri: str, campaign: str) -> Iterator[Mapping[str, str]]:
    studies: dict[str, dict[str, str]] = {}
    for table in ("tags", "params"):
        found = ask(uri, OF_STUDIES.format(table=table), campaign=campaign, names=list(KEYS))
        for run_id, key, value in found.itertuples(index=False):
            studies.setdefault(run_id, {})[key] = value
    return iter(studies.values())


def _of_server(uri: str, campaign: str) -> Iterator[Mapping[str, str]]:
    found = open_store(uri).search(having(campaign=campaign, kind="study"))
    found.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    return ({**run.data.tags, **run.data.params} for run in found)
