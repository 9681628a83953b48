import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import InlinePool, enter
from mlflow import MlflowClient
from stores import everything, never, run_studies
from suites import tiny
from torch import nn

import optsuite
from benchmarks import SUITE as DEFAULT
from optsuite import OPTIMIZERS, OptimizerSpec, Suite
from optsuite.analysis.leaderboard import comparison, leaderboard
from optsuite.campaign.events import Event, Ready, RunEnded, StudyEnded
from optsuite.campaign.lock import campaign_lock, check_campaign_name
from optsuite.campaign.prepare import Problem, prepare
from optsuite.campaign.runner import manual_study, missing, studies_of
from optsuite.errors import InputError
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store
from optsuite.training.results import Measurement, RunResult

SUITE = replace(tiny.SUITE, n_trials=9, n_seeds=2)
N_SGD, N_SIGN = 9 + 2 + 2, 9 + 2  # the optimizer of the suite has no default rate


def problems(suite: Suite = SUITE) -> list[Problem]:
    return prepare(suite, device="cpu")[0]


def go(pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never) -> list[Event]:
    """Run the suite in the current folder and return the events."""
    pool.load(suite)
    return resume(pool, suite, stop)


def resume(pool: InlinePool, suite: Suite = SUITE, stop: Callable[[], bool] = never) -> list[Event]:
    """The same with the training function that the pool already has."""
    studies = studies_of(suite, problems(suite), device="cpu")
    return run_studies(pool, studies, suite=suite.name, stop=stop)


def test_a_campaign_holds_just_what_the_protocol_asks_for(folder: Path, pool: InlinePool) -> None:
    events = go(pool)
    assert pool.n_trained == N_SGD + N_SIGN
    assert [e.optimizer for e in events if isinstance(e, StudyEnded)] == ["sgd", "sign"]
    runs = everything()
    arms = runs["arm"].fillna(runs["kind"])
    assert runs.groupby(["optimizer", arms]).size().to_dict() == {
        ("sgd", "default"): 2,
        ("sgd", "study"): 1,
        ("sgd", "trial"): 9,
        ("sgd", "tuned"): 2,
        ("sign", "study"): 1,
        ("sign", "trial"): 9,
        ("sign", "tuned"): 2,
    }
    assert set(runs["status"]) == {"FINISHED"}
    assert runs["fingerprint"].is_unique
    studies = runs[runs["kind"] == "study"].set_index("optimizer")
    children = runs[runs["kind"] != "study"]
    assert (children["parent"] == children["optimizer"].map(studies["run_id"])).all()
    assert studies["parent"].isna().all()
    trials = runs[runs["kind"] == "trial"]
    best = trials.loc[trials.groupby("optimizer")["score"].idxmin()].set_index("optimizer")["lr"]
    assert studies["lr"].to_dict() == best.to_dict()
    assert set(trials["seed"]) & set(runs.loc[runs["kind"] == "evaluation", "seed"]) == set()


