"""The commands, a module for each, and the handling of their errors."""

import os
import sys
import traceback
import warnings
from typing import NoReturn

import click

from optsuite.cli.clean import clean
from optsuite.cli.compare import compare
from optsuite.cli.delete import delete
from optsuite.cli.init import init
from optsuite.cli.list import list_
from optsuite.cli.nightly import nightly
from optsuite.cli.report import report
from optsuite.cli.run import run
from optsuite.cli.train import train
from optsuite.cli.ui import ui
from optsuite.errors import ClusterUnavailableError, InputError, StoreUnavailableError, one_line

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="optsuite", message="optsuite %(version)s")
def cli() -> None:
    """Which optimizer is best at its best learning rate, and how sure is that?"""


for command in (run, train, report, list_, ui, compare, nightly, init, delete, clean):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line. Exit 0: done; 1: a run failed; 2: bad input; 130: interrupted."""
    from optsuite.cli.console import guard_output

    guard_output()
    # Python shows this category only for the main script, and suites are other files.
    warnings.filterwarnings("default", r".* is now \w+$", DeprecationWarning)
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except InputError as error:
        _fail(one_line(error), 2)
    except (StoreUnavailableError, ClusterUnavailableError) as error:
        _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; completed runs are kept", 130)
    except BrokenPipeError:  # the reader of our output, say head, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        where = traceback.format_exc() if os.environ.get("OPTSUITE_DEBUG") else ""
        _fail(where or f"{one_line(error)} (OPTSUITE_DEBUG=1 shows where)", 1)


def _fail(message: str, code: int) -> NoReturn:
    from optsuite.redact import printable, redact

    print(f"optsuite: {printable(redact(message))}", file=sys.stderr)
    sys.exit(code)
