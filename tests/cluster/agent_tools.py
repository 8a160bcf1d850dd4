"""Checks of the agent by the tools of a node's distribution: OCF's tester, Pacemaker and pcs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent import ocf
from tests.lab.lab import Lab
from tests.lab.process import CommandError

AGENT = "/usr/lib/ocf/resource.d/heartbeat/ec2vip"
SPARE = "10.0.250.190"
"""A free address of the subnet: tests that assign and unassign it leave the pair's own addresses alone."""


def api_calls(lab: Lab, since: float) -> list[str]:
    """The EC2 actions that the nodes called after `since` (monotonic)."""
    return [event["action"] for event in lab.timeline.read("api", since=since)]


@contextmanager
def spare_freed(lab: Lab) -> Iterator[None]:
    """Unassign SPARE at the end, whichever interface has it.

    The tester's last test is a migration to the node, and a small instance has room for only one address
    besides its own.
    """
    yield
    filters = [{"Name": "addresses.private-ip-address", "Values": [SPARE]}]
    for eni in lab.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]:
        lab.client().unassign_private_ip_addresses(
            NetworkInterfaceId=eni["NetworkInterfaceId"], PrivateIpAddresses=[SPARE]
        )


def passes_ocf_tester(lab: Lab, node: str) -> None:
    """Run every action in every order that OCF asks for, with SPARE. The node must have xmllint."""
    since = time.monotonic()
    tester = ["ocf-tester", "-v", "-n", "spare", "-o", f"ec2_vip={SPARE}", AGENT]
    with spare_freed(lab):
        said = lab.run_in(node, tester, timeout_s=120).stdout
    assert f"{AGENT} passed all tests" in said
    calls = api_calls(lab, since)
    assert "AssignPrivateIpAddresses" in calls, "the tests ran, but EC2 heard nothing of them"
    assert "UnassignPrivateIpAddresses" in calls


def pacemaker_validates(lab: Lab, node: str) -> None:
    """Check that Pacemaker accepts the configured resource, and only addresses inside the subnet."""
    lab.run_in(node, ["crm_resource", "--validate", "--resource", "ec2vip"])
    words = ["crm_resource", "--validate", "--class", "ocf", "--provider", "heartbeat", "--agent", "ec2vip"]
    lab.run_in(node, [*words, "--option", f"ec2_vip={SPARE}"])
    with pytest.raises(CommandError) as refused:
        lab.run_in(node, [*words, "--option", "ec2_vip=192.0.2.1"])
    assert "192.0.2.1 is outside 10.0.250.0/24" in refused.value.stdout + refused.value.stderr


def its_metadata_are_shown(lab: Lab, node: str) -> None:
    """Check that Pacemaker shows the agent's metadata verbatim, and pcs its parameter and its monitor."""
    words = ["crm_resource", "--show-metadata", "ocf:heartbeat:ec2vip"]
    assert lab.run_in(node, words).stdout.strip() == ocf.META_DATA
    described = lab.run_in(node, ["pcs", "resource", "describe", "ocf:heartbeat:ec2vip"]).stdout
    assert "\n  ec2_vip (required)" in described, described
    # pcs 0.12 has both on one line.
    assert re.search(r"monitor:\s+interval=10s\s+timeout=60s", described), described
