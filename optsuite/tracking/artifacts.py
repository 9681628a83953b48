"""Artifacts of a database that has moved: MLflow keeps their places as absolute paths, which then are another project's."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy

MOVES = (
    "UPDATE experiments SET artifact_location = :new WHERE experiment_id = :id AND artifact_location = :old",
    """UPDATE runs SET artifact_uri = :new || substr(artifact_uri, length(:old) + 1)
       WHERE experiment_id = :id AND substr(artifact_uri, 1, length(:old) + 1) = :old || '/'""",
)


def folder_of(benchmark: str) -> str:
    """The folder of an experiment's artifacts."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", benchmark)


def is_elsewhere(location: str, here: str) -> bool:
    """Whether artifacts that we have put beside a database lie where it is not: `artifacts/NAME` in another folder."""
    before, now = _path(location), _path(here)
    if before is None or now is None or before.parts[-2:] != now.parts[-2:]:
        return False  # somebody has chosen the place
    return before.resolve() != now.resolve()


def move_artifacts(uri: str, experiment: str, old: str, new: str) -> None:
    """Correct the place of an experiment's artifacts. Nothing is moved: what lay beside the database lies there still."""
    with sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).begin() as connection:
        for query in MOVES:
            connection.execute(
                sqlalchemy.text(query), {"id": int(experiment), "old": old, "new": new}
            )


def _path(location: str) -> Path | None:
    """The folder of an address; None where it is none of this machine."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("file", "") and parts.path else None
