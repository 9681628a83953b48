"""Artifacts of a database that has moved.

MLflow stores their locations as absolute paths, which then point into the former folder.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy

MOVES = (
    """UPDATE experiments SET artifact_location = :new
       WHERE experiment_id = :id AND artifact_location = :old""",
    """UPDATE runs SET artifact_uri = :new || substr(artifact_uri, length(:old) + 1)
       WHERE experiment_id = :id AND substr(artifact_uri, 1, length(:old) + 1) = :old || '/'""",
)


def folder_of(benchmark: str) -> str:
    """The name of the folder with the artifacts of a benchmark's experiment."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", benchmark)


def is_elsewhere(location: str, here: str) -> bool:
    """Whether artifacts that we put beside a database are in another folder than the database.

    False unless both addresses end in the same `artifacts/NAME`: then the user chose the location.
    """
    before, now = _path(location), _path(here)
    if before is None or now is None or before.parts[-2:] != now.parts[-2:]:
        return False
    return before.resolve() != now.resolve()


def move_artifacts(uri: str, experiment: str, old: str, new: str) -> None:
    """Correct the stored location of an experiment's artifacts. No file is moved."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    values = {"id": int(experiment), "old": old, "new": new}
    with engine.begin() as connection:
        for query in MOVES:
            connection.execute(sqlalchemy.text(query), values)


def _path(location: str) -> Path | None:
    """The folder of an address; None if it is not on this machine."""
    parts = urlsplit(location)
    if parts.scheme not in ("file", "") or not parts.path:
        return None
    return Path(unquote(parts.path))
