"""The calibration that every report tells is the one of the committed table."""

import re
from pathlib import Path

from optsuite.analysis.calibration import LAST

TABLE = Path(__file__).parents[2] / "docs" / "calibration.md"


def test_summary_of_reports_is_that_of_the_table() -> None:
    text = TABLE.read_text()
    said = f"{LAST.n_tunings} tunings of each of {LAST.n_cells} cells"
    assert f"{LAST.date}, " in text
    assert LAST.version in text
    assert said in text
    (found,) = re.findall(r"Alarms: (.*)% of pairs \((.*)% to (.*)%\)", text)
    alarms = (f"{share * 100:.1f}" for share in (LAST.alarms, LAST.low, LAST.high))
    assert tuple(alarms) == found
    (covered,) = re.findall(r"Covered: (.*)%", text)
    assert f"{LAST.covered * 100:.0f}" == covered
