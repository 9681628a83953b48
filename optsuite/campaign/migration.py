"""Giving rows of schema 2 the fingerprints of schema 3, if the present definitions match.

To be removed one release after schema 3, with `training.legacy_fingerprint`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optsuite.campaign.study import Study
from optsuite.tracking.legacy_rows import FORMER, former_rows
from optsuite.tracking.schema import FINGERPRINT, MANUAL_ARMS, REFUTED, SUPERSEDED
from optsuite.tracking.seal import resealed
from optsuite.tracking.store import Store
from optsuite.training.engines import ENGINES
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import digest, run_digest
from optsuite.training.legacy_fingerprint import FormerFingerprint, engine_of, engines

COUNTS = ("n_trials", "n_tuning_seeds", "n_seeds")  # the budget of a study of schema 2
Row = Mapping[Any, Any]
Named = Mapping[tuple[str, str], Study]  # by benchmark and optimizer


def migrate(store: Store, campaign: str, studies: Sequence[Study]) -> None:
    """Rename the rows of schema 2 that belong to these studies, and supersede older definitions.

    Each row changes in one write. After a kill, the next start migrates the remaining rows.
    """
    named = _named(studies)
    if not named:
        return
    n_new, n_other = 0, 0
    for row in former_rows(store, campaign):
        study = named.get((row["benchmark"], row["optimizer"]))
        if study is None:
            continue
        tags = _new_tags(row, study)
        if tags:
            n_new += 1
        elif row["superseded"] != FORMER and (row["arm"] in MANUAL_ARMS) == study.is_manual:
            if not isinstance(row["superseded"], str):
                n_other += 1
            tags = {SUPERSEDED: FORMER}
        if tags:
            store.log(str(row["run_id"]), tags=tags, time=0.0)
    if n_new or n_other:
        line = (
            f"Campaign {campaign}: {n_new} runs of an earlier optsuite were given new fingerprints"
        )
        if n_other:
            line += f"; {n_other} with other definitions left the report"
        store.say([line])


def renamed(rows: pd.DataFrame, studies: Sequence[Study]) -> pd.DataFrame:
    """The rows as `migrate` would leave them. Writes nothing."""
    named = _named(studies)
    if not named or rows.empty:
        return rows
    texts = []
    for row in rows.to_dict("records"):
        study = named.get((row["benchmark"], row["optimizer"]))
        new = None
        if study is not None:
            new = _new_fingerprint(row, study)
        texts.append(row["fingerprint"] if new is None else str(new))
    return rows.assign(fingerprint=pd.Series(texts, index=rows.index, dtype="object"))


def _named(studies: Sequence[Study]) -> Named:
    return {study.name: study for study in studies if study.former is not None}


def _new_tags(row: Row, study: Study) -> dict[str, str]:
    """The tags that rename a row of this study; empty for a row of another definition."""
    new = _new_fingerprint(row, study)
    if new is None:
        return {}
    if row["superseded"] == REFUTED:  # nothing reads its seal
        return {FINGERPRINT: str(new)}
    return resealed(row, str(new))


def _new_fingerprint(row: Row, study: Study) -> Fingerprint | None:
    """The new fingerprint of a row of schema 2 that matches the study; else None."""
    former = FormerFingerprint.parse(row["fingerprint"])
    if former is None or study.former is None or former.basis != study.former.basis:
        return None
    possible = engines(_text(row["engine"]))
    if row["superseded"] == REFUTED:  # only its basis matters: what was refuted
        return study.definition.named(former.run, engine=possible[0])
    if row["kind"] == "study":
        return _of_study(row, former, study)
    lr, seed = str(row["lr"]), int(float(row["seed"]))
    kind, arm = row["kind"], _text(row["arm"])
    among = (*possible, *ENGINES)
    engine = engine_of(former, among, lr=lr, seed=seed, kind=kind, arm=arm)
    if engine is None:
        return None
    return study.definition.named(run_digest(float(lr), seed, kind, arm), engine=engine)


def _of_study(row: Row, former: FormerFingerprint, study: Study) -> Fingerprint | None:
    """A study's own fingerprint with the budget of the row; None if it searched other rates."""
    try:
        former_budget: dict[str, object] = {name: int(float(row[name])) for name in COUNTS}
        former_budget["tolerance"] = float(row["tolerance"])
    except (TypeError, ValueError):
        return None
    task = study.own_task(former_budget)
    for engine in ENGINES:
        if former.run == digest(*task, engine):
            return study.definition.named(digest(*task), engine=engine)
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
