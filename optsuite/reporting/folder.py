"""A report folder: only what is ours is written there, replaced or deleted, and no link is followed."""

import json
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from optsuite.errors import InputError
from optsuite.files import write_atomically
from optsuite.reporting.style import THEME

MANIFEST = "manifest.json"
MADE_BY = "optsuite"
FIGURES = "figures"
# What reports consisted of before they had a manifest.
TABLES = (
    "leaderboard.csv",
    "verdicts.json",
    "leaderboard.md",
    "leaderboard.tex",
    "learning_rates.csv",
    "cost.csv",
    "index.html",
    "nights.html",
)
FIRST_COLUMNS = "benchmark,optimizer,"  # of a leaderboard.csv of ours
LITTER = {".DS_Store", "Thumbs.db", ".gitkeep", ".gitignore"}  # which makes no folder a person's


class ReportFolder:
    """The folder of a report, and the list of what we wrote in it: a hash for each file, by its path there."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that is not there, empty, or ours. Raises InputError before anything is touched."""
        self._folder = folder
        _require_no_link(folder)
        if folder.exists() and not folder.is_dir():
            raise _refused(folder, "which is no folder")
        held = _read(folder / MANIFEST) if folder.is_dir() else {}
        if held is None:
            held = _of_old_report(folder)
        self._held = held
        self._written: dict[str, str] = {}

    def claim(self, names: Iterable[str]) -> None:
        """Say what will be written. Raises InputError where another's file, or a link, has that name; then nothing is."""
        names = sorted(names)
        for name in (FIGURES, *names, MANIFEST):
            path = self._folder / name
            _require_no_link(path)
            if name == FIGURES:
                ours = not path.exists() or path.is_dir()
            else:
                ours = name in self._held or name == MANIFEST or not path.exists()
            if not ours:
                raise _refused(path, "which optsuite has not written")
        (self._folder / FIGURES).mkdir(parents=True, exist_ok=True)
        self._save(
            dict.fromkeys(names, "") | self._held
        )  # so that a kill in the middle leaves a folder that is ours

    def write(self, name: str, text: str) -> Path:
        """Write one of the claimed files, at once or not at all."""
        path = self._folder / name
        write_atomically(path, text)
        self._written[name] = _hash(text.encode())
        return path

    def close(self) -> None:
        """Delete the figures of earlier reports that are still as we wrote them, and list what there is."""
        kept = {name: known for name, known in self._held.items() if name not in self._written}
        for name in [name for name in kept if name.startswith(f"{FIGURES}/")]:
            path, known = self._folder / name, kept.pop(name)
            if _is_file(path) and known in ("", _hash(path.read_bytes())):
                path.unlink()
        self._save(kept | self._written)

    def _save(self, files: Mapping[str, str]) -> None:
        listed = {"made_by": MADE_BY, "files": dict(sorted(files.items()))}
        write_atomically(self._folder / MANIFEST, json.dumps(listed, indent=1) + "\n")


def add_file(folder: Path, name: str, text: str) -> None:
    """Write one more file into a report folder of ours. Raises InputError."""
    own = ReportFolder(folder)
    own.claim([name])
    own.write(name, text)
    own._save(own._held | own._written)


def _of_old_report(folder: Path) -> dict[str, str]:
    """What a report without a manifest consists of; nothing for an empty folder. Raises InputError for a person's folder."""
    found = {path.name for path in folder.iterdir()} - LITTER
    found = {name for name in found if not (name.startswith(".") and name.endswith(".new"))}
    if not found:
        return {}
    foreign = sorted(found - {*TABLES, FIGURES})
    table = folder / "leaderboard.csv"
    if foreign or not (
        _is_file(table) and table.read_bytes()[:200].startswith(FIRST_COLUMNS.encode())
    ):
        which = foreign[0] if foreign else sorted(found)[0]
        raise _refused(folder, f"which holds {which}, and optsuite has not made it")
    figures = folder / FIGURES
    _require_no_link(figures)
    drawn = [
        path
        for path in figures.glob("*.svg")
        if _is_file(path) and THEME.encode() in path.read_bytes()
    ]
    names = [name for name in TABLES if name in found] + [
        f"{FIGURES}/{path.name}" for path in drawn
    ]
    return {name: "" for name in names if _is_file(folder / name)}


def _read(path: Path) -> dict[str, str] | None:
    """The files of a manifest; None where there is none of ours."""
    if not _is_file(path):
        return None
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = (
        listed.get("files")
        if isinstance(listed, dict) and listed.get("made_by") == MADE_BY
        else None
    )
    if not isinstance(files, dict):
        return None
    return {
        name: known for name, known in files.items() if isinstance(known, str) and _is_inside(name)
    }


def _is_inside(name: str) -> bool:
    """Whether the name of a manifest is that of a file of ours: at the top, or a figure."""
    path = PurePosixPath(name)
    return (
        not path.is_absolute()
        and ".." not in path.parts
        and path.parts[:-1] in ((), (FIGURES,))
        and "\0" not in name
    )


def _is_file(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        raise _refused(path, "which is a link")


def _refused(path: Path, why: str) -> InputError:
    return InputError(
        f"report folder: got {path}, {why}; nothing is changed there; allowed: another --out, new or empty"
    )


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
