"""How the studies of a campaign were trained: what was decided once stays decided, and costs nothing again."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy
from mlflow.exceptions import MlflowException

from optsuite.errors import InputError, StoreUnavailableError
from optsuite.tracking.location import HTTP, store_exists
from optsuite.tracking.schema import CAMPAIGN, FINGERPRINT, KIND, REFUSAL, TRIED, having
from optsuite.tracking.sql import ask
from optsuite.tracking.store import open_store
from optsuite.training.fingerprint import Basis
from optsuite.training.legacy_fingerprint import Former, FormerBasis, read_fingerprint

KEYS = (FINGERPRINT, REFUSAL, TRIED, "engine", "engine_reason")
# Deleted runs count too: a study that was interrupted was planned all the same.
OF_STUDIES = f"""
    SELECT runs.run_uuid AS run_id, item.key, item.value FROM runs
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = '{CAMPAIGN}' AND campaign.value = :campaign
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = '{KIND}' AND kind.value = 'study'
    JOIN {{table}} AS item ON item.run_uuid = runs.run_uuid AND item.key IN :names
    ORDER BY runs.start_time, runs.run_uuid
"""


@dataclass(frozen=True, kw_only=True)
class Known:
    """An engine that an earlier start decided on, why no faster one, and the rates from `low` to `high` that it holds for."""

    engine: str
    reason: str
    low: float
    high: float

    def covers(self, low: float, high: float) -> bool:
        """Whether it was decided for all of these rates."""
        return self.low <= low and high <= self.high


Plans = Mapping[Basis | FormerBasis, Sequence[Known]]


def read_plans(uri: str, campaign: str) -> Plans:
    """What is known from earlier studies, by the basis of their fingerprints.

    Those that were stacked, as a trial had allowed for some rates, and those whose stacks were refused by what came of them,
    which holds for all rates. Why others were trained plainly may have been an option of that start. Empty where the store
    cannot be read: whoever opens it to write says why.
    """
    plans: dict[Basis | FormerBasis, tuple[Known, ...]] = {}
    refused: dict[Basis | FormerBasis, tuple[Known, ...]] = {}
    if not store_exists(uri):
        return plans
    with suppress(
        InputError, StoreUnavailableError, MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError
    ):
        for study in (
            _of_server(uri, campaign) if uri.startswith(HTTP) else _of_database(uri, campaign)
        ):
            fingerprint = read_fingerprint(study.get(FINGERPRINT))
            engine = study.get("engine")
            if fingerprint is None or engine is None:
                continue
            basis = fingerprint.basis
            if REFUSAL in study:
                known = Known(engine="plain", reason=study[REFUSAL], low=0.0, high=math.inf)
                refused[basis] = (known,)
            elif engine != "plain" and (rates := _rates(study.get(TRIED, ""))):
                known = Known(
                    engine=engine,
                    reason=study.get("engine_reason", ""),
                    low=rates[0],
                    high=rates[1],
                )
                plans[basis] = (*plans.get(basis, ()), known)
    return plans | refused


def decided(
    plans: Plans, basis: Basis, former: Former | None, low: float, high: float
) -> tuple[str, str] | None:
    """The engine that was decided on for these rates, and the reason; None if there is none."""
    found = [*plans.get(basis, ()), *(plans.get(former.basis, ()) if former else ())]
    return next(((one.engine, one.reason) for one in found if one.covers(low, high)), None)


def _rates(text: str) -> tuple[float, float] | None:
    """The two rates of a tag; None where it holds something else."""
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
    condition = having(campaign=campaign, kind="study")
    found = sorted(
        open_store(uri).search(condition), key=lambda run: (run.info.start_time, run.info.run_id)
    )
    return ({**run.data.tags, **run.data.params} for run in found)
