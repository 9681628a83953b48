"""The edits that `corrupt_store.py` tries, by name."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from store_damage import (
    CONFIRMATION,
    DEFAULT,
    RECORD,
    STUDY,
    TRIAL,
    TUNED,
    Apply,
    copied,
    huge,
    in_mlruns,
    kept_otherwise,
    metric,
    param,
    reshaped,
    sql,
    tag,
    waiting,
    without,
)

TRAINED = {"trial": TRIAL, "confirmation": CONFIRMATION, "tuned": TUNED}


def _of_every_kind() -> Iterator[tuple[str, Apply]]:
    """Edits of a study, a trial, a confirmation, and tuned and default evaluations."""
    for name, run in {"study": STUDY, **TRAINED, "default": DEFAULT}.items():
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
        of_run = f"WHERE run_uuid = {run}"
        yield f"{name}: status unknown", sql(f"UPDATE runs SET status = 'ASLEEP' {of_run}")
        yield f"{name}: status running", sql(f"UPDATE runs SET status = 'RUNNING' {of_run}")
        yield f"{name}: campaign lost", tag(run, "optsuite.campaign", None)
        yield f"{name}: deleted", sql(f"UPDATE runs SET lifecycle_stage = 'deleted' {of_run}")
        values = f"SELECT 'optsuite.superseded', 'true', {run}"
        mark = sql(f"INSERT INTO tags (key, value, run_uuid) {values}")
        yield f"{name}: superseded by hand", mark


def _of_trained_runs() -> Iterator[tuple[str, Apply]]:
    """Edits of a trial, a confirmation and a tuned evaluation."""
    for name, run in TRAINED.items():
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


def _of_measurements() -> Iterator[tuple[str, Apply]]:
    """Edits of the metrics of a trial, a confirmation and a tuned evaluation."""
    for name, run in TRAINED.items():
        of_run = f"WHERE run_uuid = {run}"
        tables = ("metrics", "latest_metrics")
        yield f"{name}: all metrics lost", sql(*(f"DELETE FROM {t} {of_run}" for t in tables))
        of_loss = f"{of_run} AND key = 'validation/loss'"
        yield f"{name}: points lost", sql(f"DELETE FROM metrics {of_loss} AND step > 5")
        edit = f"UPDATE metrics SET value = 9 {of_loss} AND step = 10"
        yield f"{name}: a point edited", sql(edit)
        swap = (
            "UPDATE metrics SET value = (SELECT other.value FROM metrics AS other "
            "WHERE other.run_uuid = metrics.run_uuid "
            "AND other.key = metrics.key AND other.step = 15 - metrics.step) "
            f"{of_run} AND key = 'test/loss' AND step IN (5, 10)"
        )
        yield f"{name}: two points swapped", sql(swap)
        swap = (
            "UPDATE metrics SET key = "
            "CASE key WHEN 'test/loss' THEN 'validation/loss' ELSE 'test/loss' END "
            f"{of_run} AND key IN ('test/loss', 'validation/loss')"
        )
        yield f"{name}: two curves swapped", sql(swap)
        point = (
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
            f"SELECT key, 7, timestamp, 13, 0, run_uuid FROM metrics {of_loss} AND step = 10"
        )
        yield f"{name}: a point added", sql(point)
        edit = f"UPDATE metrics SET step = 'last' {of_run} AND key = 'test/loss' AND step = 5"
        yield f"{name}: step of text", sql(edit)
        yield f"{name}: started of text", sql(f"UPDATE runs SET start_time = 'today' {of_run}")


def _without_seal_and_better(folder: Path) -> None:
    tag(TUNED, "optsuite.seal", None)(folder)
    metric(TUNED, "score", "0.0001")(folder)


def _of_tuned_runs() -> Iterator[tuple[str, Apply]]:
    """Edits of a tuned evaluation, and of what kind a run is of."""
    yield "tuned: arm unknown", tag(TUNED, "optsuite.arm", "leg")
    yield "tuned: arm edited", tag(TUNED, "optsuite.arm", "manual")
    yield "tuned: made a trial", tag(TUNED, "optsuite.kind", "trial")
    yield "tuned: made a confirmation", tag(TUNED, "optsuite.kind", "confirmation")
    yield "confirmation: made a trial", tag(CONFIRMATION, "optsuite.kind", "trial")
    yield "confirmation: made tuned", tag(CONFIRMATION, "optsuite.kind", "evaluation")
    yield "trial: made a confirmation", tag(TRIAL, "optsuite.kind", "confirmation")
    yield "tuned: made divergent", tag(TUNED, "optsuite.outcome", "diverged")
    yield "tuned: optimizer edited", tag(TUNED, "optsuite.optimizer", "adam")
    yield "tuned: optimizer with an escape", tag(TUNED, "optsuite.optimizer", "\x1b[31mred")
    yield "tuned: optimizer that a sheet computes", tag(TUNED, "optsuite.optimizer", "=1+1")
    yield "tuned: seal lost", tag(TUNED, "optsuite.seal", None)
    yield "tuned: seal of text", tag(TUNED, "optsuite.seal", "lead")
    yield "tuned: seal of another version", tag(TUNED, "optsuite.seal", "9 0123 1 1 1")
    yield "tuned: schema lost", tag(TUNED, "optsuite.schema", None)
    yield "tuned: seal lost, and a score lower", _without_seal_and_better
    yield "tuned: max_steps of text", param(TUNED, "max_steps", "many")
    yield "tuned: max_steps edited", param(TUNED, "max_steps", "40")
    yield "tuned: best/step of text", metric(TUNED, "best/step", "'last'")


def _of_studies() -> Iterator[tuple[str, Apply]]:
    """Edits of a study."""
    for key, value in {
        "at_edge": "perhaps",
        "n_seeds": "several",
        "n_confirmed": "several",
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


def _of_experiments() -> Iterator[tuple[str, Apply]]:
    """Edits of the experiment."""
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


def _of_schemas() -> Iterator[tuple[str, Apply]]:
    """Edits of the schema of the database."""
    for table in ("metrics", "latest_metrics", "tags", "runs", "params", "experiments"):
        yield f"schema: no {table}", sql(f"ALTER TABLE {table} RENAME TO {table}_old")
    yield "schema: no column", sql("ALTER TABLE latest_metrics RENAME COLUMN is_nan TO isnt")
    yield "schema: a newer version", sql("UPDATE alembic_version SET version_num = '0123456789ab'")
    yield "schema: an older version", sql("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    yield "schema: no version", sql("DELETE FROM alembic_version")


def _of_files() -> Iterator[tuple[str, Apply]]:
    """Edits of the file of the database."""
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


def _of_outbox() -> Iterator[tuple[str, Apply]]:
    """Edits of the outbox."""
    yield "outbox: empty", waiting("a.json", b"")
    yield "outbox: binary", waiting("a.json", bytes(range(256)))
    yield "outbox: text", waiting("a.json", b"{")
    yield "outbox: a list", waiting("a.json", b"[1, 2]")
    yield "outbox: nothing in it", waiting("a.json", b"{}")
    yield (
        "outbox: of wrong types",
        waiting("a.json", json.dumps(RECORD | {"started": "x", "ended": None, "tags": 3}).encode()),
    )
    yield (
        "outbox: of no campaign",
        waiting("a.json", json.dumps(RECORD | {"started": 0, "ended": 1}).encode()),
    )
    yield "outbox: a folder", kept_otherwise(Path.mkdir)
    yield "outbox: a link", kept_otherwise(lambda path: path.symlink_to("/etc/passwd"))
    yield "outbox: a pipe", kept_otherwise(os.mkfifo)
    yield "outbox: a gigabyte", kept_otherwise(huge)


def _edits() -> Iterator[tuple[str, Apply]]:
    yield "nothing", lambda folder: None
    yield from _of_every_kind()
    yield from _of_trained_runs()
    yield from _of_measurements()
    yield from _of_tuned_runs()
    yield from _of_studies()
    yield from _of_experiments()
    yield from _of_schemas()
    yield from _of_files()
    yield from _of_outbox()


EDITS: Mapping[str, Apply] = dict(_edits())
