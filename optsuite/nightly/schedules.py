"""What runs a night every night: a GitHub workflow, a systemd service and timer, a line for cron. Text, nothing more."""

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

HOUR, MINUTE = 2, 17  # UTC on GitHub, where whole hours are crowded; local time elsewhere


def github(suite: str) -> str:
    """A workflow: results and report are kept in a cache and as artifacts, the comparison in the summary of the job."""
    return f"""\
name: nightly
on:
  schedule:
    - cron: "{MINUTE} {HOUR} * * *"
  workflow_dispatch:
permissions:
  contents: read
concurrency: nightly
jobs:
  nightly:
    runs-on: ubuntu-latest
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - uses: actions/cache@v4
        with:
          path: mlruns
          key: mlruns-${{{{ github.run_id }}}}
          restore-keys: mlruns-
      - run: make setup
      - name: Night
        run: |
          set -o pipefail
          .venv/bin/optsuite nightly --suite {shlex.quote(suite)} | tee night.txt
      - name: Summary
        if: always()
        run: |
          {{ echo '```'; cat night.txt; echo '```'; }} >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: report
          path: mlruns/report
"""


def systemd(suite: str) -> str:
    """A service and its timer, to be put into two files under ~/.config/systemd/user."""
    return f"""\
# optsuite-nightly.service
[Unit]
Description=A night of optsuite

[Service]
Type=oneshot
WorkingDirectory={Path.cwd()}
ExecStart={_command(suite)}

# optsuite-nightly.timer
[Unit]
Description=optsuite every night

[Timer]
OnCalendar=*-*-* {HOUR:02}:{MINUTE:02}:00
Persistent=true

[Install]
WantedBy=timers.target
"""


def cron(suite: str) -> str:
    """A line of a crontab."""
    return f"{MINUTE} {HOUR} * * * cd {shlex.quote(str(Path.cwd()))} && {_command(suite)} >> mlruns/nightly.log 2>&1\n"


def _command(suite: str) -> str:
    program = Path(sys.executable).with_name("optsuite")
    return f"{shlex.quote(str(program))} nightly --suite {shlex.quote(suite)}"


SCHEDULES: Mapping[str, Callable[[str], str]] = MappingProxyType({"github": github, "systemd": systemd, "cron": cron})
