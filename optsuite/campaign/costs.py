"""The cost of a step, measured once all is trained and the workers are quiet."""

import logging
from collections.abc import Callable, Iterable, Sequence

from optsuite.campaign.recorder import Recorder
from optsuite.campaign.study import Study
from optsuite.errors import location, one_line
from optsuite.training.numerics import fit
from optsuite.training.step_cost import EXTRA_SECONDS, Cost, measure_costs
from optsuite.training.validation.definitions import load_splits

LOGGER = logging.getLogger("optsuite")
EXTRA_SHARE = 0.05  # of the seconds of training, for more rounds on a busy machine


def record_costs(studies: Iterable[Study], recorder: Recorder, stop: Callable[[], bool]) -> None:
    """Measure a benchmark's optimizers side by side if the cost of a finished study is missing."""
    by_benchmark: dict[str, list[Study]] = {}
    for study in studies:
        if study.ended and not study.error and not study.is_manual:
            by_benchmark.setdefault(study.name[0], []).append(study)
    for own in by_benchmark.values():
        if stop() or all(recorder.knows_cost(study) for study in own):
            continue
        try:
            costs = _measured(own, stop)
        except (Exception, SystemExit) as error:
            # A missing cost must not lose the results.
            name, cause = own[0].name[0], f"{one_line(error)}{location(error)}"
            LOGGER.warning("benchmark %s: the cost of a step is unknown: %s", name, cause)
            continue
        for study in own:
            if study.spec.name in costs:
                recorder.record_cost(study, costs[study.spec.name])


def _measured(studies: Sequence[Study], stop: Callable[[], bool]) -> dict[str, Cost]:
    """The costs of the optimizers of one benchmark."""
    benchmark, device = studies[0].problem.benchmark, studies[0].device
    splits = fit(benchmark, load_splits(benchmark), device=device).splits.to(device)
    training = sum(study.problem.seconds_per_run * study.n_runs for study in studies)
    return measure_costs(
        benchmark,
        [study.spec for study in studies],
        splits,
        device=device,
        extra_seconds=min(EXTRA_SECONDS, EXTRA_SHARE * training),
        stop=stop,
    )
