"""Which runs of a campaign are obsolete, on typed-in runs."""

from dataclasses import replace

import pytest

from optsuite.campaign.housekeeping.obsolete import obsolete
from optsuite.tracking.inventory import InventoryRow

KILLED = {"fingerprint": "a-c-1", "status": "KILLED", "tried": "1 2"}
DELETED = {"fingerprint": "a-b-2", "deleted": "", "engine": "stacked"}


def stored(run_id: str, **texts: str) -> InventoryRow:
    known = {"kind": "study", "benchmark": "b", "optimizer": "o", "campaign": "c"}
    tags = {f"optsuite.{key}": value for key, value in known.items()}
    for key, value in texts.items():
        if key.startswith("engine"):
            tags[key] = value
        elif key not in ("status", "deleted"):
            tags[f"optsuite.{key}"] = value
    return InventoryRow(
        run_id=run_id,
        status=texts.get("status", "FINISHED"),
        started=float(ord(run_id)),
        artifact_uri="",
        is_deleted="deleted" in texts,
        experiment_is_deleted=False,
        texts=tags,
    )


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ({"fingerprint": "a-c-1", "superseded": "true"}, "superseded"),
        ({"fingerprint": "a-c-1", "superseded": "true", "arm": "manual"}, "superseded"),
        ({"fingerprint": "a-b-2", "superseded": "true", "arm": "manual"}, "unreplaced"),
        ({"fingerprint": "a-b-1", "superseded": "true"}, ""),  # disagrees with the current one
        ({"fingerprint": "a-c-1", "superseded": "true", "night": "ordinary"}, ""),
        (KILLED | {"engine": "stacked"}, "remembered"),
        (KILLED | {"engine": "plain"}, "unfinished"),
        (DELETED | {"tried": "1 2"}, "trash"),
        (DELETED | {"tried": "1 3"}, "remembered"),
        ({"fingerprint": "a-b-2", "deleted": "", "refusal": "it drifts"}, "remembered"),
        ({"fingerprint": "a-b-2", "status": "FAILED"}, ""),
        ({"kind": "claim", "claims": "c"}, ""),
        ({"kind": "claim", "claims": "c", "deleted": ""}, "trash"),
        ({"kind": "report"}, ""),
    ],
)
def test_each_sort_of_run_goes_or_stays(texts: dict[str, str], why: str) -> None:
    current = stored("a", fingerprint="a-b-1", tried="1 2", engine="stacked")
    found = obsolete([current, stored("b", **texts)])
    sorts = ("superseded", "refuted", "unfinished", "trash", "unreplaced", "remembered")
    assert [name for name in sorts if getattr(found, name)] == [why] * bool(why)


def test_campaign_that_is_wholly_in_the_trash_keeps_only_its_refusals() -> None:
    tried = stored("a", fingerprint="a-b-1", deleted="", tried="1 2", engine="stacked")
    refused = stored("b", fingerprint="a-b-2", deleted="", refusal="it drifts")
    found = obsolete([tried, refused])
    assert (found.trash, found.remembered) == ([tried], [refused])
    given_up = replace(refused, texts={**refused.texts, "optsuite.given_up": "c"})
    assert obsolete([given_up]).trash == [given_up]
