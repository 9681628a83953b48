"""What holds for any text, name, record and run: found out by hypothesis."""

import json
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optsuite.errors import InputError, one_line, require_name
from optsuite.redact import printable, redact
from optsuite.tracking.outbox import Outbox, _read, _record
from optsuite.tracking.query import read_runs
from optsuite.tracking.record import Record
from optsuite.tracking.run_logger import RunLogger
from optsuite.tracking.run_writer import RunWriter
from optsuite.tracking.store import Store, open_store
from optsuite.training.results import Measurement, Outcome, Run, RunResult

QUICK = settings(max_examples=50, deadline=None, database=None)
FEW = settings(
    max_examples=8,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MARKED = "hunter2"
ODD = st.text(
    alphabet=string.ascii_letters + string.digits + "!$%^*()_+-=[]{}|;:.,/?~@ ", max_size=12
)
BARE = st.text(alphabet=string.ascii_letters + string.digits + "!$^*()_+-.~/", max_size=12)
WORDS = st.lists(
    st.sampled_from(
        [
            "the",
            "run",
            "of",
            "adam",
            "on",
            "digits",
            "failed",
            "lr=0.1",
            "seed=3",
            "step",
            "10",
            "b@x",
            "(file.py,",
            "line",
            "3)",
            "a:b",
        ]
    )
)
SCHEMES = st.sampled_from(["postgresql", "mysql+pymysql", "http", "https", "ftp", "redis"])
KEYS = st.sampled_from(
    [
        "password",
        "PWD",
        "api_key",
        "apiKey",
        "secret",
        "client_secret",
        "access_token",
        "X-Amz-Signature",
    ]
)


@QUICK
@given(SCHEMES, ODD, ODD, WORDS)
def test_password_in_an_address_is_hidden(
    scheme: str, before: str, after: str, words: list[str]
) -> None:
    text = f"{' '.join(words)} {scheme}://me:{before}{MARKED}{after}@host:1/x"
    assert MARKED not in redact(text, {})


@QUICK
@given(
    st.sampled_from(["postgresql", "mysql+pymysql", "mssql"]), ODD, ODD, st.sampled_from(["", "/"])
)
def test_password_in_address_without_slashes_is_hidden(
    scheme: str, before: str, after: str, slash: str
) -> None:
    assert MARKED not in redact(f"cannot parse {scheme}:{slash}me:{before}{MARKED}{after}@host", {})


@QUICK
@given(
    KEYS,
    BARE,
    BARE,
    st.sampled_from(
        ["{k}={v}", "?{k}={v}&x=1", "{k}%3D{v}%3BSERVER%3Dh", '{{"{k}": "{v}"}}', "{k} = '{v}'"]
    ),
)
def test_value_of_a_secret_is_hidden(key: str, before: str, after: str, form: str) -> None:
    value = f"{before}{MARKED}{after}"
    assert MARKED not in redact(form.format(k=key, v=quote(value) if "%3D" in form else value), {})


@QUICK
@given(ODD.map(lambda text: f"{text}{MARKED}"), WORDS)
def test_secret_of_environment_is_hidden_everywhere(secret: str, words: list[str]) -> None:
    text = f"{' '.join(words)}: {secret!r}, {quote(secret)}, {secret}"
    assert MARKED not in redact(text, {"MLFLOW_TRACKING_PASSWORD": secret})
    assert MARKED not in redact(text, {"MLFLOW_TRACKING_URI": f"postgresql://me:{secret}@host/x"})


@QUICK
@given(WORDS, st.text())
def test_redacting_is_idempotent_and_keeps_ordinary_text(words: list[str], text: str) -> None:
    assert redact(redact(text, {}), {}) == redact(text, {})
    assert redact(" ".join(words), {}) == " ".join(words)


@QUICK
@given(st.text())
def test_error_is_one_line_that_a_terminal_shows(text: str) -> None:
    line = one_line(RuntimeError(text))
    assert line.splitlines() == [line]
    assert printable(line) == line
    assert "\x1b" not in line


@QUICK
@given(st.text(max_size=110) | st.integers() | st.none())
def test_name_is_accepted_unchanged_or_refused_in_one_line(name: object) -> None:
    try:
        require_name("name", name)
    except InputError as error:
        line = one_line(error)
    else:
        line = name if isinstance(name, str) else ""
        assert isinstance(name, str)
        assert printable(name) == name
        assert not set(name) & set("/\\\n\r")
        assert name[0] not in "=+-@. "
    assert len(line.splitlines()) == 1


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
TEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3)
POINTS = st.dictionaries(
    st.sampled_from(["validation/loss", "train/loss", "test/loss"]), FINITE, max_size=3
)
MEASUREMENTS = st.lists(
    st.builds(Measurement, step=st.integers(0, 2**40), values=POINTS, time=st.floats(0, 1e10)),
    max_size=4,
)
RECORDS = st.builds(
    Record,
    benchmark=st.sampled_from(["b", "digits mlp", "שלום"]),
    name=st.text(max_size=20),
    tags=TEXTS,
    params=TEXTS,
    measurements=MEASUREMENTS.map(tuple),
    summary=st.dictionaries(st.sampled_from(["score", "best/step"]), FINITE),
    status=st.sampled_from(["FINISHED", "FAILED"]),
    started=st.floats(0, 1e10),
    ended=st.floats(0, 1e10),
)


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(RECORDS)
def test_records_in_outbox_are_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, record: Record
) -> None:
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(f"sqlite:///{folder}/mlflow.db", "c")
    outbox.keep(record)
    (path,) = outbox.waiting
    assert _record(json.loads(_read(path))) == record


