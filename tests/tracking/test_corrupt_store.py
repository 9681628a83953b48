"""Some edits of scripts/corrupt_store.py: each is healed, or refused in one line.

No table changes silently.
"""

import contextlib
import importlib.util
import io
import logging
from pathlib import Path
from types import ModuleType

import pytest
from support.package import ROOT

TOGETHER = (  # edits of unrelated rows
    "study: lr edited",
    "trial: seed of text",
    "tuned: score lower",
    "default: fingerprint lost",
    "tuned: a point edited",
    "outbox: text",
)
REFUSED = (
    "file: empty",
    "file: cut in half",
    "file: a link to nowhere",
    "schema: no runs",
    "schema: a newer version",
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT.parent / "scripts" / "corrupt_store.py"
    spec = importlib.util.spec_from_file_location("corrupt_store", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_edited_store_changes_no_table_silently(
    script: ModuleType, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(logging.getLogger("optsuite"), "propagate", False)
    (tmp_path / "base" / "mlruns").mkdir(parents=True)
    (tmp_path / "base" / "mlruns" / "mlflow.db").write_bytes(template.read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        campaign = script.Campaign.finish(tmp_path / "base")

    def all_of_them(folder: Path) -> None:
        for name in TOGETHER:
            script.EDITS[name](folder)

    outcome = campaign.try_edit(all_of_them, tmp_path / "edited")
    assert (outcome.report, outcome.run) == ("left out, and named", "healed")
    reasons = ("edited", "its seed is 'lucky'", "its fingerprint is missing", "cannot be delivered")
    for reason in reasons:
        assert reason in outcome.said
    for number, name in enumerate(REFUSED):
        outcome = campaign.try_edit(script.EDITS[name], tmp_path / str(number))
        assert (outcome.report, outcome.run) == ("refused in one line", "refused in one line"), name
        assert "store: cannot open" in outcome.said
    assert len(script.EDITS) >= 70
