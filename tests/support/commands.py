"""Starts the program like a user, and observes it from outside."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("optsuite")
RUN = ("run", "--suite", str(Path(__file__).parents[1] / "suites" / "tiny.py"))
Call = Callable[..., tuple[int, str, str]]


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [str(PROGRAM), *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def count(folder: Path) -> int:
    """The number of finished runs in the store."""
    try:
        connection = sqlite3.connect(f"file:{folder}/mlruns/mlflow.db?mode=ro", uri=True)
        try:
            query = "SELECT count(*) FROM runs WHERE status = 'FINISHED'"
            return int(connection.execute(query).fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def descendants(pid: int) -> list[int]:
    """The children of a process, and their descendants."""
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(_fields(entry)[1])
        except OSError:
            continue
        if parent == pid:
            children.append(int(entry.parent.name))
    found = list(children)
    for child in children:
        found += descendants(child)
    return found


def _fields(stat: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, ... (man 5 proc)."""
    return stat.read_text().rpartition(")")[2].split()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in _fields(Path(f"/proc/{pid}/stat"))[0]
