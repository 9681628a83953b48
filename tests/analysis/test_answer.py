"""The answer of a campaign: who may be best, and what is said where there is little to say."""

from typing import Any

import pandas as pd
from support.frames import NAN, around, frame, seeds
from support.reports import whole

from optsuite.analysis.answer import advice, answer
from optsuite.analysis.leaderboard import comparison
from optsuite.analysis.overall import OVERALL_COLUMNS, overall

CODE = "torch.optim.Adam(model.parameters(), lr=0.1)"


def said(*rows: dict[str, Any]) -> str:
    found = comparison(frame(*rows))
    return " ".join(answer(overall(found), found.table))


def of_benchmark(name: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    ids = {"benchmark": name}
    return [row | ids | {"run_id": f"{name} {row['run_id']}"} for row in rows]


def test_answer_names_who_may_be_best_and_what_it_rests_on() -> None:
    names = ["adam", "sgd", "lion"]
    text = said(*whole(names, ["x", "y", "z"]))
    assert text == (
        "adam may be best on all 3 benchmarks: no optimizer is certainly better there. "
        "adam has a median gap of 0.0% (0.0% to 0.0%) to the lowest score; the interval is over "
        "benchmarks and seeds. Its default rate, 0.01, is 3.21x worse in the median "
        "and 3.22x worse at most. "
        "adam reached 100% of its targets."
    )


def test_answer_counts_who_follows_and_who_lacks_benchmarks() -> None:
    rows = whole(["adam", "sgd"], ["x", "y", "z"])
    rows += of_benchmark("z", *seeds("new", around(0.1)))
    text = said(*rows)
    assert text.startswith("adam may be best on 2 of 3 benchmarks: no optimizer")
    assert "; new follows with 1." in text
    assert text.endswith("new was compared on a part of the benchmarks only.")


def test_one_benchmark_says_nothing_about_others() -> None:
    text = said(*whole(["adam", "sgd"]))
    assert text.startswith("adam may be best on the one benchmark, which says nothing about others")
    assert "the interval is over seeds." in text


def test_one_optimizer_has_nothing_to_be_compared_with() -> None:
    text = said(*whole(["adam"], ["x", "y"]))
    assert text == "adam alone was evaluated: add another optimizer to compare it with."


def test_optimizers_that_all_diverged_are_not_recommended() -> None:
    rows = [*seeds("adam", [NAN] * 12), *seeds("sgd", [NAN] * 12)]
    assert said(*rows) == (
        "adam and sgd diverged on every seed: nothing can be recommended. "
        "Search lower rates, or check the benchmark."
    )


def test_nothing_evaluated_gives_no_answer() -> None:
    assert said() == ""
    assert advice(pd.DataFrame(columns=OVERALL_COLUMNS)) == ""


def test_names_of_many_optimizers_are_counted() -> None:
    rows = [row for number in range(26) for row in seeds(f"o{number:02}", around(0.3))]
    text = said(*rows)
    assert text.startswith("o00, o01, o02, o03, o04, o05 and 20 others may each be best on the one")


def test_one_seed_gives_no_interval() -> None:
    text = said(*whole(["adam", "sgd"], ["x", "y"], n_seeds=1))
    assert "adam and sgd may each be best on all 2 benchmarks" in text
    assert "adam has a median gap of 0.0% to the lowest score; one seed gives no interval." in text


def test_optimizer_that_diverged_on_one_benchmark_keeps_its_median() -> None:
    rows = whole(["adam", "sgd"], ["x", "y"])
    rows += of_benchmark("z", *seeds("adam", [NAN] * 12), *seeds("sgd", around(0.3)))
    table = overall(comparison(frame(*rows))).set_index("optimizer")
    assert table.loc[["adam"], ["may_be_best", "median_gap"]].to_numpy().tolist() == [[2, 0.0]]


def test_code_is_that_of_the_rate_in_the_middle() -> None:
    rows = []
    for benchmark, rate in (("x", 0.1), ("y", 1.0), ("z", 0.001)):
        own = [*seeds("adam", around(0.3), lr=rate), *seeds("sgd", around(0.5), lr=rate)]
        for row in own:
            if row["kind"] == "study":
                row |= {"code": f"torch.optim.Adam(model.parameters(), lr={rate:.3g})"}
        rows += of_benchmark(benchmark, *own)
    for row in rows:
        if row["parent"]:
            row["parent"] = f"{row['benchmark']} {row['parent']}"
    across = overall(comparison(frame(*rows)))
    assert advice(across) == f"{CODE}  # tuned: 0.001 to 1, depending on the benchmark"


def test_pair_that_turns_on_test_data_is_warned_of() -> None:
    better = seeds("adam", around(0.3))
    worse = seeds("sgd", around(0.5))
    for row in better:
        row["best/test_loss"] = row["score"] + 1.0
    for row in worse:
        row["best/test_loss"] = row["score"] + 0.5
    found = comparison(frame(*better, *worse))
    rows = found.table.set_index("optimizer")
    assert rows["beaten_on_test"].to_dict() == {"adam": "sgd", "sgd": ""}
    assert "beaten_on_test" in str(rows.loc["adam", "warnings"])
    assert found.pairs["b"]["adam", "sgd"].kind == "better"
    assert found.test_pairs["b"]["adam", "sgd"].kind == "worse"


def test_pairs_without_test_losses_are_not_compared_on_them() -> None:
    rows = [*seeds("adam", around(0.3)), *seeds("sgd", around(0.5))]
    for row in rows:
        row["best/test_loss"] = NAN
    found = comparison(frame(*rows))
    assert found.test_pairs == {"b": {}}
    assert set(found.table["beaten_on_test"]) == {""}
