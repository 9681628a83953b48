"""What is read of a run: the columns of its row, by the tags, params and summaries of the store."""

from optsuite.tracking.schema import COMPARED, PROPOSED, REFUSAL, REUSE, REUSED_ON, SCHEMA, SEAL, SUPERSEDED

TAGS = ("kind", "arm", "benchmark", "optimizer", "campaign", "suite", "night", "outcome", "fingerprint", "error")
TEXT_PARAMS = (
    "target",
    "device",
    "machine",
    "machine_class",
    "engine",
    "engine_reason",
    "includes",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
)
PARAMS = ("lr", "eval_every", "max_steps", "n_trials", "n_tuning_seeds", "n_seeds", "tolerance", "lr_low", "lr_high", "n_tied")
COSTS = ("usage/milliseconds_per_step", "usage/state_bytes_per_parameter")
RELATIVE_TIME = "usage/relative_step_time"
SUMMARIES = (
    "initial/validation_loss",
    "initial/test_loss",
    "score",
    "best/step",
    "best/test_loss",
    "best/test_accuracy",
    "final/train_loss",
    "steps_to_target",
    "early/train_loss",
    RELATIVE_TIME,
    *COSTS,
)
MARKS = {REUSE: "reuse", REUSED_ON: "reused_on", COMPARED: "compared", REFUSAL: "refusal", PROPOSED: "proposed"}
TEXT = ("run_id", "experiment_id", "parent", "status", "commit", *TEXT_PARAMS, *TAGS, *MARKS.values())
FLAGS = ("superseded", "refuted", "at_edge")
NUMBERS = ("seed", *PARAMS, "started", "seconds", *SUMMARIES)
COLUMNS = (*TEXT, *FLAGS, *NUMBERS)
# Costs are measured again, and so not sealed.
SEALED = sorted({*TAGS, "schema", "seed", *PARAMS, *TEXT_PARAMS, "at_edge", *SUMMARIES} - {RELATIVE_TIME, *COSTS})
OF_SEALS = ("seal", "schema")  # read beside COLUMNS, to tell what can be believed
POINTS = ("n_points", "sum_of_steps", "sum_of_values", "sum_of_sizes", "sum_of_moments", "sum_of_sizes_of_moments")
# of all curves of a run; nan where nobody has counted
CURVES = ("run_id", "curve", "step", "value")

OTHER_TAGS = {
    "mlflow.source.git.commit": "commit",
    "optsuite.seed": "seed",
    "mlflow.parentRunId": "parent",
    SUPERSEDED: "superseded",
    SEAL: "seal",
    SCHEMA: "schema",
}
TAG_NAMES = {f"optsuite.{tag}": tag for tag in TAGS} | OTHER_TAGS | MARKS
PARAM_NAMES = (*PARAMS, *TEXT_PARAMS, "at_edge")
