"""The program as its users start it, and what can be seen of it from outside."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("optsuite")
Call = Callable[..., tuple[int, str, str]]


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [str(PROGRAM), *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def count(folder: Path) -> int:
    """How many runs the store holds at this moment."""
    try:
        connection = sqlite3.connect(f"file:{folder}/mlruns/mlflow.db?mode=ro", uri=True)
        try:
            return int(
                connection.execute(
                    "SELECT count(*) FROM runs WHERE status = 'FINISHED'"
                ).fetchone()[0]
            )
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def descendants(pid: int) -> list[int]:
    """The processes that descend from the given one."""
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(entry.read_text().rpartition(")")[2].split()[1]) == pid:
                children.append(int(entry.parent.name))
        except OSError:
            continue
    return [*children, *(own for child in children for own in descendants(child))]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
