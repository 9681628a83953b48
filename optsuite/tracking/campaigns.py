"""The campaigns of a store, read without importing MLflow if the store is a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from optsuite.errors import InputError, UnknownNameError
from optsuite.redact import redact
from optsuite.tracking.database import explained, require_ours
from optsuite.tracking.location import database_path, store_exists
from optsuite.tracking.schema import CAMPAIGN, MANUAL_ARMS, having

if TYPE_CHECKING:
    from optsuite.tracking.store import Store

CAMPAIGNS = f"""SELECT DISTINCT value FROM tags JOIN runs USING (run_uuid)
               WHERE key = '{CAMPAIGN}' AND lifecycle_stage = 'active' ORDER BY value"""


def campaign_names(uri: str) -> list[str]:
    """The campaigns that hold runs. Reads SQLite directly, and other stores through MLflow."""
    path = database_path(uri)
    if path is None:
        from optsuite.tracking.store import open_store

        return read_campaigns(open_store(uri))
    require_ours(path)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return [name for (name,) in connection.execute(CAMPAIGNS)]
    except sqlite3.Error as error:
        if not path.exists():
            return []
        raise explained(path, error) from error


def require_campaign(uri: str, campaign: str) -> None:
    """Raise InputError or UnknownNameError unless the store holds runs of the campaign."""
    names = campaign_names(uri) if store_exists(uri) else []
    if not names:
        raise InputError(
            f"campaign {campaign!r} does not exist: there is no campaign yet in {redact(uri)}; "
            "'optsuite run' creates one"
        )
    if campaign not in names:
        raise UnknownNameError("campaign", campaign, names)


def read_campaigns(store: Store) -> list[str]:
    """The campaigns that hold runs, through MLflow: each has a study, or a run by hand."""
    from optsuite.tracking.sql import query

    if store.is_database:
        return list(query(store, CAMPAIGNS)["value"])
    found: set[str] = set()
    for condition in (having(kind="study"), *(having(arm=arm) for arm in MANUAL_ARMS)):
        found.update(run.data.tags[CAMPAIGN] for run in store.search(condition))
    return sorted(found)
