"""Rows of schema 2 get the fingerprints of schema 3, if the present definitions give these rows.

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

Row = Mapping[Any, Any]
Named = Mapping[tuple[str, str], Study]  # by benchmark and optimizer
COUNTS = ("n_trials", "n_tuning_seeds", "n_seeds")  # of a budget


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
        elif (row["arm"] in MANUAL_ARMS) == study.is_manual:
            n_other += not isinstance(row["superseded"], str)
            tags = {SUPERSEDED: FORMER}
        if tags:
            store.log(str(row["run_id"]), tags=tags, time=0.0)
    if n_new or n_other:
        others = f"; {n_other} with other definitions left the report" if n_other else ""
        said = f"{n_new} runs of an earlier optsuite were given new fingerprints"
        store.say([f"Campaign {campaign}: {said}{others}"])


def renamed(rows: pd.DataFrame, studies: Sequence[Study]) -> pd.DataFrame:
    """The rows as `migrate` would leave them. Writes nothing."""
    named = _named(studies)
    if not named or rows.empty:
        return rows
    texts = []
    for row in rows.to_dict("records"):
        study = named.get((row["benchmark"], row["optimizer"]))
        new = _new_fingerprint(row, study) if study else None
        texts.append(str(new) if new else row["fingerprint"])
    return rows.assign(fingerprint=pd.Series(texts, index=rows.index, dtype="object"))


def _named(studies: Sequence[Study]) -> Named:
    return {study.name: study for study in studies if study.former is not None}


def _new_tags(row: Row, study: Study) -> dict[str, str]:
    """The tags that rename a row of this study; empty for a row of another definition."""
    new = _new_fingerprint(row, study)
    if new is None:
        return {}
    if row["superseded"] == REFUTED:  # its seal is not looked at
        return {FINGERPRINT: str(new)}
    return resealed(row, str(new))


def _new_fingerprint(row: Row, study: Study) -> Fingerprint | None:
    """The new fingerprint of a row of schema 2 that the study gives; None for any other row."""
    former = FormerFingerprint.parse(row["fingerprint"])
    if former is None or study.former is None or former.basis != study.former.basis:
        return None
    said = _text(row["engine"])
    if row["superseded"] == REFUTED:  # only its basis is used, to know what was refuted
        return study.definition.named(former.run, engine=engines(said)[0])
    if row["kind"] == "study":
        return _of_study(row, former, study)
    lr, seed, kind, arm = str(row["lr"]), int(float(row["seed"])), row["kind"], _text(row["arm"])
    among = (*engines(said), *ENGINES)
    engine = engine_of(former, among, lr=lr, seed=seed, kind=kind, arm=arm)
    if engine is None:
        return None
    return study.definition.named(run_digest(float(lr), seed, kind, arm), engine=engine)


def _of_study(row: Row, former: FormerFingerprint, study: Study) -> Fingerprint | None:
    """The fingerprint of a study's own run, with any budget; None if it searched other rates."""
    try:
        budget: dict[str, object] = {name: int(float(row[name])) for name in COUNTS}
        budget["tolerance"] = float(row["tolerance"])
    except (TypeError, ValueError):
        return None
    task = study.own_task(budget)
    for engine in ENGINES:
        if former.run == digest(*task, engine):
            return study.definition.named(digest(*task), engine=engine)
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
