"""A submitted task, with the measurements and the loggers of its unfinished runs."""

import math
from dataclasses import dataclass, field

from optsuite.campaign.events import RunMeasured
from optsuite.campaign.study import Study
from optsuite.campaign.writer import Writer
from optsuite.execution.pool import Task
from optsuite.tracking.run_logger import RunLogger
from optsuite.training.results import Measurement, Run


@dataclass
class Job:
    """A submitted task; `measurements` and `run_loggers` are by index of its unfinished runs."""

    study: Study
    task: Task
    measurements: dict[int, list[Measurement]] = field(default_factory=dict)
    run_loggers: dict[int, RunLogger] = field(default_factory=dict)

    @property
    def open_runs(self) -> tuple[Run, ...]:
        """The runs that have not ended."""
        return tuple(self.task.runs[index] for index in self.run_loggers)

    def measure(self, index: int, measurement: Measurement, writer: Writer) -> RunMeasured:
        """Keep and write a measurement of a run."""
        self.measurements[index].append(measurement)
        writer.put(self.run_loggers[index].add, measurement)
        return RunMeasured(
            run=self.task.runs[index],
            step=measurement.step,
            max_steps=self.study.problem.benchmark.max_steps,
            validation_loss=measurement.values.get("validation/loss", math.nan),
        )

    def discard(self, writer: Writer) -> None:
        """Drop what was recorded of the unfinished runs."""
        for run_logger in self.run_loggers.values():
            writer.put(run_logger.discard)
