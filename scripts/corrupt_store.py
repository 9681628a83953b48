"""Damages a small finished campaign in many ways, then runs and reports: no silent change allowed.

    python scripts/corrupt_store.py [PART OF AN EDIT'S NAME ...]

Prints a line for each edit: the outcomes and messages of `report` and `run`. Exits with 1 after a
traceback, an unexpected error, or a table that changed without a message.
"""

import contextlib
import io
import json
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, Splits, Suite
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import studies_of
from optsuite.campaign.session import Session
from optsuite.cli.console import console
from optsuite.cli.progress import Display
from optsuite.cli.results import show_report
from optsuite.errors import InputError, StoreUnavailableError, one_line
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.execution.worker import trainer, updates
from optsuite.reporting.publish import publish
from optsuite.tracking.location import tracking_uri

CAMPAIGN = "c"
TABLES = ("leaderboard.csv", "learning_rates.csv")
Apply = Callable[[Path], None]


def line() -> Splits:
    """A line in three dimensions, with noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]]) + 0.1 * torch.randn(96, 1, generator=generator)
    return Splits(train=(x[:64], y[:64]), validation=(x[64:80], y[64:80]), test=(x[80:], y[80:]))


SUITE = Suite(
    name="small",
    benchmarks=(
        Benchmark(
            name="line",
            dataset=line,
            model=partial(nn.Linear, 3, 1),
            loss=F.mse_loss,
            batch_size=16,
            max_steps=20,
            eval_every=5,
        ),
    ),
    optimizers=(OPTIMIZERS["sgd"], OPTIMIZERS["adam"]),
    n_trials=3,
    n_seeds=3,
)


class Inline:
    """A pool that trains in this process, a task at a poll."""

    n_workers = 1
    checkpoints = None

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._train = trainer(lambda: SUITE, "cpu")

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def cancel(self, task: int) -> None:
        """Forget a task."""
        self._tasks = [other for other in self._tasks if other.id != task]

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        """Train a task."""
        return list(updates(self._tasks.pop(0), self._train))


def sql(*queries: str) -> Apply:
    """An edit of the database."""

    def apply(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
            connection.execute("PRAGMA ignore_check_constraints = 1")
            for query in queries:
                connection.execute(query)
            connection.commit()

    return apply


def one(kind: str, arm: str | None = None) -> str:
    """A query for one run of a kind and arm of sgd, always the same."""
    tags = {"kind": kind, "optimizer": "sgd"}
    if arm:
        tags["arm"] = arm
    conditions = []
    for key, value in tags.items():
        has_value = f"t.key = 'optsuite.{key}' AND t.value = '{value}'"
        same_run = "t.run_uuid = runs.run_uuid"
        conditions.append(f"EXISTS (SELECT 1 FROM tags t WHERE {same_run} AND {has_value})")
    where = " AND ".join(conditions)
    return f"(SELECT run_uuid FROM runs WHERE {where} ORDER BY start_time, run_uuid LIMIT 1)"


STUDY, TRIAL, TUNED, DEFAULT = (
    one("study"),
    one("trial"),
    one("evaluation", "tuned"),
    one("evaluation", "default"),
)


def tag(run: str, key: str, value: str | None) -> Apply:
    """Edit a tag of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    return sql(
        f"DELETE FROM tags {where}"
        if value is None
        else f"UPDATE tags SET value = '{value}' {where}"
    )


