"""The command line: the only part that parses, prints and exits. What is slow is imported by the command that needs it."""

import os
import sys
import traceback
from typing import NoReturn

import click

from optsuite.errors import BadInput, ClusterLost, StoreLost, one_line


def main() -> NoReturn:
    """Run the command line. Exit 0: done; 1: a run failed; 2: bad input; 130: interrupted."""
    from optsuite.cli.commands import cli
    from optsuite.cli.console import guard_output

    guard_output()
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except BadInput as error:
        _fail(one_line(error), 2)
    except (StoreLost, ClusterLost) as error:
        _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; what had ended is kept", 130)
    except BrokenPipeError:  # the reader of our output, say head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        where = traceback.format_exc() if os.environ.get("OPTSUITE_DEBUG") else ""
        _fail(where or f"{one_line(error)} (OPTSUITE_DEBUG=1 shows where)", 1)


def _fail(message: str, code: int) -> NoReturn:
    from optsuite.redact import printable, redact

    print(f"optsuite: {printable(redact(message))}", file=sys.stderr)
    sys.exit(code)
