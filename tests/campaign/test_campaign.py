"""A campaign trains what the protocol asks for, and its studies hold the results."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import InlinePool, enter
from suites import tiny
from support.campaigns import N_SGD, N_SIGN, SUITE, go
from support.stores import everything, prepared, run_studies
from torch import nn

import optsuite
from benchmarks import SUITE as DEFAULT
from optsuite import OPTIMIZERS, OptimizerSpec
from optsuite.analysis.leaderboard import comparison, leaderboard
from optsuite.campaign.events import StudyEnded
from optsuite.campaign.lock import campaign_lock, check_campaign_name
from optsuite.campaign.runner import manual_study, studies_of
from optsuite.errors import InputError
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.registry import find_benchmark
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import open_store


def test_campaign_holds_just_what_the_protocol_asks_for(folder: Path, pool: InlinePool) -> None:
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


def test_study_run_carries_the_rate_the_score_and_the_median_curves(
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
        (problem,) = prepared(SUITE)
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
    short, long = prepared(suite)
    timed = [replace(short, seconds_per_run=1.0), replace(long, seconds_per_run=9.0)]
    run_studies(pool, studies_of(suite, timed, device="cpu"))
    assert min(submitted, key=lambda task: task.priority).runs[0].benchmark == first


def test_twin_is_never_ranked_apart_and_training_beats_not_training(
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


def test_given_rates_are_tracked_and_never_ranked(folder: Path, pool: InlinePool) -> None:
    go(pool)
    for _ in range(2):
        study = manual_study(SUITE, prepared(SUITE)[0], lr=0.05, seeds=[0, 5], device="cpu")
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
    benchmark = find_benchmark(DEFAULT, "diabetes_mlp")
    suite = replace(
        DEFAULT,
        name="c",
        benchmarks=(replace(benchmark, max_steps=200),),
        optimizers=tuple(OPTIMIZERS[name] for name in names),
        on_request=(),
        n_trials=4,
    )
    go(pool, suite)
    found = comparison(read_runs(open_store(tracking_uri()), "c"))
    beaten = found.table[found.table["arm"] == "tuned"].set_index("optimizer")["beaten_by"]
    assert set(beaten.index) == set(names)
    for general, special in (("momentum", "sgd"), ("adam", "adagrad"), ("adam", "rmsprop")):
        outdone = found.pairs[benchmark.name][special, general].kind == "better"
        assert outdone == (special in beaten[general]), beaten[general]