def param(run: str, key: str, value: str | None) -> Apply:
    """Edit a param of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    return sql(
        f"DELETE FROM params {where}"
        if value is None
        else f"UPDATE params SET value = '{value}' {where}"
    )


def metric(run: str, key: str, value: str | None, *, is_nan: int = 0) -> Apply:
    """Edit a summary of a run, or remove it."""
    where = f"WHERE run_uuid = {run} AND key = '{key}'"
    if value is None:
        return sql(f"DELETE FROM latest_metrics {where}", f"DELETE FROM metrics {where}")
    return sql(
        *(
            f"UPDATE {table} SET value = {value}, is_nan = {is_nan} {where}"
            for table in ("latest_metrics", "metrics")
        )
    )


def copied(run: str, *, score: str = "value", fingerprint: str = "value") -> Apply:
    """A second row of a run, with another score or fingerprint where they are given."""
    new, columns = "'f' || substr(run_uuid, 2)", {"tags": "key, value", "params": "key, value"}
    steps = ["CREATE TEMP TABLE one AS SELECT run_uuid AS id FROM runs WHERE run_uuid = " + run]
    own = "run_uuid = (SELECT id FROM one)"
    steps.append("CREATE TEMP TABLE row AS SELECT * FROM runs WHERE " + own)
    steps += [f"UPDATE row SET run_uuid = {new}", "INSERT INTO runs SELECT * FROM row"]
    for table, names in columns.items():
        value = (
            f"CASE WHEN key = 'optsuite.fingerprint' THEN {fingerprint} ELSE value END"
            if table == "tags"
            else "value"
        )
        select = names.replace("value", value)
        rows = f"SELECT {select}, {new} FROM {table} WHERE {own}"
        steps.append(f"INSERT INTO {table} ({names}, run_uuid) {rows}")
    for table in ("latest_metrics", "metrics"):
        steps += [
            f"CREATE TEMP TABLE {table}_row AS SELECT * FROM {table} WHERE {own}",
            f"UPDATE {table}_row SET run_uuid = {new}, "
            f"value = CASE WHEN key = 'score' THEN {score} ELSE value END",
            f"INSERT INTO {table} SELECT * FROM {table}_row",
        ]
    return sql(*steps)


def waiting(name: str, content: bytes) -> Apply:
    """A file in the spool."""

    def apply(folder: Path) -> None:
        (path := folder / "mlruns" / "spool" / "mlflow.db" / CAMPAIGN).mkdir(parents=True)
        (path / name).write_bytes(content)

    return apply


def spooled_otherwise(make: Callable[[Path], object]) -> Apply:
    """Something in the spool that is no file."""

    def apply(folder: Path) -> None:
        (path := folder / "mlruns" / "spool" / "mlflow.db" / CAMPAIGN).mkdir(parents=True)
        make(path / "odd.json")

    return apply


def huge(path: Path) -> None:
    """A file of a gigabyte, without a byte on the disk."""
    with path.open("wb") as file:
        file.truncate(2**30)


def in_mlruns(change: Callable[[Path], object]) -> Apply:
    """An edit of what lies in mlruns."""

    def apply(folder: Path) -> None:
        change(folder / "mlruns")

    return apply


def without(path: Path) -> Path:
    """The path, with nothing there."""
    path.unlink()
    return path


def reshaped(path: Path, start: int, content: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


RECORD = {
    "benchmark": "line",
    "name": "x",
    "tags": {},
    "params": {},
    "measurements": [],
    "summary": {},
    "status": "FINISHED",
}


def _edits() -> Iterator[tuple[str, Apply]]:
    yield "nothing", lambda folder: None
    for name, run in {"study": STUDY, "trial": TRIAL, "tuned": TUNED, "default": DEFAULT}.items():
        yield f"{name}: fingerprint lost", tag(run, "optsuite.fingerprint", None)
        yield f"{name}: fingerprint of text", tag(run, "optsuite.fingerprint", "of text")
        yield f"{name}: outcome unknown", tag(run, "optsuite.outcome", "splendid")
        yield f"{name}: kind unknown", tag(run, "optsuite.kind", "rumor")
        yield f"{name}: benchmark lost", tag(run, "optsuite.benchmark", None)
        yield f"{name}: benchmark edited", tag(run, "optsuite.benchmark", "lane")
        yield f"{name}: lr of text", param(run, "lr", "fast")
        yield f"{name}: lr edited", param(run, "lr", "0.123")
        yield f"{name}: score lost", metric(run, "score", None)
        yield f"{name}: score lower", metric(run, "score", "0.0001")
        yield f"{name}: score of text", metric(run, "score", "'low'")
        yield f"{name}: score nan", metric(run, "score", "0", is_nan=1)
        yield (
            f"{name}: status unknown",
            sql(f"UPDATE runs SET status = 'ASLEEP' WHERE run_uuid = {run}"),
        )
        yield (
            f"{name}: status running",
            sql(f"UPDATE runs SET status = 'RUNNING' WHERE run_uuid = {run}"),
        )
        yield f"{name}: campaign lost", tag(run, "optsuite.campaign", None)
        yield (
            f"{name}: deleted",
            sql(f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = {run}"),
        )
        yield (
            f"{name}: superseded by hand",
            sql(
                "INSERT INTO tags (key, value, run_uuid) "
                f"SELECT 'optsuite.superseded', 'true', {run}"
            ),
        )
    for name, run in {"trial": TRIAL, "tuned": TUNED}.items():
        yield f"{name}: seed lost", tag(run, "optsuite.seed", None)
        yield f"{name}: seed of text", tag(run, "optsuite.seed", "lucky")
        yield f"{name}: seed edited", tag(run, "optsuite.seed", "2")
        yield f"{name}: parent lost", tag(run, "mlflow.parentRunId", None)
        yield f"{name}: parent unknown", tag(run, "mlflow.parentRunId", "nobody")
        yield f"{name}: there twice", copied(run)
        yield f"{name}: there twice, another score", copied(run, score="value / 2")
        yield (
            f"{name}: restored from another definition",
            copied(run, fingerprint="'0123456789abcdef' || substr(value, 17)"),
        )
        yield (
            f"{name}: all metrics lost",
            sql(
                *(f"DELETE FROM {t} WHERE run_uuid = {run}" for t in ("metrics", "latest_metrics"))
            ),
        )
        yield (
            f"{name}: points lost",
            sql(
                f"DELETE FROM metrics WHERE run_uuid = {run} "
                "AND key = 'validation/loss' AND step > 5"
            ),
        )
        yield (
            f"{name}: a point edited",
            sql(
                f"UPDATE metrics SET value = 9 WHERE run_uuid = {run} "
                "AND key = 'validation/loss' AND step = 10"
            ),
        )
        yield (
            f"{name}: two points swapped",
            sql(
                "UPDATE metrics SET value = (SELECT other.value FROM metrics AS other "
                "WHERE other.run_uuid = metrics.run_uuid "
                "AND other.key = metrics.key AND other.step = 15 - metrics.step) "
                f"WHERE run_uuid = {run} AND key = 'test/loss' AND step IN (5, 10)"
            ),
        )
        yield (
            f"{name}: two curves swapped",
            sql(
                "UPDATE metrics SET key = "
                "CASE key WHEN 'test/loss' THEN 'validation/loss' ELSE 'test/loss' END "
                f"WHERE run_uuid = {run} AND key IN ('test/loss', 'validation/loss')"
            ),
        )
        yield (
            f"{name}: a point added",
            sql(
                "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
                f"SELECT key, 7, timestamp, 13, 0, run_uuid FROM metrics "
                f"WHERE run_uuid = {run} AND key = 'validation/loss' AND step = 10"
            ),
        )
        yield (
            f"{name}: step of text",
            sql(
                f"UPDATE metrics SET step = 'last' WHERE run_uuid = {run} "
                "AND key = 'test/loss' AND step = 5"
            ),
        )
        yield (
            f"{name}: started of text",
            sql(f"UPDATE runs SET start_time = 'today' WHERE run_uuid = {run}"),
        )
    yield "tuned: arm unknown", tag(TUNED, "optsuite.arm", "leg")
    yield "tuned: arm edited", tag(TUNED, "optsuite.arm", "manual")
    yield "tuned: made a trial", tag(TUNED, "optsuite.kind", "trial")
    yield "tuned: made divergent", tag(TUNED, "optsuite.outcome", "diverged")
    yield "tuned: optimizer edited", tag(TUNED, "optsuite.optimizer", "adam")
    yield "tuned: optimizer with an escape", tag(TUNED, "optsuite.optimizer", "\x1b[31mred")
    yield "tuned: optimizer that a sheet computes", tag(TUNED, "optsuite.optimizer", "=1+1")
    yield "tuned: seal lost", tag(TUNED, "optsuite.seal", None)
    yield "tuned: seal of text", tag(TUNED, "optsuite.seal", "lead")
    yield "tuned: seal of another version", tag(TUNED, "optsuite.seal", "9 0123 1 1 1")
    yield "tuned: schema lost", tag(TUNED, "optsuite.schema", None)
    yield (
        "tuned: seal lost, and a score lower",
        lambda folder: [
            tag(TUNED, "optsuite.seal", None)(folder),
            metric(TUNED, "score", "0.0001")(folder),
        ][0],
    )
    yield "tuned: max_steps of text", param(TUNED, "max_steps", "many")
    yield "tuned: max_steps edited", param(TUNED, "max_steps", "40")
    yield "tuned: best/step of text", metric(TUNED, "best/step", "'last'")
    for key, value in {
        "at_edge": "perhaps",
        "n_seeds": "several",
        "n_trials": "99",
        "tolerance": "0.9",
        "lr_high": "1e9",
    }.items():
        yield f"study: {key} edited", param(STUDY, key, value)
    yield (
        "study: at_edge turned",
        sql(
            "UPDATE params SET value = CASE value WHEN 'True' THEN 'False' ELSE 'True' END "
            f"WHERE key = 'at_edge' AND run_uuid = {STUDY}"
        ),
    )
    yield (
        "experiment deleted",
        sql(
            "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'line'",
            "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 1 WHERE experiment_id = "
            "(SELECT experiment_id FROM experiments WHERE name = 'line')",
        ),
    )
    yield "experiment renamed", sql("UPDATE experiments SET name = 'lane' WHERE name = 'line'")
    yield (
        "artifacts elsewhere",
        sql(
            "UPDATE experiments SET artifact_location = 'file:///nowhere/artifacts/line' "
            "WHERE name = 'line'"
        ),
    )
    for table in ("metrics", "latest_metrics", "tags", "runs", "params", "experiments"):
        yield f"schema: no {table}", sql(f"ALTER TABLE {table} RENAME TO {table}_old")
    yield "schema: no column", sql("ALTER TABLE latest_metrics RENAME COLUMN is_nan TO isnt")
    yield "schema: a newer version", sql("UPDATE alembic_version SET version_num = '0123456789ab'")
    yield "schema: an older version", sql("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    yield "schema: no version", sql("DELETE FROM alembic_version")
    database = "mlflow.db"
    yield "file: empty", in_mlruns(lambda path: (path / database).write_bytes(b""))
    yield (
        "file: text",
        in_mlruns(lambda path: (path / database).write_text("not a database at all\n" * 200)),
    )
    yield (
        "file: cut in half",
        in_mlruns(lambda path: os.truncate(path / database, (path / database).stat().st_size // 2)),
    )
    yield (
        "file: noise at the front",
        in_mlruns(lambda path: reshaped(path / database, 0, os.urandom(64))),
    )
    yield "file: a folder", in_mlruns(lambda path: without(path / database).mkdir())
    yield (
        "file: a link to nowhere",
        in_mlruns(lambda path: without(path / database).symlink_to("/not/mounted/mlflow.db")),
    )
    yield "spool: empty", waiting("a.json", b"")
    yield "spool: binary", waiting("a.json", bytes(range(256)))
    yield "spool: text", waiting("a.json", b"{")
    yield "spool: a list", waiting("a.json", b"[1, 2]")
    yield "spool: nothing in it", waiting("a.json", b"{}")
    yield (
        "spool: of wrong types",
        waiting("a.json", json.dumps(RECORD | {"started": "x", "ended": None, "tags": 3}).encode()),
    )
    yield (
        "spool: of no campaign",
        waiting("a.json", json.dumps(RECORD | {"started": 0, "ended": 1}).encode()),
    )
    yield "spool: a folder", spooled_otherwise(Path.mkdir)
    yield "spool: a link", spooled_otherwise(lambda path: path.symlink_to("/etc/passwd"))
    yield "spool: a pipe", spooled_otherwise(os.mkfifo)
    yield "spool: a gigabyte", spooled_otherwise(huge)


EDITS: Mapping[str, Apply] = dict(_edits())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an edit: of the table, by `report` and then by `run`, and what was said."""

    report: str
    run: str
    said: str

    @property
    def is_silent(self) -> bool:
        """Whether something went wrong that must not."""
        return any(text.startswith(("CHANGED", "RAW")) for text in (self.report, self.run))


