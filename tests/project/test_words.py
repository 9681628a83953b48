"""The words of the project: the field's own terms, and the places where English is made."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.package import FILES, ROOT

# Identifiers of the dialect that this project had, each with the term that took its place.
FORMER = {
    "Asks": "Requests",
    "BadInput": "InputError",
    "ClusterLost": "ClusterUnavailableError",
    "DatasetUnavailable": "DatasetUnavailableError",
    "Ended": "RunResult",
    "Fact": "RunUpdate",
    "GREETING": "HTTP2_PREFACE",
    "Held": "StoredRuns",
    "HeldRun": "StoredRun",
    "HOPELESS": "PERMANENT",
    "LACKED_MEMORY": "OUT_OF_MEMORY",
    "LUCK": "OPTIMISM_LIMIT",
    "Ledger": "Recorder",
    "Look": "Style",
    "Lost": "TaskLost",
    "MULTIPLE": "PAD_TO",
    "Patience": "RetryPolicy",
    "Recording": "RunLogger",
    "SENSELESS": "CLIENT_ERRORS",
    "Spool": "Outbox",
    "StoreLost": "StoreUnavailableError",
    "Surroundings": "WorkerEnvironment",
    "UnknownName": "UnknownNameError",
    "at_rate": "evaluate_at",
    "beware": "warnings",
    "blamed": "error_context",
    "drive": "run_campaign",
    "duels": "win_tie_loss",
    "greet": "probe",
    "has_overflown": "has_overflowed",
    "heard": "last_heartbeat",
    "held": "stored_runs",
    "judged": "eval_mode",
    "ledger": "recorder",
    "limited": "time_limit",
    "news": "new_events",
    "not_for": "limitations",
    "outdone_by": "beaten_by_special_case",
    "patience_seconds": "timeout_seconds",
    "proportional": "lr_linear",
    "set_rate": "set_lr",
    "settle": "reconcile",
    "spool": "outbox",
    "summarise": "summarize",
    "sureness": "confidence",
    "sweep": "delete_duplicates",
    "tidy": "delete_unfinished",
}
# The text of these functions is the identity of runs: they keep their first names.
FROZEN = ("data", "models", "optimizers")
STATEMENTS = ("analysis/statements.py", "analysis/night_statements.py")
SHORTEST_SENTENCE = 24  # characters of a literal that is more than a word or two


def identifiers(text: str) -> set[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string.lstrip("_") for token in tokens if token.type == tokenize.NAME}


def test_identifiers_are_told_from_strings_and_comments() -> None:
    assert identifiers('held = f(drive="settle")  # tidy') == {"held", "f", "drive"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_has_no_identifier_of_the_former_dialect(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] in FROZEN:
        return
    found = identifiers(path.read_text()) & FORMER.keys()
    assert not found, {name: FORMER[name] for name in found}


def sentences(path: Path) -> Iterator[str]:
    """The literals of a module that are English: of at least three words, and no docstrings."""
    tree = ast.parse(path.read_text())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            is_sentence = len(text) >= SHORTEST_SENTENCE and text.count(" ") >= 2
            if is_sentence and id(node) not in docstrings:
                yield text


def test_sentences_about_results_are_made_in_their_modules_alone() -> None:
    made = {text for name in STATEMENTS for text in sentences(ROOT / name)}
    assert len(made) > 15
    for path in FILES:
        if str(path.relative_to(ROOT)) not in STATEMENTS:
            copied = {text for text in made if text in path.read_text()}
            assert not copied, path.name
