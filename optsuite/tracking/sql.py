"""SQL of a database store, by which thousands of rows are read at once.

MLflow's own search takes a millisecond per run.
"""

from typing import Any

import pandas as pd
import sqlalchemy

from optsuite.tracking.schema import CAMPAIGN
from optsuite.tracking.store import Store

# The runs of a campaign in MLflow's own schema, without deleted ones.
OF_CAMPAIGN = f"""
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = '{CAMPAIGN}' AND campaign.value = :campaign
    {{join}}
    WHERE runs.run_uuid BETWEEN :first AND :last
        AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
# MLflow stores nan as 0 with a mark.
NUMBER = "CASE WHEN {0}.is_nan THEN NULL ELSE {0}.value END AS value"
OF_RUNS = "FROM metrics WHERE run_uuid IN :ids AND key IN :names"
OF_CURVES = """
    JOIN metrics ON metrics.run_uuid = runs.run_uuid
        AND (metrics.key LIKE 'train/%'
            OR metrics.key LIKE 'validation/%' OR metrics.key LIKE 'test/%')
"""
# The same counts as those of `seal.Points`. Swapping two values, between steps or between curves,
# changes the moments.
VALUE = """
    CASE WHEN metrics.value > 1e30 THEN 1e30
        WHEN metrics.value < -1e30 THEN -1e30
        ELSE metrics.value END
"""
WEIGHT = """
    (metrics.step + 1) * (
        CASE WHEN metrics.key LIKE 'train/%' THEN 1
            WHEN metrics.key LIKE 'test/%' THEN 2
            ELSE 3 END
        + CASE WHEN metrics.key LIKE '%/loss' THEN 3 ELSE 0 END
    )
"""
COUNTED = f"""
    SELECT runs.run_uuid AS run_id,
        count(*) AS n_points,
        sum(metrics.step) AS sum_of_steps,
        sum({VALUE}) AS sum_of_values,
        sum(abs({VALUE})) AS sum_of_sizes,
        sum({WEIGHT} * {VALUE}) AS sum_of_moments,
        sum({WEIGHT} * abs({VALUE})) AS sum_of_sizes_of_moments
    {{of_campaign}}
    GROUP BY runs.run_uuid
"""
DELETED = f"""
    SELECT DISTINCT experiments.name
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags ON tags.run_uuid = runs.run_uuid
        AND tags.key = '{CAMPAIGN}' AND tags.value = :campaign
    WHERE experiments.lifecycle_stage = 'deleted'
    ORDER BY experiments.name
"""


def query(store: Store, text: str, **values: Any) -> pd.DataFrame:
    """The same as `ask`, but retried while the store does not answer."""
    return store.retry.call(ask, store.uri, text, **values)


def ask(uri: str, text: str, **values: Any) -> pd.DataFrame:
    """The result of a query to a database; a list among the values is expanded."""
    lists: list[sqlalchemy.BindParameter[object]] = []
    for name, value in values.items():
        if isinstance(value, list):
            lists.append(sqlalchemy.bindparam(name, expanding=True))
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return pd.read_sql(sqlalchemy.text(text).bindparams(*lists), connection, params=values)
