"""The curves of stored runs, for comparison with runs that are trained again."""

from collections.abc import Callable, Mapping, Sequence

from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.tracking.query import read_curves
from optsuite.tracking.store import Store
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.results import Measurement

Curve = Sequence[Measurement]
ReadCurves = Callable[[Mapping[Fingerprint, Study]], Mapping[Fingerprint, Curve]]


def stored_curves(
    store: Store, stored_runs: StoredRuns, wanted: Mapping[Fingerprint, Study]
) -> dict[Fingerprint, list[Measurement]]:
    """The curves of the wanted runs that the store holds."""
    fingerprints: dict[str, Fingerprint] = {}
    names: set[str] = set()
    for fingerprint, study in wanted.items():
        names.update(study.problem.benchmark.curves)
        stored = stored_runs.by_fingerprint.get(fingerprint)
        if stored is not None:
            fingerprints[stored.run_id] = fingerprint
    rows = read_curves(store, fingerprints, sorted(names)).dropna()
    curves: dict[Fingerprint, list[Measurement]] = {one: [] for one in fingerprints.values()}
    for run_id, of_run in rows.groupby("run_id"):
        curve = curves[fingerprints[str(run_id)]]
        for step, own in of_run.groupby("step", sort=True):
            values = dict(zip(own["curve"], own["value"], strict=True))
            curve.append(Measurement(step=int(str(step)), values=values, time=0.0))
    return curves


def furthest_step(study: Study, n_runs: float, *, n_measurements: int) -> int:
    """The step of the last measurement that a cost of `n_runs` runs reaches in one run.

    Not before the measurement of number `n_measurements` after step 0.
    """
    benchmark = study.problem.benchmark
    if n_runs >= 1:
        return benchmark.max_steps
    n_reached = int(n_runs * benchmark.max_steps) // benchmark.eval_every
    return min(benchmark.max_steps, max(n_reached, n_measurements) * benchmark.eval_every)
