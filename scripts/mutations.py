"""Edits a small suite at random, and checks that no result is reused that the edit would change.

    PYTHONPATH=.:tests .venv/bin/python scripts/mutations.py --edits 200

Each edit changes a constant or an operator, or deletes a line, in the benchmark, model, data, loss
or optimizer code of `scripts/twin`. A campaign then runs twice: in an empty store, for the truth,
and in a copy of the store from before the edit. Every run that counts in the second must have the
curve of the first.
"""

import argparse
import ast
import importlib
import json
import linecache
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from conftest import InlinePool
from random_edits import all_edits

from optsuite import Suite
from optsuite.campaign.events import RunEnded
from optsuite.campaign.prepare import broken_pairs, prepare
from optsuite.campaign.runner import run_campaign, studies_of
from optsuite.errors import InputError, one_line
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store

TWIN = Path(__file__).parent / "twin"
EDITED = ("constants.py", "blocks.py", "nets.py", "sets.py", "losses.py", "steps.py")
CURVES = ("train/loss", "validation/loss", "test/loss", "validation/within", "validation/accuracy")
Run = tuple[object, ...]
Results = dict[Run, str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an edit did: to the curves, and to what the store held of them."""

    number: int
    edit: str
    kind: str  # refused, same, changed, stale
    n_reused: int
    detail: str = ""


def main() -> int:
    """Print and write the table; 1 where a stale result stands."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--edits", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--part", default="1/1", help="Of the edits, to share them among processes: 1/2, 2/2."
    )
    options.add_argument("--numbers", type=int, nargs="+", help="Of the edits, these alone.")
    options.add_argument("--out", type=Path)
    options.add_argument(
        "--join",
        type=Path,
        nargs="+",
        help="The --out files of all parts, the later counts: one table.",
    )
    chosen = options.parse_args()
    if chosen.join:
        found = [Outcome(**own) for path in chosen.join for own in json.loads(path.read_text())]
        outcomes = list({outcome.number: outcome for outcome in found}.values())
    else:
        part, n_parts = map(int, chosen.part.split("/"))
        outcomes = list(tried(chosen.edits, chosen.seed, part - 1, n_parts, chosen.numbers))
    print(report(outcomes, chosen.seed, chosen.edits))
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    return int(any(outcome.kind == "stale" for outcome in outcomes))


