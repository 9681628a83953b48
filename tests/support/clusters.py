"""Ray clusters for tests, on this machine."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from suites import tiny

from optsuite.definitions.benchmark import Benchmark
from optsuite.execution import open_pool
from optsuite.execution.options import ExecutionOptions
from optsuite.training.identity import Definition, define
from support.commands import descendants

OTHERWISE = """
import os
from dataclasses import replace
from pathlib import Path
import torch.nn.functional as F
from suites.tiny import SUITE

calls = []

def loss(prediction, target):
    calls.append(1)
    if Path("died").exists():
        raise ValueError("not this time")
    if len(calls) == 30:
        Path("died").touch()
        os._exit(1)
    return F.mse_loss(prediction, target)

SUITE = replace(SUITE, benchmarks=(replace(SUITE.benchmarks[0], loss=loss),))
"""
HEAD = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
print(cluster.address, cluster.head_node.all_processes["gcs_server"][0].process.pid, flush=True)
input()
"""
LONGER = """
from dataclasses import replace
from suites.tiny import SUITE
BENCHMARK = replace(SUITE.benchmarks[0], max_steps=4000, eval_every=200)
SUITE = replace(SUITE, benchmarks=(BENCHMARK,), n_trials=8, n_seeds=2)
"""


class Three:
    """A cluster of a head and two nodes, each with one CPU."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self.others = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.address = str(self.cluster.address)

    @property
    def nodes(self) -> list[Any]:
        """The head first."""
        return [self.cluster.head_node, *self.others]

    def training(self, node: Any) -> list[int]:
        """The processes of a node that train at this moment."""
        raylet = node.all_processes["raylet"][0].process.pid
        return [pid for pid in descendants(raylet) if b"ray::stream" in command_of(pid)]

    @contextmanager
    def troubled(self, n_done: Callable[[], int], n_runs: int) -> Iterator[list[str]]:
        """Kill a process after a tenth of the runs, and a node after a third.

        Yields the list of what has been killed.
        """
        killed: list[str] = []
        over = threading.Event()

        def kill() -> None:
            victims: list[int] = []
            while not over.wait(0.02) and not victims:
                if n_done() >= n_runs / 10:
                    victims = self.training(self.cluster.head_node)
            os.kill(victims[0], 9)
            killed.append("process")
            while not over.wait(0.02):
                if n_done() >= n_runs / 3 and self.training(self.others[0]):
                    break
            self.cluster.remove_node(self.others[0], allow_graceful=False)
            killed.append("node")

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        try:
            yield killed
        finally:
            over.set()
            thread.join()
            self.others[0] = self.cluster.add_node(num_cpus=1)


@contextmanager
def three_nodes() -> Iterator[Three]:
    """Start the cluster, connect to it with a token, and stop it at the end."""
    import ray

    from optsuite.execution.ray.connection import connect

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", "of-these-tests-and-of-no-others")
        patch.setenv("RAY_AUTH_MODE", "token")
        ray._raylet.Config.initialize("")
        own = Three()
        assert connect(own.address, 1)
        yield own
        ray.shutdown()
        own.cluster.shutdown()


def command_of(pid: int) -> bytes:
    """The command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def open_ray(address: str = "auto", **options: Any) -> Any:
    suite = options.pop("suite", str(TINY))
    return open_pool(suite, ExecutionOptions(ray=address, **options))


def defined(benchmark: Benchmark, device: str = "cpu") -> Definition:
    return define(benchmark, tiny.SUITE.optimizers[0], tiny.line(), device=device)
