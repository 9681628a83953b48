"""Removes passwords and control characters from text. All output passes through here."""

import os
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
SHORTEST = 6  # hiding shorter passwords of the environment would hide ordinary text
# Names of secrets, also at the end of a longer one: MLFLOW_TRACKING_PASSWORD, AWSAccessKeyId.
NAMES = (
    "password|passwd|passphrase|passcode|pwd|secret|token|credentials?|signature|sig|sas"
    "|(?<![A-Za-z0-9])pass"
    "|(?:api|access|account|secret|private|shared|storage|encryption)[_-]?key(?:[_-]?id)?"
    "|authorization|cookie"
)
ASSIGN = r"(?:\s*=\s*|%3[Dd])"
KEY = rf"(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]*?(?:{NAMES})[0-9]?)"
QUOTED = r'\\"(?:(?!\\").)*\\"|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
# A bare value ends before whitespace, the next parameter, and a closing quote or bracket.
BARE = r"(?:(?!&|%26|[;,]\s*\w+\s*=|%3[Bb]\w+%3[Dd]|[\"'`)\]}>]+(?:[\s,;:.)\]}]|$))\S)+"
ASSIGNED = re.compile(rf"(?i){KEY}({ASSIGN})({QUOTED}|\{{[^}}\n]*\}}|{BARE})")
# After a colon, only if the key or the value is quoted, or only the value follows: prose has colons
# too.
MAPPED = re.compile(
    rf"(?i)(\\?[\"'][A-Za-z0-9_.-]*?(?:{NAMES})[0-9]?\\?[\"']\s*:\s*|{KEY[:-1]})\s*:\s*)({QUOTED})"
)
MAPPED_BARE = re.compile(
    rf"(?i)(\\?[\"'][A-Za-z0-9_.-]*?(?:{NAMES})[0-9]?\\?[\"']\s*:\s*)(?!\\)(?:[^\s\"',}}\]]+)"
)
OPTION = re.compile(rf"(?i)(--?(?:[a-z]+-)*(?:{NAMES})\s+)([^\s-]\S*)")
PROSE = re.compile(rf"(?i)({KEY}\s*:[ \t]*)(?!got\b|\*\*\*)(?:[^\s\"',;]+)(?=\s*$|\s*[,;])")
HEADER = re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?)(?:[A-Za-z-]+\s+)?[^\s\"',]+")
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+(?=[A-Za-z+/._~-]*[0-9=+/._~])[A-Za-z0-9+/._~-]{8,}=*")
KNOWN = re.compile(  # the formats of well-known services
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[opsur]_\w{20,}|\bgithub_pat_\w{20,}|\bhf_[A-Za-z0-9]{20,}|\bglpat-[\w-]{20,}"
    r"|\bsk-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
)
DATABASES = r"(?:postgres(?:ql)?|mysql|mariadb|mssql|oracle|cockroachdb|redis|mongodb)(?:\+\w+)?"
# A password may contain slashes, @ and spaces. Without spaces, it reaches to the last @; with
# spaces, only after USER: and to the last @ before the next address. A port is not a password.
WITHOUT_SPACE = re.compile(r"(?i)(?<!sqlite)://\S*@")
WITH_SPACE = re.compile(
    r"(?i)(?<!sqlite)://[^\s:/@'\"]*:(?!\d{1,5}(?:[/\s'\",;)?#]|$))"
    r"(?:(?!://)[^\n])*[^\S\n](?:(?!://)[^\n])*@(?=[\w\[])"
)
WITHOUT_SLASHES = re.compile(
    rf"(?i)\b({DATABASES}:)/?(?!/)[^\s:/@]+:(?:(?!://)[^\n])*@(?=[\w\[./])"
    rf"|\b({DATABASES}:)/?(?!/)\S*@"
)
ANY_SCHEME = re.compile(
    r"(?i)(?<![\w+.-])((?!sqlite)[a-z][a-z0-9+.-]{0,30}:)/?(?!/)[^\s:/@]+:[^\s@]+@(?=[\w\[])"
)
SECRET_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
)
# Characters that move the cursor, color, hide, or change the text direction; and lone surrogates.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without credentials in addresses, and without the values of named secrets.

    Secrets of the environment are hidden wherever they occur; others are recognized by their form.
    """
    for secret in _secrets(environment):
        text = text.replace(secret, HIDDEN)
    text = WITH_SPACE.sub("://", text)
    text = WITHOUT_SPACE.sub("://", text)
    text = WITHOUT_SLASHES.sub(lambda found: f"{found[1] or found[2]}", text)
    text = ANY_SCHEME.sub(r"\1", text)
    text = HEADER.sub(rf"\1{HIDDEN}", text)
    text = BEARER.sub(rf"\1 {HIDDEN}", text)
    text = MAPPED.sub(lambda found: f"{found[1]}{_in_quotes(found[found.lastindex or 0])}", text)
    text = MAPPED_BARE.sub(rf"\1{HIDDEN}", text)
    text = ASSIGNED.sub(lambda found: f"{found[1]}{found[2]}{_in_quotes(found[3])}", text)
    text = OPTION.sub(rf"\1{HIDDEN}", text)
    text = PROSE.sub(rf"\1{HIDDEN}", text)
    return KNOWN.sub(HIDDEN, text)


def printable(text: str) -> str:
    """The text with a ? for each control character, except tabs and line breaks."""
    return CONTROLS.sub("?", text)


def _in_quotes(value: str) -> str:
    """The replacement of a value, in the same quotes."""
    mark = re.match(r"\\?[\"']", value)
    return f"{mark[0]}{HIDDEN}{mark[0]}" if mark else HIDDEN


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """The secrets of the environment, raw and as addresses and messages write them.

    The longest come first, so that none is hidden only in part.
    """
    found = {environment.get(name, "") for name in SECRET_VARIABLES}
    scheme, _, rest = environment.get("MLFLOW_TRACKING_URI", "").partition(":")
    if not scheme.lower().startswith("sqlite"):
        credentials, _, _ = rest.lstrip("/").rpartition("@")
        user, colon, password = credentials.partition(":")
        found.add(password if colon else user)
        for match in re.finditer(rf"(?i)[?&;](?:\w*(?:{NAMES}))(=|%3D)([^&#]+)", rest):
            found.add(match[2])
    forms = set()
    for secret in found:
        for form in (str, quote, quote_plus, unquote, unquote_plus, _as_repr):
            forms.add(form(secret))
    long = [form for form in forms if len(form) >= SHORTEST]
    return sorted(long, key=lambda form: (-len(form), form))


def _as_repr(text: str) -> str:
    return repr(text)[1:-1]
