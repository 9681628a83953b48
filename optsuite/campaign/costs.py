"""The cost of a step, measured once all is trained and the workers are quiet."""

import logging
from collections.abc import Callable, Iterable

from optsuite.campaign.recorder import Recorder
from optsuite.campaign.study import Study
from optsuite.errors import location, one_line
from optsuite.training.numerics import fit
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import load_splits

LOGGER = logging.getLogger("optsuite")


def record_costs(studies: Iterable[Study], recorder: Recorder, stop: Callable[[], bool]) -> None:
    """Measure a benchmark's optimizers side by side if the cost of a finished study is missing."""
    by_benchmark: dict[str, list[Study]] = {}
    for study in studies:
        if study.ended and not study.error and not study.is_manual:
            by_benchmark.setdefault(study.name[0], []).append(study)
    for own in by_benchmark.values():
        if stop() or all(recorder.knows_cost(study) for study in own):
            continue
        benchmark, device = own[0].problem.benchmark, own[0].device
        specs = [study.spec for study in own]
        try:
            splits = fit(benchmark, load_splits(benchmark), device=device).splits.to(device)
            costs = measure_costs(benchmark, specs, splits, device=device, stop=stop)
        except (Exception, SystemExit) as error:
            # A missing cost must not lose the results.
            cause = f"{one_line(error)}{location(error)}"
            LOGGER.warning("benchmark %s: the cost of a step is unknown: %s", benchmark.name, cause)
            continue
        for study in own:
            if study.spec.name in costs:
                recorder.record_cost(study, costs[study.spec.name])
