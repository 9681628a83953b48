"""Each workflow and template of a schedule is given to its reader: GitHub's schema, systemd, sh."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "docs" / "schedules"
OWN = ROOT / ".github" / "workflows"
NIGHTS = {  # by workflow: the night's arguments
    TEMPLATES / "nightly.yml": ["nightly", "--suite", "mysuite.py", "--keep", "30"],
    OWN / "nightly.yml": ["nightly", "--keep", "30"],
}
WORKFLOWS = [*NIGHTS, OWN / "ci.yml", OWN / "publish.yml"]
UNITS = [TEMPLATES / f"optsuite-nightly.{kind}" for kind in ("service", "timer")]
PROGRAM = """#!/bin/sh
pwd > "$HOME/called"
for argument; do echo "$argument" >> "$HOME/called"; done
echo "what the night found"
exit $(cat "$HOME/code")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a folder `optimizers`; the program in its .venv notes how it was called."""
    program = tmp_path / "optimizers" / ".venv" / "bin" / "optsuite"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return tmp_path


def sh(
    home: Path, *command: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with nearly no environment, as cron does; the program will exit with `code`."""
    (home / "code").write_text(str(code))
    folder = home / "optimizers"
    own = {"HOME": str(home), "PATH": f"{folder}/.venv/bin:/usr/bin:/bin"} | environment
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)


def called(home: Path) -> list[str]:
    """The folder and the arguments that the program was called with."""
    return (home / "called").read_text().splitlines()


def is_workflow(path: Path) -> bool:
    """Whether GitHub's schema of workflows allows the file."""
    schema = ("--builtin-schema", "vendor.github-workflows")
    check = [sys.executable, "-m", "check_jsonschema", *schema, str(path)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("citation-file-format", "CITATION.cff"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/new_definition.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/wrong_result.yml"),
    ],
)
def test_file_matches_the_schema_of_its_reader(schema: str, path: str) -> None:
    check = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        str(ROOT / path),
    ]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def steps_of(path: Path, name: str = "nightly") -> list[dict[str, Any]]:
    """The steps of the job of that name."""
    return list(yaml.safe_load(path.read_text())["jobs"][name]["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_workflow_matches_the_schema_of_github(path: Path, tmp_path: Path) -> None:
    assert is_workflow(path)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(path.read_text().replace("runs-on", "run-on"))
    assert not is_workflow(wrong)


def test_ci_workflow_runs_the_targets_of_the_ci_script() -> None:
    (targets,) = [
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")
    ]
    (command,) = [
        step["run"]
        for step in steps_of(OWN / "ci.yml", "check")
        if step.get("run", "").startswith("make ")
    ]
    assert targets.removesuffix(" test") == command  # `check` runs the tests
    uses = [
        step
        for step in steps_of(OWN / "ci.yml", "check")
        if step.get("uses", "").startswith("actions/setup-python")
    ]
    assert uses[0]["with"]["python-version"] == "3.11"


def test_files_that_ci_tests_exist() -> None:
    named = set(re.findall(r"[\w/-]+\.(?:py|lock)", (OWN / "ci.yml").read_text()))
    assert "tests/analysis/test_tables.py" in named
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize("path", NIGHTS, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("code", [0, 1])
def test_nightly_workflow_keeps_results_of_bad_night(home: Path, path: Path, code: int) -> None:
    workflow, steps = yaml.safe_load(path.read_text()), steps_of(path)
    (position,) = (i for i, step in enumerate(steps) if step.get("id") == "night")
    before, night, (summary, save, report) = (
        steps[:position],
        steps[position],
        steps[position + 1 :],
    )
    done = sh(home, "bash", "-e", "-c", night["run"], code=code, **workflow.get("env", {}))
    assert (done.returncode, called(home)[1:]) == (code, NIGHTS[path])
    written = home / "summary.md"
    sh(home, "bash", "-e", "-c", summary["run"], GITHUB_STEP_SUMMARY=str(written))
    assert written.read_text() == "```\nwhat the night found\n```\n"
    always = "always() && steps.night.outcome != 'skipped'"
    assert [step["if"] for step in (summary, save, report)] == [always] * 3
    (restore,) = (
        step for step in before if step.get("uses", "").startswith("actions/cache/restore@")
    )
    assert save["uses"] == restore["uses"].replace("restore", "save")
    assert restore["with"]["key"] == save["with"]["key"]  # a cache is never written twice
    assert restore["with"]["key"].startswith(restore["with"]["restore-keys"])
    assert report["with"]["path"].startswith(restore["with"]["path"])


def test_nightly_workflow_template_is_independent_of_this_repository() -> None:
    commands = [step["run"] for step in steps_of(TEMPLATES / "nightly.yml") if "run" in step]
    assert "pip install optsuite" in commands
    assert not [command for command in commands if "make " in command or ".venv" in command]


def test_systemd_units_have_the_structure_of_a_service_and_its_timer() -> None:
    service, timer = (configparser.ConfigParser(interpolation=None) for _ in UNITS)
    for parser, path in zip((service, timer), UNITS, strict=True):
        parser.read(path)
    assert UNITS[0].stem == UNITS[1].stem  # a timer starts the service of its name
    assert service["Service"]["Type"] == "oneshot"
    program, *arguments = service["Service"]["ExecStart"].split()
    assert program == f"{service['Service']['WorkingDirectory']}/.venv/bin/optsuite"
    assert arguments == NIGHTS[TEMPLATES / "nightly.yml"]
    assert timer["Timer"]["OnCalendar"] == "*-*-* 02:17:00"
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", True),
        ("ExecStart=%h", "ExecStart=", False),
        ("Type=oneshot", "Type=nonsense", False),
        ("02:17:00", "late", False),
        ("[Install]", "[Instal]", False),
    ],
)
def test_systemd_accepts_units_and_rejects_wrong_ones(
    home: Path, old: str, new: str, expected: bool
) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in UNITS:
        text = unit.read_text().replace(old, new) if old else unit.read_text()
        (home / unit.name).write_text(text.replace("%h", str(home)))
    check = ("systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=yes")
    done = sh(home, *check, *(str(home / unit.name) for unit in UNITS), XDG_RUNTIME_DIR=str(home))
    assert "Failed to initialize manager" not in done.stderr, done.stderr
    assert (done.returncode == 0) == expected, done.stderr


@pytest.mark.parametrize("code", [0, 1])
def test_cron_calls_the_night_and_mails_only_a_bad_one(home: Path, code: int) -> None:
    (line,) = [
        line
        for line in (TEMPLATES / "crontab").read_text().splitlines()
        if not line.startswith("#")
    ]
    *when, command = line.split(maxsplit=5)
    assert when == ["17", "2", "*", "*", "*"]
    assert "%" not in command  # cron would end the command there
    done = sh(home, "/bin/sh", "-c", f"cd /; {command}", code=code)
    folder = home / "optimizers"
    assert called(home) == [str(folder), *NIGHTS[TEMPLATES / "nightly.yml"]]
    assert (done.stdout, done.stderr) == ("what the night found\n" if code else "", "")
    assert (folder / "mlruns" / "nightly.log").read_text() == "what the night found\n"
