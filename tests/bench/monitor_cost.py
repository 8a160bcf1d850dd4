"""Measures what an agent's monitor costs on a node. We run it as Pacemaker does, one run after another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.lab.lab import Lab

_HEAD = """
import json, os, resource, subprocess, sys, time
agent, times, given = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
environ = dict(os.environ, OCF_ROOT="/usr/lib/ocf", OCF_RA_VERSION_MAJOR="1", OCF_RA_VERSION_MINOR="1",
               HA_RSCTMP="/run/resource-agents", **given)
"""
_PROGRAM = """
environ.update(OCF_RESKEY_CRM_meta_interval="10000", __OCF_ACTION="monitor")
codes, walls = [], []
for _ in range(times):
    began = time.perf_counter()
    codes.append(subprocess.call([agent, "monitor"], env=environ, stdout=2, stderr=subprocess.DEVNULL))
    walls.append((time.perf_counter() - began) * 1000)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu_ms = (used.ru_utime + used.ru_stime) * 1000 / times
print(json.dumps({"codes": codes, "wall_ms": walls, "cpu_ms": cpu_ms, "peak_mib": used.ru_maxrss / 1024}))
"""


@dataclass(frozen=True)
class MonitorCost:
    """What several runs of a monitor cost.

    It has the exit code and wall time (ms) of each run, the CPU time of one (ms, mean, children included),
    and the largest resident set of any of its processes (MiB).
    """

    codes: list[int]
    wall_ms: list[float]
    cpu_ms: float
    peak_mib: float


def monitor_cost(
    lab: Lab, instance_id: str, agent: str, resource: str, parameters: Mapping[str, str], times: int
) -> MonitorCost:
    """Run the monitor of `resource` on a node, `times` times; `agent` is the path of its program.

    It is the same resource that the cluster runs, with the state that its agent has stored. Raises LabError
    if the node is off, or if the runs take longer than 30 s plus 3 s each.
    """
    words = as_pacemaker(_PROGRAM, agent, times, resource, parameters)
    return MonitorCost(**json.loads(lab.run_in(instance_id, words, timeout_s=30 + 3 * times).stdout))


def as_pacemaker(
    program: str, agent: str, times: int, resource: str, parameters: Mapping[str, str]
) -> list[str]:
    """The words that run a Python program on a node.

    The program finds the agent's path, how often to run it, and the environment of that resource's agent in
    `agent`, `times` and `environ`.
    """
    given = {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
    given["OCF_RESOURCE_INSTANCE"] = resource
    return ["python3", "-c", _HEAD + program, agent, str(times), json.dumps(given)]