def tried(
    n_edits: int, seed: int, part: int = 0, n_parts: int = 1, numbers: Sequence[int] | None = None
) -> Iterator[Outcome]:
    """Try `n_edits` edits, drawn from a seed: those of one part, or those with these numbers."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = folder / "code" / "twin"
        shutil.copytree(TWIN, package)
        sources = {file: ast.unparse(ast.parse((TWIN / file).read_text())) for file in EDITED}
        edits = list(all_edits(sources))
        sys.path.insert(0, str(package.parent))  # before our folder, which has the unedited suite
        for file, text in sources.items():
            (package / file).write_text(text)
        open_store(f"sqlite:///{folder}/empty.db")  # making one takes longer than copying it
        before, _ = campaign(folder / "before")
        drawn = list(enumerate(draw.sample(edits, min(n_edits, len(edits)))))
        chosen = [own for own in drawn if numbers is None or own[0] + 1 in numbers]
        for number, (file, what, text) in chosen[part::n_parts]:
            (package / file).write_text(text)
            outcome = one(folder, number + 1, f"{file}: {what}", before)
            (package / file).write_text(sources[file])
            line = f"{outcome.number:>4} {outcome.kind:<8} {outcome.edit} {outcome.detail}"
            print(line, file=sys.stderr, flush=True)
            yield outcome


def one(folder: Path, number: int, edit: str, before: Results) -> Outcome:
    """The outcome of an edit that was made."""
    own = Path(tempfile.mkdtemp(dir=folder))  # MLflow never closes a database, by its path
    shutil.copytree(folder / "before", own / "reused")
    try:
        truth, _ = campaign(own / "fresh")
    except InputError as error:
        detail = one_line(error)[:120]
        return Outcome(number=number, edit=edit, kind="refused", n_reused=0, detail=detail)
    found, n_reused = campaign(own / "reused")
    stale = [run for run in truth if found.get(run) != truth[run]]
    extra = found.keys() - truth.keys()
    if stale or extra:
        detail = f"{len(stale)} of {len(truth)} runs differ, {len(extra)} more"
        return Outcome(number=number, edit=edit, kind="stale", n_reused=n_reused, detail=detail)
    kind = "same" if truth == before else "changed"
    return Outcome(number=number, edit=edit, kind=kind, n_reused=n_reused)


def campaign(folder: Path) -> tuple[Results, int]:
    """Run the suite as it is now into the folder's store.

    Returns the curves of all runs that count, and how many were reused.
    """
    if not folder.exists():
        folder.mkdir()
        empty = [parent / "empty.db" for parent in folder.parents]
        (found, *_) = filter(Path.exists, empty)
        shutil.copy(found, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    suite = loaded()
    pool = InlinePool()
    pool.load(suite)
    # Stacks have their own proofs.
    problems, skipped = prepare(suite, device="cpu", engine="plain")
    events = run_campaign(
        studies_of(suite, problems, device="cpu"),
        uri=uri,
        campaign="c",
        suite="twin",
        pool=pool,
        stop=lambda: False,
        broken=broken_pairs(skipped),
    )
    n_reused = sum(isinstance(event, RunEnded) and event.reused for event in events)
    store = open_store(uri)
    runs = read_runs(store, "c")
    runs = runs[(runs["kind"] != "study") & (runs["outcome"] != "failed")].set_index("run_id")
    points = read_curves(store, runs.index, CURVES).groupby("run_id")
    results: Results = {}
    for run_id, own in points:
        row = runs.loc[str(run_id)]
        key = tuple(row[name] for name in ("benchmark", "optimizer", "kind", "arm", "lr", "seed"))
        results[key] = own[["curve", "step", "value"]].to_csv(index=False, float_format="%.17g")
    return results, n_reused


def loaded() -> Suite:
    """The suite as its files are now, in modules of their own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "twin"]:
        del sys.modules[name]
    linecache.clearcache()
    importlib.invalidate_caches()
    for cached in (Path(sys.path[0]) / "twin").glob("__pycache__"):
        shutil.rmtree(cached)  # within one second, two texts of one size look like one
    try:
        suite = importlib.import_module("twin.suite").SUITE
    except Exception as error:
        raise InputError(f"suite: {one_line(error)}") from error
    assert isinstance(suite, Suite)
    return suite


def report(outcomes: list[Outcome], seed: int, n_edits: int) -> str:
    """The table, in Markdown."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    changed = [outcome for outcome in outcomes if outcome.kind == "changed"]
    same = [outcome for outcome in outcomes if outcome.kind == "same"]
    command = f"scripts/mutations.py --edits {n_edits} --seed {seed}"
    lines = [
        "# Random edits, and what is reused after them",
        "",
        f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| what the edit does | edits | runs reused, of 56 on average |",
        "|---|---|---|",
        f"| changes a curve; no stale result stands | {len(changed)} | {_mean(changed)} |",
        f"| changes a curve; **a stale result stands** | {kinds['stale']} | |",
        f"| changes no curve | {len(same)} | {_mean(same)} |",
        f"| breaks the suite, and is refused | {kinds['refused']} | |",
        "",
    ]
    for outcome in outcomes:
        if outcome.kind == "stale":
            lines.append(f"- stale: {outcome.edit}: {outcome.detail}")
    return "\n".join(lines) + "\n"


def _mean(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return ""
    return f"{sum(outcome.n_reused for outcome in outcomes) / len(outcomes):.1f}"


if __name__ == "__main__":
    sys.exit(main())
