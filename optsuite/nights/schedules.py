"""What runs a night every night: a GitHub workflow, a systemd service and timer, a line for cron. Text, nothing more.

The suite is not loaded, so that the text is there at once; a suite file must exist. Names and paths are quoted as each reader
unquotes them, and refused where it has no way to write them.
"""

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from optsuite.errors import require

HOUR, MINUTE = 2, 17  # UTC on GitHub, where whole hours are crowded; local time elsewhere

WORKFLOW = """\
name: nightly
on:
  schedule:
    - cron: "MINUTE HOUR * * *"
  workflow_dispatch:
permissions:
  contents: read
concurrency: nightly
jobs:
  nightly:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v6
      - uses: actions/setup-python@v6
        with:
          python-version: "3.11"
      - uses: actions/cache/restore@v5
        with:
          path: mlruns
          key: mlruns-${{ github.run_id }}-${{ github.run_attempt }}
          restore-keys: mlruns-
      - run: make setup
      - name: Night
        id: night
        run: |
          set -o pipefail
          .venv/bin/optsuite ARGUMENTS 2>&1 | tee night.txt
      - name: Summary
        if: always() && steps.night.outcome != 'skipped'
        run: |
          { echo '```'; cat night.txt; echo '```'; } >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/cache/save@v5
        if: always() && steps.night.outcome != 'skipped'
        with:
          path: mlruns
          key: mlruns-${{ github.run_id }}-${{ github.run_attempt }}
      - uses: actions/upload-artifact@v7
        if: always() && steps.night.outcome != 'skipped'
        with:
          name: report-${{ github.run_attempt }}
          path: mlruns/report
"""
UNITS = """\
set -e
units="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user"
mkdir -p "$units"
cat > "$units/optsuite-nightly.service" <<'END'
[Unit]
Description=A night of optsuite

[Service]
Type=oneshot
WorkingDirectory=FOLDER
ExecStart=COMMAND
END
cat > "$units/optsuite-nightly.timer" <<'END'
[Unit]
Description=optsuite every night

[Timer]
OnCalendar=*-*-* HOUR:MINUTE:00
Persistent=true

[Install]
WantedBy=timers.target
END
systemctl --user daemon-reload
systemctl --user enable --now optsuite-nightly.timer
"""


def github(suite: str, options: Sequence[str] = ()) -> str:
    """A workflow: results and report are kept in a cache and as an artifact, the comparison in the summary of the job.

    A night is saved whatever it found, which takes steps of its own: a job that fails saves no cache by itself.
    """
    arguments = _arguments(suite, options)
    inside = not Path(suite).is_absolute() and ".." not in Path(suite).parts
    require(inside, "suite", suite, "on GitHub a name, or the path of a file from the top of the repository")
    for text in arguments:
        require("${{" not in text, "suite or option", text, "on GitHub a text without ${{")
    return _filled(WORKFLOW, HOUR=str(HOUR), MINUTE=str(MINUTE), ARGUMENTS=shlex.join(arguments))


def systemd(suite: str, options: Sequence[str] = ()) -> str:
    """A shell script that writes a service and its timer for the person who runs it, and starts the timer."""
    arguments = _arguments(suite, options)
    program, *rest = _program()
    require(not re.search("['\"]", program), "program", program, "for systemd a path without quotes")
    words = [program, *(text.replace("$", "$$") for text in [*rest, *arguments])]  # it replaces $ in all but the program
    command = " ".join(_word(text.replace("%", "%%")) for text in words)
    return _filled(UNITS, HOUR=f"{HOUR:02}", MINUTE=f"{MINUTE:02}", FOLDER=_folder().replace("%", "%%"), COMMAND=command)


def cron(suite: str, options: Sequence[str] = ()) -> str:
    """A line of a crontab. Cron mails what is printed, which is nothing but the end of the log of a bad night."""
    night = shlex.join([*_program(), *_arguments(suite, options)])
    log = "mlruns/nightly.log"
    command = f"cd {shlex.quote(_folder())} && mkdir -p mlruns && {night} >> {log} 2>&1 || tail -n 40 {log}"
    return f"{MINUTE} {HOUR} * * * {command.replace('%', chr(92) + '%')}\n"


def _filled(template: str, **values: str) -> str:
    """The template with each name replaced; no value is looked at again."""
    return re.sub("|".join(values), lambda match: values[match[0]], template)


def _arguments(suite: str, options: Sequence[str]) -> list[str]:
    """The arguments of the program. Raises BadInput for a suite file that is not there, and for what cannot be written."""
    require(suite, "suite", suite, "a Python file, a module or a name")
    arguments = ["nightly", "--suite", suite, *options]
    for text in arguments:
        _require_writable("suite" if text == suite else "option", text)
    if suite.endswith(".py") or "/" in suite:
        require(Path(suite).is_file(), "suite", suite, "a Python file that exists, a module or a name")
    return arguments


def _program() -> list[str]:
    """What starts optsuite, by absolute paths: neither cron nor systemd knows a person's PATH."""
    script = Path(sys.executable).with_name("optsuite")
    program = [str(script)] if script.is_file() else [sys.executable, "-m", "optsuite"]
    _require_writable("program", program[0])
    return program


def _folder() -> str:
    folder = str(Path.cwd())
    _require_writable("current folder", folder)
    return folder


def _require_writable(what: str, text: str) -> None:
    """Raise BadInput for line breaks and backslashes, which the three readers take in different ways, and spaces at an end."""
    usable = text.isprintable() and "\\" not in text and text == text.strip()
    require(usable, what, text, "in a schedule printable characters, without backslashes and without spaces at the ends")


def _word(text: str) -> str:
    """A word as systemd unquotes it."""
    return text if re.fullmatch(r"[\w./:@%$+=-]+", text) else '"' + text.replace('"', '\\"') + '"'


SCHEDULES: Mapping[str, Callable[[str, Sequence[str]], str]] = MappingProxyType(
    {"github": github, "systemd": systemd, "cron": cron}
)
