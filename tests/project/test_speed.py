"""`make speed` measures what it says: too briefly here to mean anything."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_table_is_measured() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'scripts'}"}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        environment["RAY_TMPDIR"] = folder  # so that it finds no cluster of another test
        out = subprocess.run(
            [sys.executable, "-m", "speed", "--quick"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=900,
        )
    assert out.returncode == 0, out.stderr
    assert "Left out" not in out.stderr
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in out.stdout.splitlines()
        if line.startswith("|")
    ]
    named = {row[0]: row[1:] for row in rows}
    assert [int(cell) > 0 for cell in rows[2][2:5]] == [True] * 3
    assert named["tutorials' script"][0] == "8"  # four optimizers, one trial and one seed
    assert named["optsuite run"][0] == "40"  # and eight trials, and the default rate
    assert float(named["ratio"][2]) > 0
    assert float(named["report of 200 runs on 10 benchmarks"][0]) > 0
