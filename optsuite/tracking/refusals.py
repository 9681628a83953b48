"""Why a store cannot be opened, and what to do about it."""

import os
import re
from pathlib import Path

import mlflow

from optsuite.errors import InputError, one_line
from optsuite.redact import redact
from optsuite.tracking.database import ELSEWHERE, RESTORE
from optsuite.tracking.retry import UNAUTHENTICATED, cause_of


def cannot_be_opened(uri: str, error: Exception) -> InputError:
    """The error for a store that MLflow could not open."""
    cause, remedy = _explained(error)
    return InputError(f"store: cannot open {redact(uri)}: {cause}; {remedy}")


def _explained(error: Exception) -> tuple[str, str]:
    """The cause of an error, and what to do."""
    if getattr(error, "error_code", "") == UNAUTHENTICATED:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        cause = "it requires a user name and a password"
        if user:
            cause = f"it rejects the user name {user!r} or its password"
        return cause, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    cause = cause_of(error)
    if isinstance(error, ModuleNotFoundError):
        return cause, "install its driver (for PostgreSQL: pip install 'optsuite[postgres]')"
    text = one_line(error)
    if "database schema" not in text and "locate revision" not in text:
        remedy = "use a SQLite, PostgreSQL or MySQL database, or an MLflow server"
        return cause, f"{remedy} (MLFLOW_TRACKING_URI)"
    if "found version None" in text:
        return "it has lost its schema version", RESTORE
    this = f"this is {mlflow.__version__}"
    if _is_of_older_version(text):
        remedy = f"back it up and run 'mlflow db upgrade', or {ELSEWHERE}"
        return f"it was written by an older version of MLflow; {this}", remedy
    remedy = f"install the MLflow that wrote it, or a newer one, or {ELSEWHERE}"
    return f"it was written by a newer version of MLflow; {this}", remedy


def _is_of_older_version(text: str) -> bool:
    """Whether MLflow's error names a schema version that this MLflow knows, and has replaced."""
    found = re.search(r"(?:found version|identified by) '?(\w+)", text)
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return bool(found and list(versions.glob(f"{found[1]}_*.py")))