def _report() -> None:
    """What the command `report` does."""
    show_report(console(), publish(tracking_uri(), CAMPAIGN, Path("mlruns/report")), CAMPAIGN)


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A finished campaign in a folder, its tables, and what `run` needs to go on with it."""

    folder: Path
    tables: tuple[str, ...]
    problems: Sequence[Problem]

    @classmethod
    def finish(cls, folder: Path) -> "Campaign":
        """Train it in a folder."""
        problems, _ = prepare(SUITE, device="cpu")
        own = cls(folder=folder, tables=(), problems=problems)
        with contextlib.chdir(folder):
            own.run()
        return cls(folder=folder, tables=_tables(folder), problems=problems)

    def run(self) -> None:
        """What the command `run` does."""
        out = console()
        with Display(out) as display:
            session = Session(
                suite=SUITE,
                campaign=CAMPAIGN,
                uri=tracking_uri(),
                pool=Inline(),
                problems=self.problems,
                skipped=(),
                options=ExecutionOptions(),
                listener=display.show,
            )
            session.run(studies_of(SUITE, self.problems, device="cpu"))
        _report()

    def try_edit(self, apply: Apply, folder: Path) -> Outcome:
        """Edit a copy, report, and run."""
        shutil.copytree(self.folder, folder, symlinks=True)
        apply(folder)
        with contextlib.chdir(folder):
            reported, heard = self._heard(folder, _report)
            healed, more = self._heard(folder, self.run)
            if healed == "left out, and named":
                healed = "CHANGED for good"
        return Outcome(report=reported, run=healed, said=" | ".join(dict.fromkeys(heard + more)))

    def _heard(self, folder: Path, call: Callable[[], object]) -> tuple[str, list[str]]:
        """How a call ended, and what it said besides its tables."""
        log, out = io.StringIO(), io.StringIO()
        handler = logging.StreamHandler(log)
        logging.getLogger("optsuite").addHandler(handler)
        shutil.rmtree(folder / "mlruns" / "report", ignore_errors=True)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(log):
                call()
        except (InputError, StoreUnavailableError) as error:
            return "refused in one line", [*log.getvalue().splitlines(), one_line(error)]
        except Exception as error:
            return f"RAW {type(error).__name__}", [*log.getvalue().splitlines(), one_line(error)]
        finally:
            logging.getLogger("optsuite").removeHandler(handler)
        said = log.getvalue().splitlines()
        said += [
            text
            for text in out.getvalue().splitlines()
            if text.startswith(("The report could not", "Broken"))
        ]
        if _tables(folder) == self.tables:
            return "healed" if said else "unchanged", said
        return "left out, and named" if said else "CHANGED in silence", said


def _tables(folder: Path) -> tuple[str, ...]:
    paths = [folder / "mlruns" / "report" / name for name in TABLES]
    return tuple(path.read_text() if path.exists() else "" for path in paths)


def main(wanted: Sequence[str]) -> int:
    """Try all edits whose names hold one of these words; all of them without words."""
    chosen = {
        name: apply
        for name, apply in EDITS.items()
        if not wanted or any(word in name for word in wanted)
    }
    warnings.simplefilter("ignore")
    logging.getLogger("optsuite").propagate = False
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    failed = []
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = place
        base = Path(place) / "base"
        base.mkdir()
        with contextlib.redirect_stdout(io.StringIO()):
            campaign = Campaign.finish(base)
        for number, (name, apply) in enumerate(chosen.items()):
            outcome = campaign.try_edit(apply, Path(place) / f"copy-{number}")
            failed += [name] if outcome.is_silent else []
            print(
                f"{name:44} | report: {outcome.report:20} | run: {outcome.run:20} | {outcome.said}",
                flush=True,
            )
            shutil.rmtree(Path(place) / f"copy-{number}")
    print(f"{len(chosen)} edits, {len(failed)} went wrong: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
