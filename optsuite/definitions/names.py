"""Which names a definition may give to its metrics and hyperparameters."""

import re

# A key of a metric in MLflow, without slashes and shorter, because we prepend a split.
METRIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.: -]{1,200}")
PARAM_NAME = re.compile(r"[A-Za-z0-9_.: /-]{1,250}")  # a key of a param in MLflow
LONGEST_PARAM = 6_000  # characters of a value in MLflow, which truncates longer ones
OF_RUNS = {"optimizer", "lr", "schedule", "seed", "batch_size", "max_steps", "eval_every", "target"}
OF_MACHINES = {"device", "machine", "machine_class", "engine", "engine_reason", "dtype", "cast"}
OF_VERSIONS = {"optsuite_version", "torch_version", "mlflow_version", "optuna_version"}
OF_STUDIES = {
    "n_trials",
    "n_tuning_seeds",
    "n_confirmation_seeds",
    "n_seeds",
    "max_seeds",
    "first_seed",
    "first_tuning_seed",
    "tolerance",
    "lr_low",
    "lr_high",
    "at_edge",
    "includes",
    "code",
    "n_tied",
    "n_confirmed",
    "n_evaluated",
}
# The params of a run in the store, besides fixed hyperparameters.
RUN_PARAMS = OF_RUNS | OF_MACHINES | OF_VERSIONS | OF_STUDIES
