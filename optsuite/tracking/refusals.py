"""Why a store cannot be opened, and what can be done about it."""

import os
import re
from pathlib import Path

import mlflow

from optsuite.errors import InputError, one_line
from optsuite.redact import redact
from optsuite.tracking.database import ELSEWHERE
from optsuite.tracking.retry import UNAUTHENTICATED, cause_of


def cannot_be_opened(uri: str, error: Exception) -> InputError:
    """What to say of a store that MLflow could not open."""
    text, cause = one_line(error), cause_of(error)
    remedy = "a SQLite, PostgreSQL or MySQL database that can be opened, or an MLflow server (MLFLOW_TRACKING_URI)"
    if "database schema" in text or "locate revision" in text:
        if "found version None" in text:
            return InputError(
                f"store: got {redact(uri)}, which has lost its version; allowed: a backup of it, or {ELSEWHERE}"
            )
        older = _is_of_older_version(text)
        cause = f"it was written by {'an older' if older else 'a newer'} version of MLflow; this is {mlflow.__version__}"
        upgrade = (
            "back it up and run 'mlflow db upgrade'"
            if older
            else "install the MLflow that wrote it, or a newer one"
        )
        remedy = f"{upgrade}, or {ELSEWHERE}"
    if isinstance(error, ModuleNotFoundError):
        remedy = "with its driver installed, which optsuite[postgres] does for PostgreSQL"
    if getattr(error, "error_code", "") == UNAUTHENTICATED:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        cause = (
            f"it does not know {user!r} with this password"
            if user
            else "it wants a name and a password"
        )
        remedy = (
            "those of one of its users in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return InputError(
        f"store: got {redact(uri)}, which cannot be opened: {cause}; allowed: {remedy}"
    )


def _is_of_older_version(text: str) -> bool:
    """Whether what MLflow says of a database's version names one that it knows, and so has left behind."""
    found = re.search(r"(?:found version|identified by) '?(\w+)", text)
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return bool(found and list(versions.glob(f"{found[1]}_*.py")))
