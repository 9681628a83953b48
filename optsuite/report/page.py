"""The page: one self-contained HTML file of a campaign's verdicts, tables and figures."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from optsuite.report.drawings import Drawing
from optsuite.report.grids import Cell, Grid, Links, leaderboard_grid, plain_grid
from optsuite.report.overall import duels, overall
from optsuite.report.tables import Comparison, tolerance
from optsuite.report.text import LEGEND
from optsuite.report.verdicts import headline
from optsuite.tracking.reading import COSTS

VERSIONS = ("optsuite_version", "torch_version", "mlflow_version", "optuna_version", "device")
FIRST_MEASUREMENT = "at the first measurement already"


def page(
    runs: pd.DataFrame,
    found: Comparison,
    figures: Mapping[str, Sequence[Drawing]],
    *,
    campaign: str,
    ui: str,
    notes: Sequence[str] = (),
) -> str:
    """The HTML of a campaign's report. `ui` is the address of MLflow's UI, to which every result is linked."""
    environment = Environment(
        loader=PackageLoader("optsuite", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    links = Links(runs, campaign, ui)
    ranks = overall(found.table, found.scores)
    sections = [_section(runs, str(name), rows, figures, links) for name, rows in found.table.groupby("benchmark", sort=False)]
    return environment.get_template("template.html").render(
        campaign=campaign,
        protocol=_protocol(runs),
        notes=notes,
        sections=sections,
        winners=_winners(sections, links),
        ranks=_ranks(ranks) if len(ranks) else None,
        ranks_sentence=_ranks_sentence(ranks),
        n_ranked=len(found.scores),
        duels=_duels(found, list(ranks["optimizer"])),
        overall_figures=figures.get("", ()),
        legend=LEGEND,
        tolerance=f"{tolerance(runs):.0%}",
        costs=_costs(runs),
        ledger=_ledger(runs),
        versions=_versions(runs),
    )


def _protocol(runs: pd.DataFrame) -> str:
    studies = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    if studies.empty:
        return "No study is complete yet."
    n_trials, n_seeds = int(studies["n_trials"].mode()[0]), int(studies["n_seeds"].mode()[0])
    return (
        f"Every optimizer had the same steps, {n_trials} trials to tune its learning rate on validation data, "
        f"and {n_seeds} fresh seeds, the same for all."
    )


def _section(
    runs: pd.DataFrame, name: str, rows: pd.DataFrame, figures: Mapping[str, Sequence[Drawing]], links: Links
) -> dict[str, object]:
    ranked = rows[rows["rank"].notna()]
    return {
        "name": name,
        "anchor": "benchmark-" + re.sub(r"[^A-Za-z0-9_-]", lambda match: f"-{ord(match[0]):x}", name),
        "headline": headline(ranked.to_dict("records")),
        "notes": target_notes(runs[runs["benchmark"] == name], ranked),
        "leaderboard": leaderboard_grid(rows, links),
        "figures": figures.get(name, ()),
        "leader": ranked.iloc[0].to_dict() if len(ranked) else None,
        "link": links.benchmark(name),
    }


def target_notes(runs: pd.DataFrame, ranked: pd.DataFrame) -> list[str]:
    """What is wrong with a benchmark's target, in a sentence: it tells optimizers apart only if some are slower than others."""
    tuned = runs[(runs["kind"] == "evaluation") & (runs["arm"] == "tuned") & runs["optimizer"].isin(ranked["optimizer"])]
    tuned = tuned[tuned["target"].notna()]
    if tuned.empty:
        return []
    if tuned["steps_to_target"].isna().all():
        return [f"No run reached the target, {tuned['target'].iloc[0]}: it is too hard for this budget."]
    if (tuned["steps_to_target"] <= tuned["eval_every"]).all():
        return [f"Every run reached the target, {tuned['target'].iloc[0]}, {FIRST_MEASUREMENT}: it is too easy."]
    return []


def _winners(sections: Sequence[Mapping[str, object]], links: Links) -> Grid:
    """A row for each benchmark: who won, and how sure that is."""
    rows = []
    for section in sections:
        leader = section["leader"]
        score = f"{leader['score']:.4g} ({leader['ci_low']:.4g} to {leader['ci_high']:.4g})" if isinstance(leader, dict) else ""
        link = f"#{section['anchor']}"
        cells = (Cell(str(section["name"]), link=link), Cell(str(section["headline"]), kind="wrap"), Cell(score))
        rows.append((*cells, Cell("curves", link=str(section["link"]))))
    return Grid(("benchmark", "who won", "the lowest score", "in MLflow"), rows)


def _ranks(ranks: pd.DataFrame) -> Grid:
    shown = [
        (
            row["optimizer"],
            float(row["mean_rank"]),
            f"{row['ci_low']:.3g} to {row['ci_high']:.3g}",
            f"{row['best_on']} of {row['benchmarks']}",
        )
        for row in ranks.to_dict("records")
    ]
    return plain_grid(("optimizer", "mean rank", "95 % interval", "best or tied on"), shown)


def _ranks_sentence(ranks: pd.DataFrame) -> str:
    if ranks.empty:
        return ""
    first = ranks.iloc[0]
    others = ranks[(ranks["ci_low"] <= first["ci_high"]) & (ranks["optimizer"] != first["optimizer"])]
    names = ", ".join(others["optimizer"])
    sure = f"the intervals of {names} overlap with its own" if names else "nobody's interval overlaps with its own"
    return (
        f"{first['optimizer']} has the best mean rank, {first['mean_rank']:.3g}; {sure}. "
        "The intervals cover other seeds, not other benchmarks."
    )


def _duels(found: Comparison, names: list[str]) -> Grid:
    verdicts = {name: {pair: one.verdict for pair, one in pairs.items()} for name, pairs in found.pairs.items()}
    table = duels(verdicts, names)
    return plain_grid(("", *names), [(name, *table.loc[name]) for name in names])


def _costs(runs: pd.DataFrame) -> Grid:
    rows = cost_table(runs)
    header = ("benchmark", "optimizer", "milliseconds a step", "bytes of state a parameter")
    return plain_grid(header, rows.itertuples(index=False))


def cost_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cost.csv`: what a step of each optimizer takes, and the memory of its state."""
    studies = runs[(runs["kind"] == "study") & runs[COSTS[0]].notna()].drop_duplicates(["benchmark", "optimizer"])
    table = studies[["benchmark", "optimizer", *COSTS]].rename(columns=lambda name: name.removeprefix("usage/"))
    return table.sort_values(["benchmark", "optimizer"], ignore_index=True)


def _ledger(runs: pd.DataFrame) -> Grid:
    trained = runs[runs["kind"].isin(["trial", "evaluation"])]
    header = ("benchmark", "kind", "arm", "runs", "diverged", "failed", "seconds of runs, which share stacks")
    rows = []
    for name, own in trained.assign(arm=trained["arm"].fillna("")).groupby(["benchmark", "kind", "arm"]):
        counts = (len(own), *(int((own["outcome"] == outcome).sum()) for outcome in ("diverged", "failed")))
        rows.append((*name, *counts, float(own["seconds"].sum())))
    return plain_grid(header, rows)


def _versions(runs: pd.DataFrame) -> Grid:
    rows = [(name.removesuffix("_version"), ", ".join(sorted(set(runs[name].dropna())))) for name in VERSIONS]
    engines = sorted({str(engine) for engine in runs["engine"].dropna()})
    return plain_grid(("what", "which"), [*rows, ("engine", "; ".join(engines))])
