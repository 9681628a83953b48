"""Where the store is, and what can be read from it without importing MLflow, which takes 3 s."""

import os
import re
from hashlib import blake2b
from pathlib import Path

from optsuite.errors import InputError
from optsuite.redact import redact
from optsuite.tracking.database import require_place


def is_server(uri: str) -> bool:
    """Whether an address is that of a tracking server, rather than of a database."""
    return uri.startswith(("http:", "https:"))


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else the database mlruns/mlflow.db in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores.

    Raises InputError for a path that cannot be opened.
    """
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
            f"store: got {uri}, allowed: a path without ? and %, which a SQLite URI cannot hold"
        )
    return Path(file).absolute()


def _require_address(uri: str) -> None:
    """Raise InputError for a folder: MLflow no longer supports its former store in files."""
    if not uri.startswith("file:") and not _is_path(uri):
        return
    folder = uri.removeprefix("file:")
    if uri.startswith("file:/"):
        folder = "/" + folder.lstrip("/")
    database = Path(folder).absolute() / "mlflow.db"
    raise InputError(
        f"store: cannot open {uri}: it is a folder, MLflow's former kind of store; "
        f"use a database or a server, as in sqlite:///{database}"
    )


def _is_path(uri: str) -> bool:
    """Whether an address without a scheme is the path of a file, on Windows too."""
    if "://" in uri:
        return False
    return ":" not in uri or re.match(r"[./~\\]|[A-Za-z]:[/\\]", uri) is not None


def local_state_dir(uri: str) -> Path:
    """A folder for the store's local state, which only the current user writes to.

    Raises InputError if there is no home folder.
    """
    try:
        states = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise InputError(
            f"state: no home folder for the files that belong to {redact(uri)}; "
            "set HOME or XDG_STATE_HOME"
        ) from None
    address = redact(uri.rstrip("/"), {})
    name = blake2b(address.encode(), digest_size=8).hexdigest()
    return Path(states) / "optsuite" / name


def state_dir(uri: str) -> Path:
    """The folder of a SQLite file; for other stores, a folder of the current user."""
    path = database_path(uri)
    return local_state_dir(uri) if path is None else path.parent


def checkpoint_folder(uri: str) -> Path:
    """The folder with the checkpoints of runs that will be recorded in the store."""
    return state_dir(uri) / "checkpoints"


def store_exists(uri: str) -> bool:
    """Whether there may be a store: False only for a SQLite file that does not exist.

    Raises InputError for a dangling link, because that is not a new store.
    """
    path = database_path(uri)
    if path is not None:
        require_place(path)
    return path is None or path.is_file()