@QUICK
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_other_files_in_outbox_are_not_records(found: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        _record(found)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Store:
    path = tmp_path_factory.mktemp("rows") / "mlflow.db"
    path.write_bytes(template.read_bytes())
    return open_store(f"sqlite:///{path}")


LOSSES = st.lists(FINITE, min_size=2, max_size=4)


@FEW
@given(
    losses=LOSSES,
    lr=st.floats(1e-12, 1e6, allow_subnormal=False),
    seed=st.integers(0, 2**31 - 1),
    outcome=st.sampled_from(["finished", "diverged", "failed"]),
    said=st.text(
        st.characters(blacklist_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=30
    ),
)
def test_recorded_run_is_read_back(
    store: Store, losses: list[float], lr: float, seed: int, outcome: Outcome, said: str
) -> None:
    run = Run(benchmark="b", optimizer="adam", lr=lr, seed=seed, kind="evaluation", arm="tuned")
    tags = {
        "kind": "evaluation",
        "arm": "tuned",
        "benchmark": "b",
        "optimizer": "adam",
        "campaign": "c",
        "seed": str(seed),
    }
    own = RunLogger(
        store=store,
        writer=RunWriter(store, Outbox(store.uri, "c")),
        run=run,
        parent=lambda: None,
        target=None,
        tags={
            f"optsuite.{key}": value
            for key, value in (tags | {"fingerprint": "1-2-3-4-5-plain"}).items()
        },
        params={"lr": lr, "seed": seed, "engine": "plain"},
    )
    for step, loss in enumerate(losses):
        own.add(
            Measurement(
                step=step, values={"validation/loss": loss, "train/loss": loss}, time=1.0 + step
            )
        )
    own.end(RunResult(outcome=outcome, error=said if outcome == "failed" else None))
    own.writer.flush()
    (row,) = read_runs(store, "c").to_dict("records")
    assert (row["lr"], row["seed"], row["outcome"]) == (lr, seed, outcome)
    assert row["score"] == min(losses) if outcome == "finished" else row["score"] != row["score"]
    assert row["error"] == (said if outcome == "failed" else None)
    store.delete(row["run_id"])
