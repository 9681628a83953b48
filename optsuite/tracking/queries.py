"""What is asked of a database in SQL: MLflow's own search takes a millisecond a run."""

# The runs of a campaign in MLflow's own schema, less what has been deleted.
OF_CAMPAIGN = """
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS campaign ON campaign.run_uuid = runs.run_uuid
        AND campaign.key = 'optsuite.campaign' AND campaign.value = :campaign
    {join}
    WHERE runs.run_uuid BETWEEN :first AND :last
        AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
NUMBER = "CASE WHEN {0}.is_nan THEN NULL ELSE {0}.value END AS value"  # MLflow stores nan as 0 with a mark
OF_RUNS = "FROM metrics WHERE run_uuid IN :ids AND key IN :names"
OF_CURVES = """JOIN metrics ON metrics.run_uuid = runs.run_uuid
    AND (metrics.key LIKE 'train/%' OR metrics.key LIKE 'validation/%' OR metrics.key LIKE 'test/%')"""
COUNTED = """SELECT runs.run_uuid AS run_id, count(*) AS n_points, sum(metrics.step) AS sum_of_steps,
    sum(metrics.value) AS sum_of_values, sum(abs(metrics.value)) AS sum_of_sizes {of_campaign} GROUP BY runs.run_uuid"""
DELETED = """SELECT DISTINCT experiments.name FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'optsuite.campaign' AND tags.value = :campaign
    WHERE experiments.lifecycle_stage = 'deleted' ORDER BY experiments.name"""
