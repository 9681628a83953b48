"""The page: one self-contained HTML file of a campaign's verdicts, tables and figures."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from optsuite.analysis import statements
from optsuite.analysis.leaderboard import Comparison, tolerance
from optsuite.analysis.overall import win_tie_loss
from optsuite.analysis.time_to_target import difficulty
from optsuite.analysis.verdicts import certainty
from optsuite.reporting.figures import Drawing
from optsuite.reporting.tables import Cell, Grid, leaderboard_grid, plain_grid, standings_grid
from optsuite.tracking.links import Links
from optsuite.tracking.schema import COSTS

LONGEST_NAME = 150  # characters; file systems take 255, and the name of a figure follows
VERSIONS = ("optsuite_version", "torch_version", "mlflow_version", "optuna_version", "device")


def page(
    runs: pd.DataFrame,
    found: Comparison,
    figures: Mapping[str, Sequence[Drawing]],
    ranks: pd.DataFrame,
    *,
    campaign: str,
    ui: str,
    notes: Sequence[str] = (),
) -> str:
    """The HTML of a campaign's report; `ranks` is the table of `overall`, and all links lead to MLflow's UI at `ui`."""
    links = Links(runs, found.evaluations, campaign, ui)
    sections = [
        _section(found.evaluations, str(name), rows, figures, links)
        for name, rows in found.table.groupby("benchmark", sort=False)
    ]
    return render(
        "campaign.html",
        campaign=campaign,
        protocol=_protocol(runs),
        notes=notes,
        sections=sections,
        summary=statements.summary([str(section["certainty"]) for section in sections]),
        winners=standings_grid(found.table, [_sentence(section) for section in sections], links),
        ranks=_ranks(ranks) if len(ranks) else None,
        ranks_sentence=statements.overall(ranks),
        n_ranked=int(ranks["benchmarks"].max()) if len(ranks) else 0,
        pairs=_pairs(found, list(ranks["optimizer"])),
        overall_figures=figures.get("", ()),
        legend=statements.LEGEND,
        tolerance=f"{tolerance(runs) * 100:g} %",
        costs=_costs(runs),
        ledger=_ledger(runs),
        versions=_versions(runs),
    )


def render(template: str, **values: object) -> str:
    """A template of this package with these values; all text is escaped."""
    loader = PackageLoader("optsuite.reporting")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(values)


def _protocol(runs: pd.DataFrame) -> str:
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    return statements.protocol(studies[["n_trials", "n_seeds"]])


def name_of(benchmark: str) -> str:
    """A benchmark's name in letters that addresses and file systems take, different for different names.

    Other letters, and dashes that would style like one of them, are written as their numbers between dashes.
    """
    taken = r"[^A-Za-z0-9_-]|-(?=[0-9a-f]+[^A-Za-z0-9_])"
    name = re.sub(taken, lambda match: f"-{ord(match[0]):x}-", benchmark)
    return (
        name
        if len(name) <= LONGEST_NAME
        else f"{name[: LONGEST_NAME - 20]}-{sha256(name.encode()).hexdigest()[:16]}"
    )


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
    own = evaluations[evaluations["benchmark"] == name]
    found = difficulty(own, ranked)
    notes = [statements.target_note(found, str(own["target"].dropna().iloc[0]))] if found else []
    return {
        "name": name,
        "anchor": f"benchmark-{name_of(name)}",
        "headline": statements.headline(ranked.to_dict("records")),
        "certainty": certainty(ranked.to_dict("records")),
        "notes": notes,
        "leaderboard": leaderboard_grid(rows, links),
        "figures": figures.get(name, ()),
        "link": links.benchmark(name),
    }


def _ranks(ranks: pd.DataFrame) -> Grid:
    shown = [
        (
            row["optimizer"],
            float(row["mean_position"]),
            f"{row['ci_low']:.3g} to {row['ci_high']:.3g}",
            f"{row['unbeaten']} of {row['benchmarks']}",
        )
        for row in ranks.to_dict("records")
    ]
    return plain_grid(("optimizer", "mean position", "95 % interval", "not beaten on"), shown)


def _pairs(found: Comparison, names: list[str]) -> Grid:
    table = win_tie_loss(found.pairs, names)
    return plain_grid(("", *names), [(name, *table.loc[name]) for name in names])


def _costs(runs: pd.DataFrame) -> Grid:
    rows = cost_table(runs)
    header = ("benchmark", "optimizer", "milliseconds a step", "bytes of state a parameter")
    return plain_grid(header, rows.itertuples(index=False))


def cost_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cost.csv`: what a step of each optimizer takes, and the memory of its state."""
    studies = runs[(runs["kind"] == "study") & runs[COSTS[0]].notna()].drop_duplicates(
        ["benchmark", "optimizer"]
    )
    table = studies[["benchmark", "optimizer", *COSTS]].rename(
        columns=lambda name: name.removeprefix("usage/")
    )
    return table.sort_values(["benchmark", "optimizer"], ignore_index=True)


def _ledger(runs: pd.DataFrame) -> Grid:
    trained = runs[runs["kind"].isin(["trial", "evaluation"])]
    header = (
        "benchmark",
        "kind",
        "arm",
        "runs",
        "diverged",
        "failed",
        "seconds of runs, which share stacks",
    )
    rows = []
    for name, own in trained.assign(arm=trained["arm"].fillna("")).groupby(
        ["benchmark", "kind", "arm"]
    ):
        counts = (
            len(own),
            *(int((own["outcome"] == outcome).sum()) for outcome in ("diverged", "failed")),
        )
        rows.append((*name, *counts, float(own["seconds"].sum())))
    return plain_grid(header, rows)


def _versions(runs: pd.DataFrame) -> Grid:
    rows = [
        (name.removesuffix("_version"), ", ".join(sorted(set(runs[name].dropna()))))
        for name in VERSIONS
    ]
    said = runs["engine"].str.cat(": " + runs["engine_reason"].fillna("")).str.removesuffix(": ")
    engines = sorted(set(said.dropna()))
    return plain_grid(("what", "which"), [*rows, ("engine", "; ".join(engines))])
