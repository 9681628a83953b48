"""Where the store is, and what can be read of it without the three seconds that importing MLflow takes."""

import os
import re
import sqlite3
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

from optsuite.errors import InputError, UnknownNameError
from optsuite.redact import redact
from optsuite.tracking.database import explained, require_ours, require_place
from optsuite.tracking.schema import CAMPAIGN

CAMPAIGNS = f"""SELECT DISTINCT value FROM tags JOIN runs USING (run_uuid)
               WHERE key = '{CAMPAIGN}' AND lifecycle_stage = 'active' ORDER BY value"""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else the database in the folder mlruns of the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other. Raises InputError for a path that cannot be opened."""
    if not uri.startswith("sqlite:"):
        _require_address(uri)
        return None
    file = uri.removeprefix("sqlite:///")
    if file in ("", ":memory:", uri) or Path(file).is_dir():
        raise InputError(
            f"store: got {uri}, allowed: the path of a file, as in sqlite:////home/me/mlflow.db"
        )
    if set(uri) & set("?%"):
        raise InputError(
            f"store: got {uri}, allowed: a path without ? and %, which SQLite's address cannot hold"
        )
    return Path(file).absolute()


def _require_address(uri: str) -> None:
    """Raise InputError for MLflow's store of files, which it has given up."""
    folder = uri.removeprefix("file:")
    if uri.startswith("file:") or (
        "://" not in uri and (re.match(r"[./~\\]|[A-Za-z]:[/\\]", uri) or ":" not in uri)
    ):
        place = "/" + folder.lstrip("/") if uri.startswith("file:/") else folder
        allowed = f"a database or a server, as in sqlite:///{Path(place).absolute() / 'mlflow.db'}"
        raise InputError(
            f"store: got {uri}, which cannot be opened: it names a folder, MLflow's former store; allowed: {allowed}"
        )


def local_state_dir(uri: str) -> Path:
    """A folder for what belongs to the store, where a person's programs keep their state: nobody else writes there."""
    try:
        states = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        allowed = "HOME or XDG_STATE_HOME set to a folder of yours"
        raise InputError(
            f"state: got no home folder for what belongs to {redact(uri)}; allowed: {allowed}"
        ) from None
    return (
        Path(states)
        / "optsuite"
        / blake2b(redact(uri.rstrip("/"), {}).encode(), digest_size=8).hexdigest()
    )


def state_dir(uri: str) -> Path:
    """The folder for what this machine keeps beside the store: that of a SQLite file, else one of this person's."""
    path = database_path(uri)
    return local_state_dir(uri) if path is None else path.parent


def checkpoint_folder(uri: str) -> Path:
    """Where the checkpoints of runs lie that are to be recorded in the store."""
    return state_dir(uri) / "checkpoints"


def store_exists(uri: str) -> bool:
    """Whether there is anything to open. Only a missing SQLite file is known not to be there.

    Raises InputError where a link leads to what is not there: that is no new store.
    """
    path = database_path(uri)
    if path is not None:
        require_place(path)
    return path is None or path.is_file()


def campaign_names(uri: str) -> list[str]:
    """The campaigns that hold runs. Reads SQLite directly, and asks MLflow for any other store."""
    path = database_path(uri)
    if path is None:
        from optsuite.tracking.query import read_campaigns
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
    """Raise InputError, mostly UnknownNameError, unless the store holds runs of the campaign."""
    names = campaign_names(uri) if store_exists(uri) else []
    if not names:
        raise InputError(
            f"campaign: got {campaign!r}, there is no campaign yet in {redact(uri)}; 'optsuite run' makes one"
        )
    if campaign not in names:
        raise UnknownNameError("campaign", campaign, names)
