"""A report folder: only our own files are written, replaced or deleted; links are not followed."""

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
# The files of reports from before there was a manifest.
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
LITTER = {".DS_Store", "Thumbs.db", ".gitkeep", ".gitignore"}  # an empty folder may hold these


class ReportFolder:
    """The folder of a report, and the hashes of the files that we wrote there, by path."""

    def __init__(self, folder: Path) -> None:
        """Take a folder that is missing, empty or ours.

        Raises InputError for any other, before anything is changed.
        """
        self._folder = folder
        _require_no_link(folder)
        if folder.exists() and not folder.is_dir():
            raise _refused(folder, "which is not a folder")
        manifest = _read(folder / MANIFEST) if folder.is_dir() else {}
        if manifest is None:
            manifest = _of_old_report(folder)
        self._manifest = manifest
        self._written: dict[str, str] = {}

    def claim(self, names: Iterable[str]) -> None:
        """Announce what will be written.

        Raises InputError, and changes nothing, if a name belongs to a link or to a file that is not
        ours.
        """
        names = sorted(names)
        for name in (FIGURES, *names, MANIFEST):
            path = self._folder / name
            _require_no_link(path)
            if name == FIGURES:
                ours = not path.exists() or path.is_dir()
            else:
                ours = name in self._manifest or name == MANIFEST or not path.exists()
            if not ours:
                raise _refused(path, "which optsuite has not written")
        (self._folder / FIGURES).mkdir(parents=True, exist_ok=True)
        # The manifest comes first, so that the folder stays ours if the process is killed.
        self._save(dict.fromkeys(names, "") | self._manifest)

    def write(self, name: str, text: str) -> Path:
        """Write one of the claimed files, at once or not at all."""
        path = self._folder / name
        write_atomically(path, text)
        self._written[name] = _hash(text.encode())
        return path

    def close(self) -> None:
        """Delete unchanged figures of earlier reports, and save the manifest."""
        kept = {}
        for name, known in self._manifest.items():
            if name in self._written:
                continue
            if not name.startswith(f"{FIGURES}/"):
                kept[name] = known
                continue
            path = self._folder / name
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
    own._save(own._manifest | own._written)


def _of_old_report(folder: Path) -> dict[str, str]:
    """The files of a report without a manifest; none for an empty folder.

    Raises InputError for a folder that is not ours.
    """
    found = {path.name for path in folder.iterdir() if not _is_litter(path.name)}
    if not found:
        return {}
    foreign = sorted(found - {*TABLES, FIGURES})
    if foreign or not _is_leaderboard(folder / "leaderboard.csv"):
        which = foreign[0] if foreign else min(found)
        raise _refused(folder, f"which holds {which}, and optsuite has not made it")
    figures = folder / FIGURES
    _require_no_link(figures)
    ours = [name for name in TABLES if _is_file(folder / name)]
    for path in figures.glob("*.svg"):
        if _is_file(path) and THEME.encode() in path.read_bytes():
            ours.append(f"{FIGURES}/{path.name}")
    return dict.fromkeys(ours, "")


def _is_litter(name: str) -> bool:
    """Whether a file is ignored: a system file, or what a killed write left."""
    return name in LITTER or (name.startswith(".") and name.endswith(".new"))


def _is_leaderboard(path: Path) -> bool:
    return _is_file(path) and path.read_bytes()[:200].startswith(FIRST_COLUMNS.encode())


def _read(path: Path) -> dict[str, str] | None:
    """The files of a manifest; None if there is none of ours."""
    if not _is_file(path):
        return None
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(listed, dict) or listed.get("made_by") != MADE_BY:
        return None
    files = listed.get("files")
    if not isinstance(files, dict):
        return None
    found = {}
    for name, known in files.items():
        if isinstance(known, str) and _is_inside(name):
            found[name] = known
    return found


def _is_inside(name: str) -> bool:
    """Whether a name in a manifest can be one of our files: at the top, or a figure."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        return False
    return path.parts[:-1] in ((), (FIGURES,))


def _is_file(path: Path) -> bool:
    """Whether it is a regular file, and not a link to one."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        raise _refused(path, "which is a link")


def _refused(path: Path, why: str) -> InputError:
    remedy = "nothing is changed there; choose another --out, new or empty"
    return InputError(f"report folder {path} cannot be used, {why}; {remedy}")


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
