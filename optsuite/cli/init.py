"""optsuite init."""

import shlex
from importlib.resources import files
from pathlib import Path

import click

from optsuite.errors import InputError
from optsuite.files import write_atomically

NEXT = {
    "optsuite run --suite {} --dry-run": "show what there is to train",
    "optsuite run --suite {}": "tune, evaluate and report",
    "optsuite list --suite {}": "show what else can be compared",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("mysuite.py"))
def init(file: Path) -> int:
    """Write a suite FILE to start from, mysuite.py by default."""
    from optsuite.cli.console import console

    write_template(file)
    out, name = console(), shlex.quote(str(file))
    out.print(f"Wrote {file}: a benchmark and an optimizer of your own.\n\nNext:", soft_wrap=True)
    for command, purpose in NEXT.items():
        out.print(f"    {command.format(name):<46} # {purpose}", soft_wrap=True)
    return 0


def write_template(file: Path) -> None:
    """Write the template to a new file. Raises InputError."""
    if file.suffix != ".py":
        raise InputError(f"file: got {str(file)!r}, allowed: a Python file, named *.py")
    template = files("optsuite.cli") / "suite_template.py"
    try:
        write_atomically(file, template.read_bytes(), replace=False)
    except FileExistsError:
        raise InputError(f"file: {file} exists and is left as it is; choose another name") from None
    except OSError as error:
        raise InputError(f"file: {file} cannot be written ({error.strerror})") from None
