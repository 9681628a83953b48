"""Addresses in MLflow's UI of the benchmarks, studies and runs of a campaign."""

from urllib.parse import quote

import pandas as pd

from optsuite.tracking.schema import having

UI = "http://127.0.0.1:5000"  # where `optsuite ui` serves a store that has no server of its own


class Links:
    """Addresses in MLflow's UI of the benchmarks, studies and runs of a campaign.

    `evaluations` are the runs behind the leaderboard.
    """

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
        """The run of a study; if there is none, the list of the optimizer's runs."""
        run = self._studies.get((benchmark, optimizer))
        if run is None:
            return self.runs(benchmark, optimizer)
        return f"{self._experiment(benchmark)}/{run}"

    def runs(self, benchmark: str, optimizer: str, **tags: str) -> str:
        """The list of an optimizer's runs with these tags. Runs of arm `manual` have no study."""
        wanted = [having(**tags)] if tags else []
        study = self._studies.get((benchmark, optimizer))
        if study is None or tags.get("arm") == "manual":
            wanted.append(having(campaign=self._campaign, optimizer=optimizer))
        else:
            wanted.append(having(parent=study))
        return f"{self._experiment(benchmark)}?searchFilter={quote(' AND '.join(wanted), safe='')}"

    def _experiment(self, benchmark: str) -> str:
        return f"{self._ui}/#/experiments/{self._experiments[benchmark]}/runs"


def _by_name(rows: pd.DataFrame, column: str) -> dict[tuple[str, str], str]:
    """The values of a column by benchmark and optimizer."""
    names = zip(rows["benchmark"], rows["optimizer"], strict=True)
    return dict(zip(names, rows[column], strict=True))


def charts(campaign: str) -> str:
    """The query of an address that shows the campaign's studies, one per optimizer, as charts."""
    condition = quote(having(kind="study", campaign=campaign), safe="")
    return f"workflowType=machine_learning&compareRunsMode=CHART&searchFilter={condition}"
