"""Where the store is, and questions about a store that does not exist."""

from pathlib import Path

import pytest

from optsuite.errors import InputError
from optsuite.tracking.campaigns import require_campaign
from optsuite.tracking.location import database_path, tracking_uri


def test_asking_for_an_unknown_campaign_creates_no_store(tmp_path: Path) -> None:
    said = r"there is no campaign yet in .*; 'optsuite run' creates one"
    with pytest.raises(InputError, match=said):
        require_campaign(f"sqlite:///{tmp_path}/no/mlflow.db", "default")
    assert list(tmp_path.iterdir()) == []


def test_tracking_uri_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert database_path(tracking_uri()) == tmp_path / "mlruns" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"
    assert database_path(tracking_uri()) is None
