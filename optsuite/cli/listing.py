"""Lists the suite, its benchmarks and optimizers, and the campaigns, without MLflow or data."""

from rich.table import Table

from optsuite.cli.console import console
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.optimizers.packaged import PYTORCH_OPTIMIZER, is_available
from optsuite.registry import load_suite, named_suites, optimizer_choices
from optsuite.schedules import SCHEDULES
from optsuite.tracking.campaigns import campaign_names
from optsuite.tracking.location import tracking_uri


def show(where: str) -> None:
    """Print the lists."""
    suite = load_suite(where)
    out = console()
    shown = suite.name if suite.name == where else f"{suite.name} ({where})"
    out.print(f"Suite {shown}: {_budget(suite)}\n", markup=False, highlight=False)
    out.print(_benchmarks(suite))
    out.print("NAME@STEPS is a benchmark with another budget.\n", markup=False, highlight=False)
    out.print(_optimizers(suite))
    schedules = f"NAME+SCHEDULE is an optimizer with a schedule: {', '.join(SCHEDULES)}."
    other = f"{PYTORCH_OPTIMIZER}:NAME is any other optimizer of that package."
    every = "all means every installed one above, all+SCHEDULE those that take a schedule."
    out.print(f"{schedules}\n{other} {every}\n", markup=False, highlight=False, soft_wrap=True)
    suites = "; ".join(map(_members, named_suites().values()))
    out.print(f"Suites by name (--suite): {suites or 'none'}\n", markup=False, highlight=False)
    names = ", ".join(campaign_names(tracking_uri()))
    out.print(f"Campaigns: {names or 'none yet; optsuite run starts one'}", highlight=False)


def _budget(suite: Suite) -> str:
    """How many runs each optimizer gets on a benchmark."""
    seeds = "tuning seeds" if suite.n_tuning_seeds > 1 else "tuning seed"
    tuning = f"{suite.n_trials} trials on {suite.n_tuning_seeds} {seeds}"
    if suite.n_confirmation_seeds:
        tuning += f", confirmed around the best on {suite.n_confirmation_seeds} more"
    more = f", up to {suite.max_seeds} where a verdict is open" if suite.max_seeds else ""
    return f"{tuning}, {suite.n_seeds} evaluation seeds{more}"


def _members(suite: Suite) -> str:
    names = ", ".join(benchmark.name for benchmark in suite.benchmarks)
    return f"{suite.name}: {names}"


def _benchmarks(suite: Suite) -> Table:
    table = Table("benchmark", "batch", "steps", "target", "runs")
    for benchmark in suite.benchmarks + suite.on_request:
        when = "when named (-b)" if benchmark in suite.on_request else "by default"
        target = str(benchmark.target or "")
        batch, steps = str(benchmark.batch_size), str(benchmark.max_steps)
        table.add_row(benchmark.name, batch, steps, target, when)
    return table


def _optimizers(suite: Suite) -> Table:
    table = Table("optimizer", "rates", "default", "fixed", "source", "not for", "runs")
    for spec in optimizer_choices(suite).values():
        fixed = ", ".join(f"{key}={value}" for key, value in spec.fixed.items())
        default = "" if spec.default_lr is None else f"{spec.default_lr:g}"
        rates = f"{spec.lr.low:g} to {spec.lr.high:g}"
        when = _when(spec, suite)
        table.add_row(spec.name, rates, default, fixed, spec.source, spec.limitations, when)
    return table


def _when(spec: OptimizerSpec, suite: Suite) -> str:
    if not is_available(spec):
        return "needs optsuite[optimizers]"
    return "by default" if spec in suite.optimizers else "when named (-o)"
