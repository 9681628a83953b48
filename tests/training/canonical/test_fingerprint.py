"""A fingerprint consists of a task and an environment, which can be told apart."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from suites import tiny
from support.edits import write
from support.identities import loaded

from optsuite import OPTIMIZERS
from optsuite.analysis.provenance import ENVIRONMENT, environment
from optsuite.training.canonical import names
from optsuite.training.canonical.canonicalize import canonicalize
from optsuite.training.canonical.descriptions import Descriptions
from optsuite.training.fingerprint import Environment, Fingerprint
from optsuite.training.identity import Definition, define, names_run
from optsuite.training.legacy_fingerprint import FormerFingerprint, read_fingerprint
from optsuite.training.legacy_fingerprint import names_run as names_run_of_any
from optsuite.training.results import Run

RUN = Run(benchmark="tiny_line", optimizer="lion", lr=0.1, seed=3, kind="evaluation", arm="tuned")
OWN = Fingerprint(
    benchmark="1",
    optimizer="2",
    run="3",
    environment=Environment(benchmark="4", optimizer="5", engine="stacked_views"),
)
SAID = {"lr": "0.1", "seed": 3, "kind": "evaluation", "arm": "tuned"}


def test_fingerprint_is_read_as_it_was_written() -> None:
    assert Fingerprint.parse(str(OWN)) == OWN
    assert read_fingerprint("1-2-f") == FormerFingerprint(
        benchmark_hash="1", optimizer_hash="2", run="f"
    )


@pytest.mark.parametrize(
    "text",
    ["1-2-3", "1-2-3-4-5", "1-2-3-4-5-", "1-2-g-4-5-plain", "1-2-3-4-5-plain\n", "", None, 1.0],
)
def test_text_that_is_no_fingerprint_is_none(text: object) -> None:
    assert Fingerprint.parse(text) is None


@pytest.mark.parametrize("text", ["1-2", "1-2-3-4", "1-2-g", "1-2-3\n", None])
def test_text_that_is_no_fingerprint_of_any_schema_is_none(text: object) -> None:
    assert read_fingerprint(text) is None


def test_parts_of_a_fingerprint_tell_what_two_runs_share() -> None:
    elsewhere = replace(OWN, environment=replace(OWN.environment, benchmark="9"))
    assert (elsewhere.task, elsewhere.definition) == (OWN.task, OWN.definition)
    assert (elsewhere.basis, elsewhere.benchmark_hash) != (OWN.basis, OWN.benchmark_hash)
    other_run = replace(OWN, run="9", environment=replace(OWN.environment, engine="plain"))
    assert (other_run.definition, other_run.basis) == (OWN.definition, OWN.basis)
    assert other_run.task != OWN.task


def defined() -> Definition:
    return define(tiny.BENCHMARK, OPTIMIZERS["lion"], tiny.line())


def test_fingerprint_names_its_run_whatever_the_engine() -> None:
    own = defined().fingerprint(RUN, engine="stacked")
    assert names_run(own, lr="0.1", seed=3, kind="evaluation", arm="tuned")
    with_integer = defined().fingerprint(replace(RUN, lr=1), engine="plain")
    assert names_run(with_integer, lr="1", seed=3, kind="evaluation", arm="tuned")
    for change in ({"lr": "0.2"}, {"seed": 4}, {"kind": "trial"}, {"arm": None}):
        changed: dict[str, Any] = {**SAID, **change}
        assert not names_run_of_any(own, **changed, engine="stacked")


# --- Versions belong to the environment ----------------------------------------------------------


def test_another_version_of_a_package_is_another_environment_of_the_same_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = defined().fingerprint(RUN, engine="plain")
    monkeypatch.setattr(torch, "__version__", "1.0.0")
    newer = defined().fingerprint(RUN, engine="plain")
    assert newer.task == before.task
    assert newer.environment.benchmark != before.environment.benchmark
    monkeypatch.setattr(names, "version", lambda package: f"9.{len(package)}")
    build = replace(OPTIMIZERS["lion"].build)  # type: ignore[type-var]
    object.__setattr__(build, "version", "9.17")
    spec = replace(OPTIMIZERS["lion"], build=build)
    newest = define(tiny.BENCHMARK, spec, tiny.line()).fingerprint(RUN, engine="plain")
    assert newest.task == before.task
    assert newest.environment.optimizer != before.environment.optimizer


def test_packages_of_a_definition_are_those_that_it_uses() -> None:
    own = defined()
    assert own.optimizer.environment.keys() >= {"torch", "pytorch_optimizer"}
    assert "pytorch_optimizer" not in own.benchmark.environment
    assert own.benchmark.environment["torch"] == torch.__version__


OPTIONAL = """
import scipy
try:
    import no_such_package_of_anybody
except ImportError:
    pass
def model():
    return globals() and nn.Linear(3, 1)
"""


def test_installed_package_in_the_text_of_its_importer_is_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"suite.py": OPTIONAL})
    with loaded(tmp_path) as suite:
        before = canonicalize(suite.benchmarks[0].model)
        monkeypatch.setattr(names, "version", lambda package: "0.1")
        after = canonicalize(suite.benchmarks[0].model)
    assert before.text == after.text
    assert dict(after.packages)["scipy"] == "0.1" != dict(before.packages)["scipy"]
    assert dict(after.packages)["no_such_package_of_anybody"] == "absent"


def test_descriptions_of_a_suite_hold_text_and_packages_apart() -> None:
    found = Descriptions(tiny.SUITE).of(partial(torch.nn.Linear, 3, 1), "x")
    assert torch.__version__ not in found.text
    assert found.packages == (("torch", dict(found.packages)["torch"]),)


# --- Comparisons of nights -----------------------------------------------------------------------


def studies(fingerprint: object, torch_version: str = "2") -> pd.DataFrame:
    names = dict.fromkeys([*ENVIRONMENT, "kind", "benchmark", "optimizer"], "x") | {"kind": "study"}
    return pd.DataFrame([names | {"fingerprint": str(fingerprint), "torch_version": torch_version}])


def test_another_definition_and_another_environment_are_told_apart() -> None:
    other_code = replace(OWN, benchmark="9")
    other_packages = replace(OWN, environment=replace(OWN.environment, optimizer="9"))
    before = studies(OWN)
    assert list(environment(before, before)) == []
    assert list(environment(before, studies(other_code))) == [("definition of x", "1", "9")]
    changes = list(environment(before, studies(other_packages)))
    assert changes == [("packages or settings of x", "5", "9")]
    # The version of torch explains the other packages.
    assert list(environment(before, studies(other_packages, "3"))) == [("torch", "2", "3")]
    # Fingerprints of schema 2 cannot be compared.
    assert list(environment(studies("1-2-3"), before)) == []
