"""Every name in the store: tags, params, metrics, and the columns in which they are read back.

Adding a name does not raise SCHEMA_VERSION; changing or removing one does, and then rows of the
version before are migrated when their campaign is next written to.
"""

from collections.abc import Iterable

SCHEMA_VERSION = "3"  # of the sealed parts of a run, see `tracking.seal`

# The statuses of a run, as MLflow names them.
ENDED = ("FINISHED", "FAILED")
UNFINISHED = ("RUNNING", "SCHEDULED", "KILLED")

# Tags that identify a run.
KIND = "optsuite.kind"  # that of a training run, study, report, or LEASE
ARM = "optsuite.arm"
BENCHMARK = "optsuite.benchmark"
OPTIMIZER = "optsuite.optimizer"
CAMPAIGN = "optsuite.campaign"
SUITE = "optsuite.suite"
SEED = "optsuite.seed"
NIGHT = "optsuite.night"  # the kind of nightly run that the study belongs to
PASSED = "optsuite.good"  # whether that nightly run passed
OUTCOME = "optsuite.outcome"
ERROR = "optsuite.error"
FINGERPRINT = "optsuite.fingerprint"  # what determines the run
PARENT = "mlflow.parentRunId"  # the study of a run
COMMIT = "mlflow.source.git.commit"
RUN_NAME = "mlflow.runName"
USER = "mlflow.user"

# Tags about the later state of a run.
SUPERSEDED = "optsuite.superseded"  # it is of an older definition, or proved to be wrong
REFUTED = "refuted"  # the value if it did not repeat, or differed from the plain loop
REUSE = "optsuite.reuse"  # of studies: how reused results differ from those of this machine
REUSED_ON = "optsuite.reused_on"  # of studies: the class of machine on which that was found
COMPARED = "optsuite.compared"  # of stacked studies: a run was compared with a plain one
TRIED = "optsuite.tried"  # of studies: the lowest and the highest rate that were planned for
PROPOSED = "optsuite.proposed"  # of studies: what their search proposed, see `tuning.Proposals`
REFUSAL = "optsuite.refusal"  # of stacked studies: why they differed from plain ones
GIVEN_UP = "optsuite.given_up"  # replaces CAMPAIGN while the rows of the campaign are deleted
SCHEMA = "optsuite.schema"  # the SCHEMA_VERSION of a sealed run
SEAL = "optsuite.seal"  # tells whether anything of the run has been edited since

# Tags of leases of a campaign, see `tracking.lease`.
LEASE = "claim"  # the kind of a lease, as stored
LEASED = "optsuite.claims"  # the campaign that a process works on, or wants to
LEASE_STATE = "optsuite.claim.state"
LEASE_MACHINE = "optsuite.claim.machine"
LEASE_OWNER = "optsuite.claim.owner"
LEASE_BEAT = "optsuite.claim.beat"

MANUAL_ARMS = ("manual", "given")  # of runs at rates given by hand; "given" until version 0.2
REPORTS = "reports"  # the experiment of the report runs; every other is named after its benchmark

# Params, beside the fixed hyperparameters of an optimizer.
TEXT_PARAMS = (
    "target",
    "device",
    "machine",
    "machine_class",
    "engine",
    "engine_reason",
    "includes",
    "code",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
)
NUMBER_PARAMS = (
    "lr",
    "eval_every",
    "max_steps",
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
    "n_tied",
    "n_confirmed",
    "n_evaluated",
)
UNREAD_PARAMS = ("optimizer", "schedule", "seed", "batch_size", "dtype", "cast")
AT_EDGE = "at_edge"
PARAM_NAMES = (*NUMBER_PARAMS, *TEXT_PARAMS, AT_EDGE)  # those that are read back

# Metrics: the summaries of a run. Its curves are named by `Benchmark.curves`.
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

METRICS = "best/test_"  # the metrics of a benchmark on test data; their names are also columns

# The columns of a row, by the tags of the store.
TAG_NAMES = {
    KIND: "kind",
    ARM: "arm",
    BENCHMARK: "benchmark",
    OPTIMIZER: "optimizer",
    CAMPAIGN: "campaign",
    SUITE: "suite",
    NIGHT: "night",
    OUTCOME: "outcome",
    FINGERPRINT: "fingerprint",
    ERROR: "error",
    COMMIT: "commit",
    SEED: "seed",
    PARENT: "parent",
    SUPERSEDED: "superseded",
    SEAL: "seal",
    SCHEMA: "schema",
    REUSE: "reuse",
    REUSED_ON: "reused_on",
    COMPARED: "compared",
    REFUSAL: "refusal",
    PROPOSED: "proposed",
}
RUN_TAGS = (KIND, ARM, BENCHMARK, OPTIMIZER, CAMPAIGN, SUITE, NIGHT, OUTCOME, FINGERPRINT, ERROR)
TAGS = tuple(TAG_NAMES[tag] for tag in RUN_TAGS)
MARKS = tuple(TAG_NAMES[tag] for tag in (REUSE, REUSED_ON, COMPARED, REFUSAL, PROPOSED))
TEXT = ("run_id", "experiment_id", "parent", "status", "commit", *TEXT_PARAMS, *TAGS, *MARKS)
FLAGS = ("superseded", "refuted", AT_EDGE)
NUMBERS = ("seed", *NUMBER_PARAMS, "started", "seconds", *SUMMARIES)
COLUMNS = (*TEXT, *FLAGS, *NUMBERS)
MEASURED_AGAIN = {RELATIVE_TIME, *COSTS}  # and so not sealed
SEALED = sorted({*TAGS, "schema", "seed", *PARAM_NAMES, *SUMMARIES} - MEASURED_AGAIN)
OF_SEALS = ("seal", "schema")  # read beside COLUMNS, to detect edits
POINTS = (  # of all curves of a run; nan if not counted
    "n_points",
    "sum_of_steps",
    "sum_of_values",
    "sum_of_sizes",
    "sum_of_moments",
    "sum_of_sizes_of_moments",
)
CURVES = ("run_id", "curve", "step", "value")


def metric_columns(names: Iterable[object]) -> list[str]:
    """The sorted names that are columns of a benchmark's own metrics, without SUMMARIES."""
    own = {name for name in names if isinstance(name, str) and name.startswith(METRICS)}
    return sorted(own - set(SUMMARIES))


def having(**tags: str) -> str:
    """A condition in MLflow's search language: tags, by their columns, have these values."""
    names = {column: tag for tag, column in TAG_NAMES.items()}
    return " AND ".join(f"tags.`{names[key]}` = {quoted(value)}" for key, value in tags.items())


def quoted(text: str) -> str:
    """A string in MLflow's search language, which has no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"
