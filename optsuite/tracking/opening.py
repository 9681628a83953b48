"""Opening a store, and creating a SQLite one: safe against kills and other processes."""

import logging
import os
import sqlite3
import uuid
from contextlib import closing, suppress
from pathlib import Path

import filelock
import sqlalchemy
from mlflow import MlflowClient

from optsuite.errors import InputError
from optsuite.tracking.database import require_ours
from optsuite.tracking.location import database_path, is_server
from optsuite.tracking.refusals import cannot_be_opened

# MLflow's own retries are silent, repeat calls that succeeded, and last for minutes at a wrong
# address; RetryPolicy replaces them.
ALONE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}


def open_client(uri: str) -> MlflowClient:
    """A client whose store answers. Raises InputError if the store cannot be opened."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It logs the exceptions that it raises, with their stacks.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    path = database_path(uri)
    if path is None:
        for name, value in ALONE.items():
            os.environ.setdefault(name, value)
    try:
        if path is not None:
            require_ours(path)
            if not path.exists():
                _create(path)
            _write_ahead(path)
        elif not is_server(uri):
            # Try once here, because MLflow would try for minutes.
            engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
            engine.connect().close()
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except InputError:
        raise
    except Exception as error:
        raise cannot_be_opened(uri, error) from error
    return client


def _create(path: Path) -> None:
    """Create the database under another name, then rename it.

    If MLflow is killed while it creates a database, it leaves a file that can never be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that create one database make each other crash.
    with filelock.FileLock(path.with_name(".creating.lock")):
        for stale in path.parent.glob(".creating-*"):
            stale.unlink()
        if path.exists():
            return
        fresh = path.with_name(f".creating-{uuid.uuid4().hex}.db")
        MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments(max_results=1)
        os.replace(fresh, path)


def _write_ahead(path: Path) -> None:
    """Switch the database to write-ahead logging for good.

    Writing a run then takes a quarter of the time, and is as safe.
    """
    # The database is locked if another process is writing; the next start switches it.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
