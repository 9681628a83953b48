"""The rows of a campaign that have fingerprints of schema 2.

To be removed one release after schema 3, with `training.legacy_fingerprint`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from optsuite.tracking.location import is_server, store_exists
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.retry import UNREADABLE
from optsuite.tracking.rows import chunks
from optsuite.tracking.schema import (
    CAMPAIGN,
    ENDED,
    FINGERPRINT,
    NUMBERS,
    REFUTED,
    having,
)
from optsuite.tracking.seal import flaw_of_seal
from optsuite.tracking.soundness import flaw
from optsuite.tracking.sql import ask
from optsuite.tracking.store import Store, open_store
from optsuite.training.legacy_fingerprint import FormerFingerprint

FORMER = "schema 2"  # the value of SUPERSEDED for rows that match no current definition
LIKE = "-".join(["_" * 16] * 3)  # fingerprints of schema 2, for LIKE in SQL: three digests
KEPT = re.compile(rf'"{FINGERPRINT}": "\w+-\w+-\w+"'.encode())  # the same in a file of the outbox
ANY = f"""
    SELECT runs.run_uuid FROM runs
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = '{CAMPAIGN}' AND campaign.value = :campaign
    JOIN tags AS own ON own.run_uuid = runs.run_uuid
        AND own.key = '{FINGERPRINT}' AND own.value LIKE :like
    WHERE runs.lifecycle_stage = 'active' LIMIT 1
"""


def has_former_rows(uri: str, campaign: str) -> bool:
    """Whether the campaign holds fingerprints of schema 2 that may have to be migrated.

    Rows of other definitions keep theirs: a definition may become again what it was.
    False if the store cannot be read: opening it for writing reports why.
    """
    if not store_exists(uri):
        return False
    with suppress(*UNREADABLE):
        if any(KEPT.search(path.read_bytes()) for path in Outbox(uri, campaign).waiting):
            return True
        if not is_server(uri):
            return not ask(uri, ANY, campaign=campaign, like=LIKE).empty
        like = f"tags.`{FINGERPRINT}` LIKE '{LIKE}'"
        return any(open_store(uri).pages(f"{having(campaign=campaign)} AND {like}"))
    return False


def former_rows(store: Store, campaign: str) -> Iterator[Mapping[Any, Any]]:
    """The rows of schema 2 that have ended and are sound or refuted, unchanged from the store."""
    for chunk in chunks(store, campaign):
        for row in chunk.to_dict("records"):
            if row["status"] not in ENDED:
                continue
            if FormerFingerprint.parse(row["fingerprint"]) is None:
                continue
            if row["superseded"] == REFUTED or not (flaw(row, NUMBERS) or flaw_of_seal(row)):
                yield row
