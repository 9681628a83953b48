"""Results for notebooks, as DataFrames."""

import pandas as pd

from optsuite.analysis.leaderboard import leaderboard
from optsuite.tracking.location import require_campaign, tracking_uri

__all__ = ["leaderboard", "runs"]


def runs(campaign: str = "default") -> pd.DataFrame:
    """The ended runs of a campaign, one row each: what they are, their outcome and summaries, and their ids in MLflow.

    Reads the store of MLFLOW_TRACKING_URI, else mlruns/mlflow.db in the current folder. Raises UnknownName.
    """
    uri = tracking_uri()
    require_campaign(uri, campaign)
    from optsuite.tracking.reading import read_runs
    from optsuite.tracking.store import open_store

    return read_runs(open_store(uri), campaign)
