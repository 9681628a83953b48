"""The page of a campaign: one self-contained HTML file of its verdicts, tables and figures."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from optsuite.analysis import statements
from optsuite.analysis.answer import advice, answer, cost_of_default, gap
from optsuite.analysis.calibration import LAST
from optsuite.analysis.leaderboard import Comparison
from optsuite.analysis.overall import win_tie_loss
from optsuite.analysis.studies import tolerance
from optsuite.analysis.time_to_target import difficulty
from optsuite.analysis.verdicts import certainty
from optsuite.definitions.suite import BUDGET
from optsuite.reporting.figures import Drawing
from optsuite.reporting.tables import Cell, Grid, leaderboard_grid, plain_grid, standings_grid
from optsuite.tracking.links import Links
from optsuite.tracking.schema import COSTS

LONGEST_NAME = 150  # characters; file systems allow 255, and the name of a figure is appended
HASH_DIGITS = 16  # of a longer name, of which LONGEST_NAME - 20 characters are kept
VERSIONS = ("optsuite_version", "torch_version", "mlflow_version", "optuna_version", "device")


def page(
    runs: pd.DataFrame,
    found: Comparison,
    figures: Mapping[str, Sequence[Drawing]],
    across: pd.DataFrame,
    *,
    campaign: str,
    ui: str,
    notes: Sequence[str] = (),
) -> str:
    """The HTML of a campaign's report.

    `across` is the table of `overall`. All links lead to MLflow's UI at `ui`.
    """
    links = Links(runs, found.evaluations, campaign, ui)
    sections = []
    for name, rows in found.table.groupby("benchmark", sort=False):
        sections.append(_section(found.evaluations, str(name), rows, figures, links))
    sentences = [_sentence(section) for section in sections]
    return render(
        "campaign.html",
        campaign=campaign,
        protocol=_protocol(runs),
        notes=notes,
        sections=sections,
        answer=answer(across, found.table),
        advice=advice(across),
        winners=standings_grid(found.table, sentences, links),
        across=_across(across) if len(across) else None,
        pairs=_pairs(found, list(across["optimizer"])),
        overall_figures=figures.get("", ()),
        legend=statements.LEGEND,
        calibration=statements.calibration(LAST),
        tolerance=f"{tolerance(runs) * 100:g} %",
        costs=_costs(runs),
        runs_table=_runs_table(runs),
        versions=_versions(runs),
    )


def render(template: str, **values: object) -> str:
    """A template of this package with these values; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("optsuite.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(values)


def _protocol(runs: pd.DataFrame) -> str:
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    return statements.protocol(studies[list(BUDGET)])


def name_of(benchmark: str) -> str:
    """A benchmark's name in characters that URLs and file systems allow; distinct names stay so.

    Any other character, and a dash that could be mistaken for the start of one, becomes its code
    point in hexadecimal between dashes. Long names end in a hash.
    """
    escaped = r"[^A-Za-z0-9_-]|-(?=[0-9a-f]+[^A-Za-z0-9_])"
    name = re.sub(escaped, lambda match: f"-{ord(match[0]):x}-", benchmark)
    if len(name) <= LONGEST_NAME:
        return name
    digits = sha256(name.encode()).hexdigest()[:HASH_DIGITS]
    return f"{name[: LONGEST_NAME - 20]}-{digits}"


def _sentence(section: Mapping[str, object]) -> tuple[Cell, ...]:
    return (
        Cell(str(section["name"]), link=f"#{section['anchor']}"),
        Cell(statements.CERTAINTIES[str(section["certainty"])]),
        Cell(str(section["headline"]), kind="wrap"),
    )


def _section(
    evaluations: pd.DataFrame,
    name: str,
    rows: pd.DataFrame,
    figures: Mapping[str, Sequence[Drawing]],
    links: Links,
) -> dict[str, object]:
    ranked = rows[rows["rank"].notna()]
    records = ranked.to_dict("records")
    own = evaluations[evaluations["benchmark"] == name]
    found = difficulty(own, ranked)
    notes = []
    if found:
        notes.append(statements.target_note(found, str(own["target"].dropna().iloc[0])))
    return {
        "name": name,
        "anchor": f"benchmark-{name_of(name)}",
        "headline": statements.headline(records),
        "certainty": certainty(records),
        "notes": notes,
        "leaderboard": leaderboard_grid(rows, links),
        "figures": figures.get(name, ()),
        "link": links.benchmark(name),
    }


def _across(across: pd.DataFrame) -> Grid:
    """The table of `overall` as people read it."""
    header = ("optimizer", "may be best on", "median gap (95 % interval)", "its default rate costs")
    rows = []
    for row in across.to_dict("records"):
        share = f"{row['may_be_best']} of {row['benchmarks']}"
        targets = "" if pd.isna(row["targets"]) else f"{row['targets']:.0%}"
        rows.append((row["optimizer"], share, gap(row), cost_of_default(row), targets))
    return plain_grid((*header, "targets reached"), rows)


def _pairs(found: Comparison, names: list[str]) -> Grid:
    table = win_tie_loss(found.pairs, names)
    return plain_grid(("", *names), [(name, *table.loc[name]) for name in names])


def _costs(runs: pd.DataFrame) -> Grid:
    rows = cost_table(runs)
    header = ("benchmark", "optimizer", "milliseconds a step", "bytes of state a parameter")
    return plain_grid(header, rows.itertuples(index=False))


def cost_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cost.csv`: what a step of each optimizer takes, and the memory of its state."""
    pair = ["benchmark", "optimizer"]
    studies = runs[(runs["kind"] == "study") & runs[COSTS[0]].notna()].drop_duplicates(pair)
    table = studies[[*pair, *COSTS]].rename(columns=lambda name: name.removeprefix("usage/"))
    return table.sort_values(pair, ignore_index=True)


def _runs_table(runs: pd.DataFrame) -> Grid:
    """How many runs there were, by benchmark, kind and arm, and how long they took."""
    trained = runs[runs["kind"].isin(["trial", "confirmation", "evaluation"])]
    trained = trained.assign(arm=trained["arm"].fillna(""))
    seconds = "seconds of runs, which share stacks"
    rows = []
    for name, own in trained.groupby(["benchmark", "kind", "arm"]):
        n_diverged = int((own["outcome"] == "diverged").sum())
        n_failed = int((own["outcome"] == "failed").sum())
        rows.append((*name, len(own), n_diverged, n_failed, float(own["seconds"].sum())))
    return plain_grid(("benchmark", "kind", "arm", "runs", "diverged", "failed", seconds), rows)


def _versions(runs: pd.DataFrame) -> Grid:
    rows = []
    for name in VERSIONS:
        values = sorted(set(runs[name].dropna()))
        rows.append((name.removesuffix("_version"), ", ".join(values)))
    reasons = ": " + runs["engine_reason"].fillna("")
    engines = runs["engine"].str.cat(reasons).str.removesuffix(": ")
    rows.append(("engine", "; ".join(sorted(set(engines.dropna())))))
    return plain_grid(("what", "which"), rows)
