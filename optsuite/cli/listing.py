"""What there is: the suite, its benchmarks and optimizers, the campaigns. Needs neither MLflow nor a dataset."""

from rich.table import Table

from optsuite.cli.console import console
from optsuite.suites import load_suite, optimizer_choices
from optsuite.tracking.location import campaign_names, tracking_uri


def show(where: str) -> int:
    """Print the lists."""
    suite, out = load_suite(where), console()
    per_study = f"{suite.n_trials} trials on {suite.n_tuning_seeds} tuning seed(s), {suite.n_seeds} evaluation seeds"
    out.print(f"Suite {suite.name} ({where}): {per_study}\n", markup=False, highlight=False)

    benchmarks = Table("benchmark", "batch", "steps", "target", "runs")
    for benchmark in suite.benchmarks + suite.on_request:
        when = "when named (-b)" if benchmark in suite.on_request else "by default"
        target = str(benchmark.target or "")
        benchmarks.add_row(benchmark.name, str(benchmark.batch_size), str(benchmark.max_steps), target, when)
    out.print(benchmarks)

    optimizers = Table("optimizer", "rates", "default", "fixed", "source", "runs")
    for spec in optimizer_choices(suite).values():
        when = "by default" if spec in suite.optimizers else "when named (-o)"
        fixed = ", ".join(f"{key}={value}" for key, value in spec.fixed.items())
        default = "" if spec.default_lr is None else f"{spec.default_lr:g}"
        optimizers.add_row(spec.name, f"{spec.lr.low:g} to {spec.lr.high:g}", default, fixed, spec.source, when)
    out.print(optimizers)

    names = campaign_names(tracking_uri())
    out.print(f"\nCampaigns: {', '.join(names) if names else 'none yet; optsuite run starts one'}", highlight=False)
    return 0
