"""The agent on a node of the distribution, with the cluster's own tools and OCF's own tester."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.bench.monitor_cost import monitor_cost
from tests.bench.start_cost import start_cost
from tests.cluster.agent_tools import (
    AGENT,
    api_calls,
    its_metadata_are_shown,
    pacemaker_validates,
    passes_ocf_tester,
)
from tests.drill.pair import Pair
from tests.lab.lab import Lab
from tests.lab.process import CommandError

MONITORS_PER_HOUR = 360
"""At the cluster's monitor interval of 10 s."""
MONITOR_GOAL_MS = 15.0
MONITOR_PEAK_MIB = 13.0


def standby(pair: Pair) -> str:
    holder = pair.holder()
    return next(node for node in pair.node_ids if node != holder)


@pytest.fixture
def node(lab: Lab, pair: Pair) -> str:
    """The standby, ready for ocf-tester."""
    node = standby(pair)
    # ocf-tester validates metadata with xmllint; resource-agents only recommends its package.
    lab.run_in(node, ["apt-get", "-qq", "--yes", "install", "libxml2-utils"], timeout_s=120)
    return node


def test_ocf_tester_finds_no_fault_with_the_agent(lab: Lab, node: str) -> None:
    passes_ocf_tester(lab, node)


def test_ocf_tester_does_not_pass_the_agent_without_an_address(lab: Lab, node: str) -> None:
    """The tester really tests: without an address, the agent fails there and says why."""
    with pytest.raises(CommandError) as failed:
        lab.run_in(node, ["ocf-tester", "-n", "spare", AGENT], timeout_s=60)
    assert "ec2_vip '' is not an IPv4 address" in failed.value.stdout + failed.value.stderr


def test_pacemaker_validates_the_resource_and_refuses_an_address_outside_the_subnet(
    lab: Lab, pair: Pair
) -> None:
    for each in pair.node_ids:
        pacemaker_validates(lab, each)


def test_pacemaker_and_pcs_show_the_metadata_as_the_agent_gives_them(lab: Lab, pair: Pair) -> None:
    its_metadata_are_shown(lab, pair.node_ids[0])


def test_an_hour_of_monitors_calls_no_ec2_api(lab: Lab, pair: Pair) -> None:
    """Run as many monitors as the holder runs in an hour, one after another. None of them calls the API."""
    holder, since = pair.holder(), time.monotonic()
    assert holder is not None
    cost = monitor_cost(lab, holder, AGENT, "ec2vip", {"ec2_vip": pair.vip}, MONITORS_PER_HOUR)
    assert cost.codes == [0] * MONITORS_PER_HOUR
    assert api_calls(lab, since) == []
    # We report times but do not assert them: this machine may be busy. `make bench` compares them.
    print(
        f"monitor: median {statistics.median(cost.wall_ms):.1f} ms (goal {MONITOR_GOAL_MS:.0f}),"
        f" most {max(cost.wall_ms):.1f} ms, {cost.cpu_ms:.1f} ms of CPU, {cost.peak_mib:.1f} MiB"
    )
    assert cost.peak_mib <= MONITOR_PEAK_MIB


def test_a_monitor_on_the_standby_says_not_running(lab: Lab, pair: Pair) -> None:
    assert monitor_cost(lab, standby(pair), AGENT, "ec2vip", {"ec2_vip": pair.vip}, 1).codes == [7]


def test_a_start_on_the_holder_is_one_request_and_its_time_is_measured(lab: Lab, pair: Pair) -> None:
    holder = pair.holder()
    taken = start_cost(lab, pair, 2)
    assert len(taken) == 2
    assert all(milliseconds > 0 for milliseconds in taken)
    assert pair.holder() == holder
