"""The text of Python files: decoded from any encoding, and without comments and blank lines."""

import io
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

N_STRIPPED = 4_096  # texts that are kept
# Tokens around a string with fields, since Python 3.12 and 3.14.
STARTS = ("FSTRING_START", "TSTRING_START")
ENDS = ("FSTRING_END", "TSTRING_END")


def file_text(file: str) -> str | None:
    """The text of a file; None if it cannot be read."""
    try:
        return decoded(Path(file).read_bytes())
    except (OSError, ValueError):
        return None


def decoded(data: bytes) -> str:
    """The text of a Python file by the encoding that it declares; by Latin-1 if that is wrong."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        text = data.decode("latin-1")  # which decodes any bytes
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class Stripped:
    """The lines of a text without comments; None for a line of which nothing is left.

    Rows in `inside`, counted from 0, begin within a string.
    """

    lines: tuple[str | None, ...]
    inside: frozenset[int]

    def text(self, first: int, last: int) -> str:
        """The rows `first` to `last`, counted from 1, without the indentation of the first."""
        kept: list[str] = []
        margin = ""
        for row in range(first - 1, min(last, len(self.lines))):
            line = self.lines[row]
            if line is None:
                continue
            if not kept:
                margin = line[: len(line) - len(line.lstrip())]
            kept.append(line if row in self.inside else line.removeprefix(margin))
        return "\n".join(kept)


@lru_cache(maxsize=N_STRIPPED)
def stripped(text: str) -> Stripped:
    """The lines of a text without comments, blank lines and trailing spaces, except in strings."""
    lines: list[str | None] = list(text.split("\n"))
    strings: list[tuple[int, int]] = []
    comments: list[tuple[int, int]] = []
    open_strings: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            name = tokenize.tok_name[token.type]
            if name in STARTS:
                open_strings.append(token.start[0])
            elif name in ENDS:
                strings.append((open_strings.pop(), token.end[0]))
            elif name == "STRING":
                strings.append((token.start[0], token.end[0]))
            elif name == "COMMENT" and not open_strings:
                comments.append(token.start)
    except (tokenize.TokenError, SyntaxError):
        return Stripped(tuple(lines), frozenset(range(len(lines))))
    for row, column in comments:
        lines[row - 1] = (lines[row - 1] or "")[:column]
    inside: set[int] = set()
    for first, last in strings:
        inside.update(range(first, last))
    ends_inside = {row - 1 for row in inside}
    for row, line in enumerate(lines):
        if row not in ends_inside:
            bare = (line or "").rstrip()
            lines[row] = bare if bare or row in inside else None
    return Stripped(tuple(lines), frozenset(inside))


def bare_text(text: str) -> str:
    """A whole text without comments and blank lines."""
    return "\n".join(line for line in stripped(text).lines if line is not None)
