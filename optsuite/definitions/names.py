"""Which names a definition may give to its metrics and hyperparameters."""

import re

METRIC_NAME = re.compile(
    r"(?!\.{1,2}$)[A-Za-z0-9_.: -]{1,200}"
)  # a key of MLflow's, less the slash and names we join with
PARAM_NAME = re.compile(r"[A-Za-z0-9_.: /-]{1,250}")  # what MLflow takes as the key of a param
LONGEST_PARAM = 6_000  # characters that MLflow keeps of a value: of more it cuts the end off
OF_RUNS = {"optimizer", "lr", "schedule", "seed", "batch_size", "max_steps", "eval_every", "target"}
OF_MACHINES = {"device", "machine", "machine_class", "engine", "engine_reason", "dtype", "cast"}
OF_VERSIONS = {"optsuite_version", "torch_version", "mlflow_version", "optuna_version"}
OF_STUDIES = {
    "n_trials",
    "n_tuning_seeds",
    "n_seeds",
    "tolerance",
    "lr_low",
    "lr_high",
    "at_edge",
    "includes",
    "n_tied",
}
RUN_PARAMS = (
    OF_RUNS | OF_MACHINES | OF_VERSIONS | OF_STUDIES
)  # what the store is told beside the fixed hyperparameters
