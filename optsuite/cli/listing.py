"""What there is: the suite, its benchmarks and optimizers, the campaigns. Needs neither MLflow nor a dataset."""

from rich.table import Table

from optsuite.cli.console import console
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.optimizers.packaged import PYTORCH_OPTIMIZER, is_available
from optsuite.registry import load_suite, named_suites, optimizer_choices
from optsuite.schedules import SCHEDULES
from optsuite.tracking.location import campaign_names, tracking_uri


def show(where: str) -> None:
    """Print the lists."""
    suite, out = load_suite(where), console()
    tuning = f"{suite.n_trials} trials on {suite.n_tuning_seeds} tuning seed{'s' if suite.n_tuning_seeds > 1 else ''}"
    per_study = f"{tuning}, {suite.n_seeds} evaluation seeds"
    shown = suite.name if suite.name == where else f"{suite.name} ({where})"
    out.print(f"Suite {shown}: {per_study}\n", markup=False, highlight=False)
    out.print(_benchmarks(suite))
    out.print("NAME@STEPS is a benchmark with another budget.\n", markup=False, highlight=False)
    out.print(_optimizers(suite))
    schedules = f"NAME+SCHEDULE is an optimizer with a schedule: {', '.join(SCHEDULES)}."
    other = f"{PYTORCH_OPTIMIZER}:NAME is any other of that package."
    every = "all is every one here that is installed, all+SCHEDULE those that take a schedule."
    out.print(f"{schedules}\n{other} {every}\n", markup=False, highlight=False, soft_wrap=True)
    suites = "; ".join(
        f"{s.name}: {', '.join(b.name for b in s.benchmarks)}" for s in named_suites().values()
    )
    out.print(f"Suites by name (--suite): {suites or 'none'}\n", markup=False, highlight=False)
    names = campaign_names(tracking_uri())
    out.print(
        f"Campaigns: {', '.join(names) if names else 'none yet; optsuite run starts one'}",
        highlight=False,
    )


def _benchmarks(suite: Suite) -> Table:
    table = Table("benchmark", "batch", "steps", "target", "runs")
    for benchmark in suite.benchmarks + suite.on_request:
        when = "when named (-b)" if benchmark in suite.on_request else "by default"
        target = str(benchmark.target or "")
        table.add_row(
            benchmark.name, str(benchmark.batch_size), str(benchmark.max_steps), target, when
        )
    return table


def _optimizers(suite: Suite) -> Table:
    table = Table("optimizer", "rates", "default", "fixed", "source", "not for", "runs")
    for spec in optimizer_choices(suite).values():
        fixed = ", ".join(f"{key}={value}" for key, value in spec.fixed.items())
        default = "" if spec.default_lr is None else f"{spec.default_lr:g}"
        rates = f"{spec.lr.low:g} to {spec.lr.high:g}"
        table.add_row(
            spec.name, rates, default, fixed, spec.source, spec.limitations, _when(spec, suite)
        )
    return table


def _when(spec: OptimizerSpec, suite: Suite) -> str:
    if not is_available(spec):
        return "needs optsuite[optimizers]"
    return "by default" if spec in suite.optimizers else "when named (-o)"
