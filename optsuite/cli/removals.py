"""How the results of deleting and cleaning are printed."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optsuite.campaign.housekeeping.removal import Removal, What
from optsuite.cli.results import say

WORDS: dict[What, str] = {
    "runs": "runs",
    "reports": "report runs, with the files of the report",
    "superseded": "superseded runs: newer ones have replaced them",
    "refuted": "refuted runs: training them again gave different results",
    "unfinished": "unfinished runs",
    "trash": "runs in MLflow's trash",
    "checkpoints": "checkpoints",
    "waiting": "runs in the outbox, to be delivered by the next start",
    "set_aside": "runs in the outbox that could not be delivered",
    "litter": "files of killed processes in the outbox",
    "locks": "lock files",
    "unreplaced": "superseded runs that nothing has replaced yet",
    "remembered": "run of a study that a later start needs",
    "foreign": "runs with the campaign's tag that optsuite did not write",
}
TRASH_ONLY = "A server keeps runs in MLflow's trash; 'mlflow gc' on its machine removes them."


def show_removal(out: Console, removal: Removal) -> None:
    """Print a table of what was removed and kept, and notes."""
    if removal.parts:
        table = Table("", "what", "how many", "MB")
        verb = "to remove" if removal.dry_run else "removed"
        for part in removal.parts:
            word = "kept" if part.is_kept else verb
            table.add_row(word, Text(WORDS[part.what]), str(part.n), f"{part.n_bytes / 1e6:.1f}")
        out.print(table)
    if not removal.n:
        out.print("There is nothing to remove.")
    for campaign, reason in removal.skipped.items():
        say(out, f"Skipped campaign {campaign}: {reason}")
    for one in removal.artifacts_left:
        say(out, f"These artifacts could not be deleted and are left there: {one}")
    if removal.trash_only and removal.n:
        say(out, TRASH_ONLY)
    if removal.shrunk is not None:
        _show_file(out, removal)


def _show_file(out: Console, removal: Removal) -> None:
    """Print what became of the SQLite file."""
    assert removal.shrunk is not None
    before = f"{removal.shrunk.before / 1e6:.1f}"
    after = f"{removal.shrunk.after / 1e6:.1f}"
    if removal.shrunk.reason:
        reason = removal.shrunk.reason
        say(out, f"The database could not be compacted ({reason}); 'optsuite clean' does it later.")
    elif before != after:
        say(out, f"The database has {after} MB; it had {before} MB.")
