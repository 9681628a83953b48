"""Addresses in MLflow's UI of what a campaign holds."""

from urllib.parse import quote

import pandas as pd

from optsuite.tracking.schema import having

UI = "http://127.0.0.1:5000"  # where `optsuite ui` serves a store that is not behind a server already


class Links:
    """Addresses in MLflow's UI of what a campaign holds. `evaluations` are those that the leaderboard rests on."""

    def __init__(
        self, runs: pd.DataFrame, evaluations: pd.DataFrame, campaign: str, ui: str
    ) -> None:
        self._campaign = campaign
        self._ui = ui.rstrip("/")
        self._experiments = dict(zip(runs["benchmark"], runs["experiment_id"], strict=True))
        studies = runs[runs["kind"] == "study"]
        self._studies = _by_name(studies, "run_id") | _by_name(evaluations, "parent")

    def benchmark(self, benchmark: str) -> str:
        """The comparison of a benchmark's optimizers, as charts."""
        return f"{self._experiment(benchmark)}?{charts(self._campaign)}"

    def study(self, benchmark: str, optimizer: str) -> str:
        """The run of a study, or where there is none, the optimizer's runs."""
        run = self._studies.get((benchmark, optimizer))
        return (
            self.runs(benchmark, optimizer)
            if run is None
            else f"{self._experiment(benchmark)}/{run}"
        )

    def runs(self, benchmark: str, optimizer: str, **tags: str) -> str:
        """The runs of an optimizer's study with these tags, as a list; those at given rates have no study."""
        run = self._studies.get((benchmark, optimizer)) if tags.get("arm") != "manual" else None
        wanted = [having(**tags)] if tags else []
        if run is None:
            wanted.append(having(campaign=self._campaign, optimizer=optimizer))
        else:
            wanted.append(having(parent=run))
        return f"{self._experiment(benchmark)}?searchFilter={quote(' AND '.join(wanted), safe='')}"

    def _experiment(self, benchmark: str) -> str:
        return f"{self._ui}/#/experiments/{self._experiments[benchmark]}/runs"


def _by_name(rows: pd.DataFrame, column: str) -> dict[tuple[str, str], str]:
    return dict(
        zip(zip(rows["benchmark"], rows["optimizer"], strict=True), rows[column], strict=True)
    )


def charts(campaign: str) -> str:
    """The part of an address that shows the campaign's studies, one for each optimizer, as charts."""
    condition = having(kind="study", campaign=campaign)
    return f"workflowType=machine_learning&compareRunsMode=CHART&searchFilter={quote(condition, safe='')}"
