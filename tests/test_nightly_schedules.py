"""Every printed schedule is given to what reads it: GitHub's schema, bash, systemd's own check, and sh as cron calls it."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from optsuite.cli.nightly import nightly
from optsuite.cli.options import SCHEDULED
from optsuite.errors import BadInput
from optsuite.nights.schedules import SCHEDULES, cron, github, systemd

PYTHON = sys.executable
FILES = ("my suite's.py", '"a" $(touch broken) `touch broken` 100%h ${X}.py', "ünïcode; touch broken #&|.py", "folder/-x.py")
PROGRAM = """#!/bin/sh
pwd > "$HOME/called"
for argument; do echo "$argument" >> "$HOME/called"; done
echo "what the night found"
exit $(cat "$HOME/code")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an oddly named current folder, oddly named suites in it, and a program that says how it was called."""
    folder = tmp_path / "it's 100%h of $HOME"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    program = folder / ".venv" / "bin" / "optsuite"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.chdir(folder)
    return tmp_path


def sh(home: Path, *command: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the current folder with nearly no environment, as cron does; the program will exit with `code`."""
    (home / "code").write_text(str(code))
    own = {"HOME": str(home), "PATH": "/usr/bin:/bin"} | environment
    return subprocess.run(command, env=own, capture_output=True, text=True)


def called(home: Path) -> list[str]:
    """The folder and the arguments that the program was called with."""
    return (home / "called").read_text().splitlines()


