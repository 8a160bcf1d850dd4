"""The agent where it lives: a node of the distribution, with the cluster's own tools and OCF's own tester."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from agent import ocf
from tests.drill.monitor_cost import monitor_cost
from tests.drill.pair import Pair
from tests.lab.lab import Lab
from tests.lab.process import CommandError

AGENT = "/usr/lib/ocf/resource.d/heartbeat/ec2vip"
SPARE = "10.0.250.190"
"""An address of the subnet that nobody has: tests that assign and unassign leave the pair's own alone."""

MONITORS_PER_HOUR = 360
"""At the interval of 10 s that the cluster is given."""
MONITOR_GOAL_MS = 15.0
MONITOR_PEAK_MIB = 13.0


def standby(pair: Pair) -> str:
    holder = pair.holder()
    return next(node for node in pair.node_ids if node != holder)


def api_calls(lab: Lab, since: float) -> list[str]:
    """The EC2 actions that the nodes called after `since` (monotonic)."""
    return [event["action"] for event in lab.timeline.read("api", since=since)]


@pytest.fixture
def bench(lab: Lab, pair: Pair) -> Iterator[str]:
    """The standby, ready for ocf-tester, and free of the tester's address afterwards: its last test is a
    migration to the node, and a small instance has room for one address besides its own."""
    node = standby(pair)
    # It validates metadata with xmllint; resource-agents only recommends its package.
    lab.run_in(node, ["apt-get", "-qq", "--yes", "install", "libxml2-utils"], timeout_s=120)
    yield node
    filters = [{"Name": "addresses.private-ip-address", "Values": [SPARE]}]
    for eni in lab.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]:
        lab.client().unassign_private_ip_addresses(
            NetworkInterfaceId=eni["NetworkInterfaceId"], PrivateIpAddresses=[SPARE]
        )


def test_ocf_tester_finds_no_fault_with_the_agent(lab: Lab, bench: str) -> None:
    """Every action in every order that OCF asks for, on the standby, with an address of its own."""
    since = time.monotonic()
    tester = ["ocf-tester", "-v", "-n", "spare", "-o", f"ec2_vip={SPARE}", AGENT]
    said = lab.run_in(bench, tester, timeout_s=120).stdout
    assert f"{AGENT} passed all tests" in said
    calls = api_calls(lab, since)
    assert "AssignPrivateIpAddresses" in calls, "the tests ran, but EC2 heard nothing of them"
    assert "UnassignPrivateIpAddresses" in calls


def test_ocf_tester_does_not_pass_the_agent_without_an_address(lab: Lab, bench: str) -> None:
    """The tester tests: an agent that is not told its address fails there, and says why."""
    with pytest.raises(CommandError) as failed:
        lab.run_in(bench, ["ocf-tester", "-n", "spare", AGENT], timeout_s=60)
    assert "ec2_vip '' is not an IPv4 address" in failed.value.stdout + failed.value.stderr


def test_pacemaker_validates_the_configured_resource(lab: Lab, pair: Pair) -> None:
    for node in pair.node_ids:
        lab.run_in(node, ["crm_resource", "--validate", "--resource", "ec2vip"])


def test_pacemaker_refuses_an_address_outside_the_subnet(lab: Lab, pair: Pair) -> None:
    words = ["crm_resource", "--validate", "--class", "ocf", "--provider", "heartbeat", "--agent", "ec2vip"]
    lab.run_in(pair.node_ids[0], [*words, "--option", f"ec2_vip={SPARE}"])
    with pytest.raises(CommandError) as refused:
        lab.run_in(pair.node_ids[0], [*words, "--option", "ec2_vip=192.0.2.1"])
    assert "192.0.2.1 is outside 10.0.250.0/24" in refused.value.stdout + refused.value.stderr


def test_pcs_describes_the_parameter_and_every_action(lab: Lab, pair: Pair) -> None:
    described = lab.run_in(pair.node_ids[0], ["pcs", "resource", "describe", "ocf:heartbeat:ec2vip"]).stdout
    assert "\n  ec2_vip (required)" in described, described
    assert "monitor:\n    interval=10s\n    timeout=60s" in described, described


def test_pacemaker_shows_the_metadata_as_the_agent_gives_them(lab: Lab, pair: Pair) -> None:
    words = ["crm_resource", "--show-metadata", "ocf:heartbeat:ec2vip"]
    assert lab.run_in(pair.node_ids[0], words).stdout.strip() == ocf.META_DATA


def test_an_hour_of_monitors_calls_no_ec2_api(lab: Lab, pair: Pair) -> None:
    """As many monitors as the holder runs in an hour, one after another. Nothing of them reaches the API."""
    holder, since = pair.holder(), time.monotonic()
    assert holder is not None
    cost = monitor_cost(lab, holder, AGENT, "ec2vip", {"ec2_vip": pair.vip}, MONITORS_PER_HOUR)
    assert cost.codes == [0] * MONITORS_PER_HOUR
    assert api_calls(lab, since) == []
    # Times are reported and not asserted: this machine may be busy. `make bench` compares them.
    print(
        f"monitor: median {statistics.median(cost.wall_ms):.1f} ms (goal {MONITOR_GOAL_MS:.0f}),"
        f" most {max(cost.wall_ms):.1f} ms, {cost.cpu_ms:.1f} ms of CPU, {cost.peak_mib:.1f} MiB"
    )
    assert cost.peak_mib <= MONITOR_PEAK_MIB


def test_a_monitor_on_the_standby_says_not_running(lab: Lab, pair: Pair) -> None:
    assert monitor_cost(lab, standby(pair), AGENT, "ec2vip", {"ec2_vip": pair.vip}, 1).codes == [7]
