"""Measures how long a start takes on a node, from the call of the agent until its request reaches EC2."""

from __future__ import annotations

import json

from cloudinit.places import AGENT_PATH
from tests.bench.monitor_cost import as_pacemaker
from tests.drill.pair import Pair
from tests.lab.errors import LabError
from tests.lab.lab import Lab

_PROGRAM = """
moments = []
for _ in range(times):
    began = time.time()
    code = subprocess.call([agent, "start"], env=environ, stdout=2, stderr=subprocess.DEVNULL)
    moments.append((began, time.time(), code))
    time.sleep(0.3)
os.unlink("/run/resource-agents/ec2vip-start-cost")
print(json.dumps(moments))
"""


def start_cost(lab: Lab, pair: Pair, times: int) -> list[float]:
    """Milliseconds from the call to the request, for `times` starts on the holder, where they change nothing.

    One more start goes first and does not count: it leaves the agent's record of its node, as a probe would.
    Raises LabError if no node holds the VIP, or if a start failed.
    """
    holder = pair.holder()
    if holder is None:
        raise LabError("no node has the VIP", "see `make status`")
    words = as_pacemaker(_PROGRAM, AGENT_PATH, times + 1, "start-cost", {"ec2_vip": pair.vip})
    shown = lab.run_in(holder, words, timeout_s=60 + 3 * times).stdout
    calls = [event for event in lab.timeline.read("api") if event["action"] == "AssignPrivateIpAddresses"]
    requests = [event.wall - event["latency_s"] for event in calls]
    found = []
    for began, ended, code in json.loads(shown)[1:]:
        if code != 0:
            raise LabError(f"a start on {holder} answered {code}", "see its journal: `make shell NODE=a`")
        found.append(1000 * (min(time for time in requests if began <= time <= ended) - began))
    return found
