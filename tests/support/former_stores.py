"""Stores of schema 2, made from stores of the current schema."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from suites import tiny

from optsuite import Suite
from optsuite.campaign.migration import COUNTS
from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.campaign.study import Study
from optsuite.tracking import seal
from optsuite.tracking.legacy_rows import has_former_rows
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.plans import read_plans
from optsuite.tracking.rows import chunks
from optsuite.tracking.schema import ARM, FINGERPRINT, SCHEMA, SEAL, SEALED
from optsuite.tracking.store import open_store
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import digest
from optsuite.training.legacy_fingerprint import FormerFingerprint

SUITE = replace(tiny.SUITE, n_trials=4, n_seeds=2)
N_RUNS = 4 + 2 + 2 + 4 + 2
N_STUDIES = 2


def studies(suite: Suite, *, is_former: bool | None = None) -> list[Study]:
    """The studies of the suite as the command prepares them, for rows of schema 2 or without."""
    found = has_former_rows(tracking_uri(), "c") if is_former is None else is_former
    known = read_plans(tracking_uri(), "c")
    problems, _ = prepare(suite, device="cpu", known=known, is_former=found)
    return studies_of(suite, problems, device="cpu")


def raw() -> Iterator[dict[Any, Any]]:
    """The rows of campaign "c" as they are stored."""
    for chunk in chunks(open_store(tracking_uri()), "c"):
        yield from chunk.to_dict("records")


def make_former(suite: Suite, own: list[Study] | None = None) -> None:
    """Rewrite the store as schema 2 has it."""
    store = open_store(tracking_uri())
    by_name = {study.name: study for study in own or studies(suite, is_former=True)}
    for row in list(raw()):
        study = by_name[row["benchmark"], row["optimizer"]]
        assert study.former is not None
        parsed = Fingerprint.parse(row["fingerprint"])
        assert parsed is not None
        engine = parsed.environment.engine
        arm = row["arm"] if isinstance(row["arm"], str) else None
        if arm == "manual":
            arm = "given"  # as schema 2 calls it
            store.tag(row["run_id"], ARM, arm)
        budget = {name: study.budget()[name] for name in (*COUNTS, "tolerance")}
        rest = digest(*study.own_task(budget), engine)
        if row["kind"] != "study":
            rest = digest(float(row["lr"]), int(row["seed"]), row["kind"], arm, engine)
        former = FormerFingerprint(
            benchmark_hash=study.former.benchmark_hash,
            optimizer_hash=study.former.optimizer_hash,
            run=rest,
        )
        own_text = str(former)
        columns = {name: row.get(name) for name in SEALED}
        columns |= {"fingerprint": own_text, "schema": "2", "arm": arm}
        text = " ".join(("2", seal._digest(columns), *str(row["seal"]).split(" ")[2:]))
        store.log(row["run_id"], tags={FINGERPRINT: own_text, SCHEMA: "2", SEAL: text}, time=0.0)


def forms() -> set[tuple[str, bool]]:
    """The schemas of the rows, and whether their fingerprints are new."""
    found = set()
    for row in raw():
        is_new = Fingerprint.parse(row["fingerprint"]) is not None
        found.add((str(row["schema"]), is_new))
    return found


NEW, OLD = ("3", True), ("2", False)