def is_workflow(path: Path) -> bool:
    """Whether GitHub's schema of workflows allows the file."""
    check = [PYTHON, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("suite", ["smoke", FILES[1]])
def test_the_workflow_is_one_that_github_reads(home: Path, suite: str) -> None:
    path = home / "nightly.yml"
    path.write_text(github(suite))
    assert is_workflow(path)
    assert yaml.safe_load(path.read_text())[True]["schedule"] == [{"cron": "17 2 * * *"}]  # YAML 1.1 reads "on" so
    path.write_text(github(suite).replace("runs-on", "run-on"))
    assert not is_workflow(path)


@pytest.mark.parametrize("suite", ["smoke", *FILES])
@pytest.mark.parametrize("code", [0, 1])
def test_the_steps_of_the_workflow_fail_with_the_night_and_still_keep_it(home: Path, suite: str, code: int) -> None:
    steps: list[dict[str, Any]] = yaml.safe_load(github(suite, ("--keep", "30")))["jobs"]["nightly"]["steps"]
    (position,) = (i for i, step in enumerate(steps) if step.get("id") == "night")
    before, night, after = steps[:position], steps[position], steps[position + 1 :]
    done = sh(home, "bash", "-e", "-c", night["run"], code=code)
    assert (done.returncode, called(home)[1:]) == (code, ["nightly", "--suite", suite, "--keep", "30"])
    assert not Path("broken").exists()
    summary, save, report = after
    done = sh(home, "bash", "-e", "-c", summary["run"], GITHUB_STEP_SUMMARY=str(home / "summary.md"))
    assert (home / "summary.md").read_text() == "```\nwhat the night found\n```\n"
    assert all(step["if"] == "always() && steps.night.outcome != 'skipped'" for step in after)
    (restore,) = (step for step in before if step.get("uses", "").startswith("actions/cache"))
    assert (restore["uses"].split("@")[0], save["uses"].split("@")[0]) == ("actions/cache/restore", "actions/cache/save")
    assert restore["with"]["key"] == save["with"]["key"]  # and no earlier one, as a cache is never written twice
    assert restore["with"]["key"].startswith(restore["with"]["restore-keys"])
    assert report["with"]["path"].startswith(restore["with"]["path"])


def written_units(home: Path, suite: str) -> Path:
    """The folder of the units that the script writes."""
    (home / "systemctl").write_text('#!/bin/sh\necho "$@"\n')
    (home / "systemctl").chmod(0o755)
    done = sh(home, "sh", "-c", systemd(suite), PATH=f"{home}:/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "--user daemon-reload\n--user enable --now optsuite-nightly.timer\n"
    return home / ".config" / "systemd" / "user"


def systemd_takes(home: Path, units: Path) -> bool:
    """Whether systemd finds nothing wrong with the units, the program they start included."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    check = ("systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=yes")
    names = [str(units / f"optsuite-nightly.{kind}") for kind in ("service", "timer")]
    done = sh(home, *check, *names, XDG_RUNTIME_DIR=str(home))
    assert "Failed to initialize manager" not in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("suite", ["smoke", *FILES])
def test_systemd_takes_the_units(home: Path, suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "my 100%h $HOME" / "optsuite"
    program.parent.mkdir()
    shutil.copy(".venv/bin/optsuite", program)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    units = written_units(home, suite)
    service = (units / "optsuite-nightly.service").read_text()
    folder, command = (line.partition("=")[2] for line in service.splitlines() if line.startswith(("Working", "Exec")))
    assert folder.replace("%%", "%") == str(Path.cwd())
    first, *rest = shlex.split(command.replace("%%", "%"))
    assert (first, [word.replace("$$", "$") for word in rest]) == (str(program), ["nightly", "--suite", suite])
    assert systemd_takes(home, units)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ExecStart=/", "ExecStart="),
        ("/optsuite nightly", "/nothing nightly"),
        ("nightly --suite", 'nightly "--suite'),
        ("Type=oneshot", "Type=nonsense"),
        ("WorkingDirectory=/", "WorkingDirectory="),
        ("02:17:00", "late"),
        ("[Install]", "[Instal]"),
    ],
)
def test_systemd_does_not_take_a_wrong_unit(home: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    monkeypatch.setattr(sys, "executable", PYTHON)
    units = written_units(home, "smoke")
    for unit in units.iterdir():
        unit.write_text(unit.read_text().replace(old, new))
    assert not systemd_takes(home, units)


@pytest.mark.parametrize("suite", ["smoke", *FILES])
@pytest.mark.parametrize("code", [0, 1])
def test_cron_calls_the_night_and_mails_only_a_bad_one(home: Path, suite: str, code: int) -> None:
    line = cron(suite, ("--keep", "30"))
    assert (line.split()[:5], line.count("\n")) == (["17", "2", "*", "*", "*"], 1)
    command = line.strip().split(maxsplit=5)[5]
    assert "%" not in command.replace("\\%", "")  # cron would end the command there
    done = sh(home, "/bin/sh", "-c", f"cd /; {command}".replace("\\%", "%"), code=code)
    assert called(home) == [str(Path.cwd()), "nightly", "--suite", suite, "--keep", "30"]
    assert (done.stdout, done.stderr) == ("what the night found\n" if code else "", "")
    assert not Path("broken").exists()
    assert Path("mlruns/nightly.log").read_text() == "what the night found\n"


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("suite", ["", "two\nlines.py", "back\\slash.py", " smoke", "\u202esuite.py", "\udcff.py", "absent.py"])
def test_what_no_schedule_can_hold_is_refused_in_one_line(home: Path, kind: str, suite: str) -> None:
    with pytest.raises(BadInput, match=r"^suite: got .*, allowed: .*$"):
        SCHEDULES[kind](suite, ())


@pytest.mark.parametrize("kind", ["systemd", "cron"])
def test_a_folder_that_cannot_be_written_down_is_refused(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("two\nlines").mkdir()
    monkeypatch.chdir("two\nlines")
    monkeypatch.setattr(sys, "executable", PYTHON)
    with pytest.raises(BadInput, match=r"^current folder: got .*, allowed: in a schedule printable characters"):
        SCHEDULES[kind]("smoke", ())


def test_a_schedule_takes_over_every_option_but_those_that_make_no_sense_in_it() -> None:
    options = {option.name: option.opts[0] for option in nightly.params}
    assert set(options) - set(SCHEDULED) == {"suite", "campaign", "retune", "print_schedule"}
    assert all(options[name] == f"--{name.replace('_', '-')}" for name in SCHEDULED)


def test_what_one_of_them_cannot_hold_is_refused_there(home: Path) -> None:
    with pytest.raises(BadInput, match=r"^program: got .*, allowed: for systemd a path without quotes"):
        systemd("smoke")
    for suite in (str(Path.cwd() / FILES[0]), f"../{Path.cwd().name}/{FILES[0]}"):
        with pytest.raises(BadInput, match=r"^suite: got .*, allowed: on GitHub a name, or the path"):
            github(suite)
    Path("${{ secrets.TOKEN }}.py").touch()
    with pytest.raises(BadInput, match=r"^suite or option: got .*, allowed: on GitHub a text without"):
        github("${{ secrets.TOKEN }}.py")


def test_a_schedule_is_printed_at_once_with_the_options_that_were_given(home: Path) -> None:
    code = "import sys; from optsuite.cli.main import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    command = [PYTHON, "-c", code, "nightly", "--keep", "30", "--checkpoint-every", "9", "--print-schedule", "cron"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "optsuite nightly --suite benchmarks --keep 30 --checkpoint-every 9 >>" in done.stdout
    for option, why in ((("--campaign", "x"), "every night has a name of its own"), (("--retune",), "is compared with none")):
        done = subprocess.run([*command, *option], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert why in done.stderr