def test_the_study_run_carries_the_rate_the_score_and_the_median_curves(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    store, runs = open_store(tracking_uri()), everything()
    study = runs[(runs["kind"] == "study") & (runs["optimizer"] == "sgd")].iloc[0]
    tuned = runs[(runs["arm"] == "tuned") & (runs["optimizer"] == "sgd")]

    def curve(run_id: str) -> Mapping[int, float]:
        return store.curves(run_id, ["validation/loss"])["validation/loss"]

    first, second = (curve(run_id) for run_id in tuned["run_id"])
    expected = {step: (first[step] + second[step]) / 2 for step in first}
    assert curve(study["run_id"]) == pytest.approx(expected)
    assert study["score"] == pytest.approx(tuned["score"].mean())
    params = store.client.get_run(study["run_id"]).data.params
    assert params["momentum"] == "0.0"
    results = {"lr", "lr_low", "lr_high", "at_edge"}
    assert results | {"n_trials", "n_seeds", "torch_version", "engine"} <= params.keys()


def test_curves_in_any_stack_and_order_are_bitwise_equal(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, pool: InlinePool
) -> None:
    class LastInFirstOut(InlinePool):
        """Takes the latest task first."""

        def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
            self._queue.reverse()
            return super().poll(timeout)

    def results(name: str, pool: InlinePool, max_stack: int) -> pd.DataFrame:
        enter(tmp_path / name, template, monkeypatch)
        pool.load(SUITE)
        (problem,) = problems()
        plans = {}
        for optimizer, plan in problem.plans.items():
            assert plan.engine == "stacked"
            plans[optimizer] = replace(plan, max_stack=max_stack)
        studies = studies_of(SUITE, [replace(problem, plans=plans)], device="cpu")
        run_studies(pool, studies)
        query = """
            SELECT tags.value AS fingerprint, metrics.key, step, metrics.value FROM metrics
            JOIN tags USING (run_uuid)
            WHERE tags.key = 'optsuite.fingerprint' AND metrics.key NOT LIKE 'usage/%'
        """
        with closing(sqlite3.connect("mlruns/mlflow.db")) as store:
            found = pd.read_sql(query, store)
        return found.sort_values(["fingerprint", "key", "step"], ignore_index=True)

    whole = results("whole", pool, 100)
    assert len(whole) > 100
    pd.testing.assert_frame_equal(whole, results("small", LastInFirstOut(), 3), check_exact=True)


@pytest.mark.parametrize(("n_workers", "first"), [(3, "tiny_line"), (4, "longer")])
def test_longest_studies_are_first_if_each_has_a_worker(
    folder: Path, n_workers: int, first: str
) -> None:
    class Cluster(InlinePool):
        def submit(self, task: Task) -> None:
            submitted.append(task)
            super().submit(task)

    submitted: list[Task] = []
    pool = Cluster()
    pool.n_workers = n_workers
    suite = replace(SUITE, benchmarks=(tiny.BENCHMARK, replace(tiny.BENCHMARK, name="longer")))
    pool.load(suite)
    short, long = problems(suite)
    timed = [replace(short, seconds_per_run=1.0), replace(long, seconds_per_run=9.0)]
    run_studies(pool, studies_of(suite, timed, device="cpu"))
    assert min(submitted, key=lambda task: task.priority).runs[0].benchmark == first


def test_a_twin_is_never_ranked_apart_and_training_beats_not_training(
    folder: Path, pool: InlinePool
) -> None:
    sgd = SUITE.optimizers[0]

    def frozen(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.0)

    still = OptimizerSpec(name="frozen", build=frozen, lr=sgd.lr, special_cases=("sgd",))
    suite = replace(SUITE, optimizers=(sgd, replace(sgd, name="twin"), still), n_seeds=12)
    go(pool, suite)
    table = leaderboard(read_runs(open_store(tracking_uri()), "c"))
    rows = {row["optimizer"]: row for row in table[table["arm"] == "tuned"].to_dict("records")}
    assert str(rows["sgd"]) == str(rows["twin"] | {"optimizer": "sgd"})  # nan is nan
    assert (rows["sgd"]["rank"], rows["sgd"]["verdict"]) == (1, "tied")
    assert (rows["frozen"]["rank"], rows["frozen"]["never_improved"]) == (3, 12)
    assert rows["frozen"]["verdict"] == "worse"
    assert rows["frozen"]["beaten_by"] == "sgd"
    assert "beaten_by_special_case" in rows["frozen"]["warnings"]


def test_every_finished_study_knows_what_a_step_costs(folder: Path, pool: InlinePool) -> None:
    go(pool)
    runs = everything()
    studies = runs[runs["kind"] == "study"]
    assert (studies["usage/milliseconds_per_step"] > 0).all()
    assert studies["usage/state_bytes_per_parameter"].tolist() == [0, 0]


def test_a_second_start_trains_nothing_and_writes_nothing(folder: Path, pool: InlinePool) -> None:
    go(pool)
    before, n = everything(), pool.n_trained
    events = go(pool)
    assert pool.n_trained == n
    assert [e.missing for e in events if isinstance(e, Ready)] == [{"tiny_line": 0}]
    assert all(e.reused for e in events if isinstance(e, RunEnded | StudyEnded))
    pd.testing.assert_frame_equal(everything(), before)


def test_interrupted_campaign_resumes_to_the_same_end(
    folder: Path, template: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(folder / "whole", template, monkeypatch)
    go(pool)
    expected = leaderboard(optsuite.runs("c"))
    monkeypatch.chdir(folder)
    for n in (1, 8, 9, 12, 20):
        pool.clear()
        count = pool.n_trained
        go(pool, stop=lambda n=n, count=count: pool.n_trained - count >= n)  # type: ignore[misc]
        runs = everything()
        assert "RUNNING" not in set(runs["status"])
        assert runs["fingerprint"].is_unique
    pool.clear()
    go(pool)
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)
    assert set(everything()["status"]) == {"FINISHED"}


def test_runs_left_running_by_a_kill_are_deleted_and_trained_again(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    store, runs = open_store(tracking_uri()), everything()
    n = pool.n_trained
    study = runs[(runs["kind"] == "study") & (runs["optimizer"] == "sgd")].iloc[0]
    trial = runs[(runs["kind"] == "trial") & (runs["optimizer"] == "sgd")].iloc[4]
    for run_id in (study["run_id"], trial["run_id"]):
        store.client.update_run(run_id, status="RUNNING")
    go(pool)
    assert pool.n_trained == n + 1
    again = everything()
    assert set(again["status"]) == {"FINISHED"}
    assert trial["run_id"] not in set(again["run_id"])
    columns = ["optimizer", "kind", "lr", "seed", "score", "fingerprint"]
    pd.testing.assert_frame_equal(again[columns], runs[columns])


def test_a_run_deleted_in_the_ui_is_trained_again(folder: Path, pool: InlinePool) -> None:
    go(pool)
    n, runs = pool.n_trained, everything()
    open_store(tracking_uri()).delete(runs[runs["arm"] == "tuned"].iloc[0]["run_id"])
    go(pool)
    assert pool.n_trained == n + 1
    pd.testing.assert_series_equal(everything()["score"], runs["score"])


def test_a_run_recorded_twice_is_kept_once(folder: Path, pool: InlinePool) -> None:
    go(pool)
    store, runs = open_store(tracking_uri()), everything()
    one = store.client.get_run(runs[runs["arm"] == "tuned"].iloc[0]["run_id"])
    double = store.client.create_run(one.info.experiment_id, tags=one.data.tags)
    store.client.set_terminated(double.info.run_id)
    go(pool)
    assert len(everything()) == len(runs)


def test_a_changed_optimizer_supersedes_its_runs_and_no_others(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    n = pool.n_trained
    with_momentum = replace(OPTIMIZERS["sgd"], fixed={"momentum": 0.5})
    changed = replace(SUITE, optimizers=(with_momentum, SUITE.optimizers[1]))
    pool.load(changed)
    studies = studies_of(changed, problems(changed), device="cpu")
    assert missing(studies, uri=tracking_uri(), campaign="c") == {"tiny_line": N_SGD}
    run_studies(pool, studies)
    assert pool.n_trained == n + N_SGD
    runs = everything()
    assert runs.groupby("optimizer")["superseded"].sum().to_dict() == {"sgd": N_SGD + 1, "sign": 0}
    assert len(leaderboard(optsuite.runs("c"))) == 3
    go(pool)  # the first definition again: nothing was erased
    assert pool.n_trained == n + N_SGD
    runs = everything()
    assert runs.groupby("optimizer")["superseded"].sum().to_dict() == {"sgd": N_SGD + 1, "sign": 0}


def test_a_changed_benchmark_supersedes_the_runs_of_all_optimizers(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    harder = replace(tiny.BENCHMARK, batch_size=8)
    only = replace(SUITE, benchmarks=(harder,), optimizers=SUITE.optimizers[:1])
    go(pool, only)
    runs = optsuite.runs("c")
    assert set(runs["optimizer"]) == {"sgd"}


def test_more_trials_reuse_the_first_and_supersede_the_old_rate(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    n = pool.n_trained
    go(pool, replace(SUITE, n_trials=12, n_seeds=3))
    runs = optsuite.runs("c")
    n_trials = runs[runs["kind"] == "trial"].groupby("optimizer").size()
    assert n_trials.to_dict() == {"sgd": 12, "sign": 12}
    n_tuned = runs[runs["arm"] == "tuned"].groupby("optimizer").size()
    assert n_tuned.to_dict() == {"sgd": 3, "sign": 3}
    assert len(runs[runs["kind"] == "study"]) == 2
    studies = runs[runs["kind"] == "study"].set_index("optimizer")
    children = runs[runs["kind"] != "study"]
    assert (children["parent"] == children["optimizer"].map(studies["run_id"])).all()
    assert pool.n_trained - n < 2 * 12 + 9


def test_a_budget_that_replaces_another_is_announced(folder: Path, pool: InlinePool) -> None:
    def replaced(suite: Suite) -> list[tuple[str, ...]]:
        return [e.replaced for e in go(pool, suite) if isinstance(e, Ready)]

    assert replaced(SUITE) == [()]
    assert replaced(SUITE) == [()]
    assert replaced(replace(SUITE, n_seeds=3)) == [("tiny_line",)]
    assert replaced(replace(SUITE, n_seeds=3)) == [()]
    assert replaced(SUITE) == [("tiny_line",)]


def test_a_failed_run_ends_its_study_alone_and_is_tried_again(
    folder: Path, pool: InlinePool
) -> None:
    pool.load(SUITE)
    train, broken = pool.train, [True]
    assert train is not None

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        if broken[0] and task.runs[0].optimizer == "sgd" and task.runs[0].kind == "trial":
            raise RuntimeError("disk on fire")
        return train(task)

    pool.train = failing
    ended = {e.optimizer: e for e in resume(pool) if isinstance(e, StudyEnded)}
    expected = "the run lr=10 seed=1000 failed: RuntimeError: disk on fire (test_campaign.py, "
    assert str(ended["sgd"].error).startswith(expected)
    assert ended["sign"].error is None
    runs = everything()
    assert runs[(runs["status"] == "FAILED")]["kind"].tolist() == ["study", *["trial"] * 8]
    broken[0] = False
    resume(pool)
    assert set(everything()["status"]) == {"FINISHED"}
    assert len(everything()) == N_SGD + N_SIGN + 2


def test_a_study_that_fails_when_repeated_leaves_the_good_result(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    before = leaderboard(optsuite.runs("c"))

    def failing(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        raise RuntimeError("no")

    pool.train = failing
    events = resume(pool, replace(SUITE, n_trials=12))
    assert all(e.error for e in events if isinstance(e, StudyEnded))
    pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), before)


def test_a_task_whose_worker_dies_is_tried_once_more(folder: Path, pool: InlinePool) -> None:
    poll, deaths = pool.poll, [1]

    def dying(timeout: float) -> list[RunUpdate | TaskLost]:
        events = list(poll(timeout))
        is_check = events[0].task in {task.id for task in pool.checks}
        if deaths[0] and isinstance(events[0], RunUpdate) and not is_check:
            deaths[0] -= 1
            lost = TaskLost(task=events[0].task, reason="its worker died with exit code -9")
            return [*events[:2], lost]
        return events

    pool.poll = dying  # type: ignore[method-assign]
    assert not [e for e in go(pool) if isinstance(e, StudyEnded) and e.error]
    assert len(everything()) == N_SGD + N_SIGN + 2
    deaths[0] = 2
    trial = everything().query("kind == 'trial' and optimizer == 'sign'").iloc[0]
    open_store(tracking_uri()).delete(trial["run_id"])
    (failed,) = [e for e in go(pool) if isinstance(e, StudyEnded) and e.error]
    assert "its worker died with exit code -9" in str(failed.error)


def test_runs_that_do_not_start_alike_fail(folder: Path, pool: InlinePool) -> None:
    pool.load(SUITE)
    train = pool.train
    assert train is not None

    def elsewhere(task: Task) -> Iterator[tuple[int, Measurement | RunResult]]:
        for index, update in train(task):
            if isinstance(update, Measurement) and task.runs[0].optimizer == "sign":
                doubled = {name: value * 2 for name, value in update.values.items()}
                update = replace(update, values=doubled)
            yield index, update

    pool.train = elsewhere
    (failed,) = [e for e in resume(pool) if isinstance(e, StudyEnded) and e.error]
    assert failed.optimizer == "sign"
    assert "validation loss at step 0 is" in str(failed.error)
    assert "with sgd: it must depend on the seed alone" in str(failed.error)


def test_a_suite_that_changes_while_it_runs_fails(folder: Path, pool: InlinePool) -> None:
    pool.load(replace(SUITE, benchmarks=(replace(tiny.BENCHMARK, batch_size=8),)))
    errors = [str(e.error) for e in resume(pool) if isinstance(e, StudyEnded)]
    assert errors
    expected = "benchmark tiny_line: its numbers differ each time that the suite is loaded"
    assert all(expected in error for error in errors)


class Killed(BaseException):
    """Stands for the kill of a process: nothing more is written."""


WRITES = (
    "create_run",
    "log_batch",
    "set_terminated",
    "delete_run",
    "set_tag",
    "delete_tag",
    "create_experiment",
)


def kill_after(n: int, patch: pytest.MonkeyPatch) -> None:
    """Let n writes to MLflow succeed, and none after them."""
    writes = {name: getattr(MlflowClient, name) for name in WRITES}
    done = [0]

    def write(self: MlflowClient, *arguments: object, name: str, **named: object) -> object:
        done[0] += 1
        if done[0] > n:
            raise Killed
        return writes[name](self, *arguments, **named)

    for name in WRITES:
        patch.setattr(MlflowClient, name, partialmethod(write, name=name))


def test_a_kill_before_any_write_changes_nothing(
    folder: Path, template: Path, pool: InlinePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = replace(SUITE, n_trials=2, n_seeds=2, optimizers=SUITE.optimizers[:1])
    go(pool, suite)
    expected = leaderboard(optsuite.runs("c"))
    for n in range(100):
        enter(folder / str(n), template, monkeypatch)
        with monkeypatch.context() as patch:
            kill_after(n, patch)
            try:
                go(pool, suite)
                assert n > 15
                return
            except Killed:
                pool.clear()
        go(pool, suite)
        pd.testing.assert_frame_equal(leaderboard(optsuite.runs("c")), expected)
        runs = everything()
        assert set(runs["status"]) == {"FINISHED"}
        assert runs["fingerprint"].is_unique
        assert (runs["parent"].dropna() == runs[runs["kind"] == "study"]["run_id"].iloc[0]).all()
    raise AssertionError("it never ended")


def test_an_experiment_deleted_in_the_ui_comes_back_with_its_runs(
    folder: Path, pool: InlinePool
) -> None:
    go(pool)
    before, n, store = everything(), pool.n_trained, open_store(tracking_uri())
    store.client.delete_experiment(before["experiment_id"].iloc[0])
    go(pool)
    assert pool.n_trained == n
    pd.testing.assert_frame_equal(everything(), before)


def test_given_rates_are_tracked_and_never_ranked(folder: Path, pool: InlinePool) -> None:
    go(pool)
    for _ in range(2):
        study = manual_study(SUITE, problems()[0], lr=0.05, seeds=[0, 5], device="cpu")
        run_studies(pool, [study])
    assert pool.n_trained == N_SGD + N_SIGN + 2
    table = leaderboard(optsuite.runs("c"))
    runs = everything()
    assert runs[runs["arm"] == "manual"]["parent"].isna().all()
    (row,) = table[table["arm"] == "manual"].to_dict("records")
    assert (row["lr"], row["seeds"], row["verdict"]) == (0.05, 2, "manual")
    assert pd.isna(row["rank"])
    go(pool)
    assert len(leaderboard(optsuite.runs("c"))) == 4


def test_one_process_at_a_time_holds_a_campaign(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with (
        campaign_lock(uri, "c"),
        pytest.raises(InputError, match=r"campaign 'c' is being run by process \d+ since 2"),
        campaign_lock(uri, "c"),
    ):
        pass
    with campaign_lock(uri, "c"), campaign_lock(uri, "d"):
        pass


@pytest.mark.parametrize("name", ["", "a b", "../x", "x'y", "-o", "ä", "a" * 101])
def test_campaign_names_are_safe(name: str) -> None:
    with pytest.raises(InputError, match="campaign: got"):
        check_campaign_name(name)


def test_optimizer_beaten_by_its_special_case_is_marked_in_the_table(
    folder: Path, pool: InlinePool
) -> None:
    names = ("sgd", "momentum", "adam", "adagrad", "rmsprop")
    benchmark = next(b for b in DEFAULT.benchmarks if b.name == "diabetes_mlp")
    suite = replace(
        DEFAULT,
        name="c",
        benchmarks=(benchmark,),
        optimizers=tuple(OPTIMIZERS[name] for name in names),
        on_request=(),
    )
    go(pool, suite)
    found = comparison(read_runs(open_store(tracking_uri()), "c"))
    beaten = found.table[found.table["arm"] == "tuned"].set_index("optimizer")["beaten_by"]
    assert set(beaten.index) == set(names)
    for general, special in (("momentum", "sgd"), ("adam", "adagrad"), ("adam", "rmsprop")):
        outdone = found.pairs[benchmark.name][special, general].kind == "better"
        assert outdone == (special in beaten[general]), beaten[general]
