"""Counts what makes code hard to read: long parts, ternaries, comprehensions.

    python scripts/density.py [PATH ...]

Exits with 1 if a module, function or line is too long. Functions are counted without docstrings.
Ternaries and comprehensions are for information; their limits are the densities of optuna and
benchopt.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST_MODULE, LONGEST_FUNCTION, LONGEST_LINE = 250, 40, 100
MOST_TERNARIES, MOST_COMPREHENSIONS = 1.5, 2.5  # per 100 lines of a part
# The source text of these is part of the identity of runs: a new layout would retrain them.
FROZEN = ("optsuite/models", "optsuite/data", "optsuite/optimizers", "optsuite/schedules.py")
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass
class Density:
    """The counts in the files of a part."""

    n_lines: int = 0
    n_ternaries: int = 0
    n_comprehensions: int = 0

    def per_100(self, n: int) -> float:
        """How many there are in 100 lines."""
        return 100 * n / max(1, self.n_lines)


def flaws(path: Path) -> Iterator[str]:
    """What is too long in a file, one line each."""
    text = path.read_text()
    lines = text.splitlines()
    if len(lines) > LONGEST_MODULE:
        yield f"{path}: {len(lines)} lines"
    if not str(path).startswith(FROZEN):
        for number, line in enumerate(lines, start=1):
            if len(line) > LONGEST_LINE:
                yield f"{path}:{number}: {len(line)} columns"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and length(node) > LONGEST_FUNCTION:
            yield f"{path}:{node.lineno}: {node.name} has {length(node)} lines"


def length(function: ast.FunctionDef) -> int:
    """The lines of a function without its decorators and its docstring."""
    n = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        n -= (first.end_lineno or 0) - first.lineno + 1
    return n


def count(path: Path, density: Density) -> None:
    """Add the counts of a file."""
    text = path.read_text()
    density.n_lines += len(text.splitlines())
    for node in ast.walk(ast.parse(text)):
        density.n_ternaries += isinstance(node, ast.IfExp)
        density.n_comprehensions += isinstance(node, COMPREHENSIONS)


def main() -> None:
    """Print the counts of each part, and what is too long."""
    roots = [Path(name) for name in sys.argv[1:]] or [Path("optsuite")]
    parts: dict[str, Density] = {}
    found: list[str] = []
    for root in roots:
        files = [root] if root.is_file() else sorted(root.rglob("*.py"))
        for path in files:
            if "benchmarks" in path.parts:
                continue
            found += flaws(path)
            part = "/".join(path.parts[:2])
            count(path, parts.setdefault(part, Density()))
            count(path, parts.setdefault("all", Density()))
    print(f"{'part':32} {'lines':>6} {'ternaries':>10} {'comprehensions':>15}  per 100 lines")
    for part, own in sorted(parts.items(), key=lambda item: (item[0] == "all", item[0])):
        ternaries = own.per_100(own.n_ternaries)
        comprehensions = own.per_100(own.n_comprehensions)
        print(f"{part:32} {own.n_lines:6} {ternaries:10.1f} {comprehensions:15.1f}")
    print(f"limits{'':33} {MOST_TERNARIES:10} {MOST_COMPREHENSIONS:15}")
    print("\n".join(found) if found else "No module, function or line is too long.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
