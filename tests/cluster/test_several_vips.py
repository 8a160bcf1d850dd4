"""A pair with two VIPs and a service, in its own lab: what moves together, and what the client gets.

It runs Debian 13, and so Pacemaker 3 and pcs 0.12; most of the tier runs Debian 12.
"""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Iterator
from functools import partial

import pytest

from cloudinit.cib import IN_OS_META
from cloudinit.spec import Service
from tests.cluster import hollow
from tests.cluster.agent_tools import its_metadata_are_shown, pacemaker_validates
from tests.cluster.labs import own_lab, whole_pair
from tests.cluster.scenario import Node, Scenario
from tests.cluster.test_first_boot import spec
from tests.cluster.test_settings import bootstrap, tell
from tests.drill.clouds import Choice, lab_stack
from tests.drill.pair import Pair
from tests.lab.amis import image_of
from tests.lab.faults.addresses import has_address
from tests.lab.lab import Lab
from tests.lab.network_plan import GUEST_LINK

NAME = "vips-tests"
FIRST, SECOND = "10.0.250.185", "10.0.250.190"
# A failure counts for a minute. The cluster forgets it when it next looks, at most a minute later.
FORGOTTEN_LIMIT_S = 180.0
STRAY_LIMIT_S = 90.0
eventually = partial(hollow.eventually, pause_s=0.2)
SETTINGS = {
    "vip": None,
    "vips": [FIRST, SECOND],
    "instanceType": "t3.small",
    "services": [{"unit": "nginx", "packages": ["nginx-light"]}],
}


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab whose pair has two VIPs, and nginx behind the first one."""
    with own_lab(NAME) as lab:
        choice = Choice(platform="debian13")
        lab.up(images=[image_of(choice.ami_id)])
        choice.keep(lab)
        stack = lab_stack(lab)
        stack.configure(SETTINGS)
        stack.up("--skip-preview")
        yield lab


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Pair:
    return whole_pair(lab)


def owners(pair: Pair) -> set[str | None]:
    return {pair.holder(vip) for vip in pair.vips}


def serves(lab: Lab) -> bool:
    """Whether nginx answers a client's HTTP request to the first VIP."""
    words = [*lab.in_client(), "curl", "--silent", "--max-time", "1", "--noproxy", "*", f"http://{FIRST}/"]
    return "Welcome to nginx" in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def running(scenario: Scenario) -> list[Node]:
    """The nodes whose systemd says that nginx is up."""
    return [node for node in scenario.nodes if node.tries("systemctl", "is-active", "nginx.service")]


def test_both_vips_answer_and_one_node_has_them(lab: Lab, pair: Pair) -> None:
    assert pair.vips == [FIRST, SECOND]
    assert len(owners(pair)) == 1
    assert pair.answers()


def test_the_service_runs_where_the_vip_is_and_boots_nowhere_by_itself(scenario: Scenario) -> None:
    eventually(lambda: serves(scenario.lab), 30, "nginx answers at the VIP")
    assert running(scenario) == [scenario.holder]
    for node in scenario.nodes:
        assert node.tries("systemctl", "is-enabled", "nginx.service") is None


def test_the_holders_loss_of_power_takes_neither_vip_nor_the_service_from_the_client(
    scenario: Scenario,
) -> None:
    dead, survivor = scenario.holder, scenario.other
    cut = dead.power_off()
    scenario.client.sees(FIRST, within_s=30)
    scenario.client.sees(SECOND, within_s=30)
    eventually(lambda: serves(scenario.lab), 30, "nginx answers at the VIP")
    cut.undo()
    scenario.becomes_whole()
    assert owners(scenario.pair) == {survivor.instance_id}
    assert running(scenario) == [survivor]


def test_a_planned_move_takes_all_along(scenario: Scenario) -> None:
    """The service stops before the call that moves its VIP in EC2, and starts after it."""
    old, new, since = scenario.holder, scenario.other, time.monotonic()
    old.run("crm_standby", "--update", "on")
    try:
        eventually(lambda: owners(scenario.pair) == {new.instance_id}, 60, "both VIPs move")
        eventually(lambda: serves(scenario.lab), 30, "nginx answers at the VIP")
    finally:
        old.run("crm_standby", "--delete")
    scenario.becomes_whole()
    assert owners(scenario.pair) == {new.instance_id}
    assert running(scenario) == [new]
    moved = [
        (event["began"], event.t)
        for event in scenario.lab.timeline.read("api", since=since)
        if event["action"] == "AssignPrivateIpAddresses" and FIRST in event["parameters"].values()
    ]
    assert [done(scenario, old, "stop", since)] < [began for began, _ in moved]
    assert [ended for _, ended in moved] < [done(scenario, new, "start", since)]


def done(scenario: Scenario, node: Node, operation: str, since: float) -> float:
    """When the node had done the operation on nginx (time.monotonic). Pacemaker asks systemd every 2 s."""

    def moments() -> list[float]:
        return [
            event.t
            for event in scenario.lab.timeline.read("action", since=since)
            if (event["operation"], event["resource"]) == (operation, "nginx")
            and event["instance_id"] == node.instance_id
        ]

    eventually(lambda: bool(moments()), 30, f"{operation} of nginx is reported")
    (found,) = moments()
    return found


def test_one_vips_failure_leaves_the_other_where_it_is(scenario: Scenario) -> None:
    """The second VIP's system address fails as often as it may.

    That VIP moves alone, and comes back when the failures are forgotten.
    """
    holder = scenario.holder
    name = name_of(scenario, holder)
    for times in range(1, int(IN_OS_META["migration-threshold"]) + 1):
        fail(holder, "vip-2", name, times)
    eventually(
        lambda: scenario.pair.holder(SECOND) not in (None, holder.instance_id), 60, "the second VIP moves"
    )
    assert scenario.holder == holder
    scenario.client.sees(SECOND, within_s=30)
    assert running(scenario) == [holder]
    eventually(
        lambda: owners(scenario.pair) == {holder.instance_id}, FORGOTTEN_LIMIT_S, "both are together again"
    )


def test_a_service_that_dies_is_started_again_where_it_is(scenario: Scenario) -> None:
    holder = scenario.holder
    holder.run("systemctl", "kill", "--signal=KILL", "nginx.service")
    eventually(lambda: not serves(scenario.lab), 10, "nginx is gone")
    eventually(lambda: serves(scenario.lab), 60, "nginx answers again")
    assert scenario.holder == holder


def test_a_service_that_cannot_start_moves_the_vip(scenario: Scenario) -> None:
    """Its configuration is broken on the holder alone, so the other node serves."""
    broken = scenario.holder
    broken.run("sh", "-c", "echo nonsense >/etc/nginx/conf.d/broken.conf")
    try:
        broken.run("systemctl", "kill", "--signal=KILL", "nginx.service")
        eventually(lambda: scenario.pair.holder() not in (None, broken.instance_id), 60, "the VIP moves")
        eventually(lambda: serves(scenario.lab), 30, "nginx answers at the other node")
    finally:
        broken.run("rm", "/etc/nginx/conf.d/broken.conf")
        broken.run("crm_resource", "--cleanup", "--resource", "nginx")


def test_a_service_that_starts_nowhere_leaves_the_vip_answering_and_is_tried_again(
    scenario: Scenario,
) -> None:
    for node in scenario.nodes:
        node.run("sh", "-c", "echo nonsense >/etc/nginx/conf.d/broken.conf")
    try:
        scenario.holder.run("systemctl", "kill", "--signal=KILL", "nginx.service")
        eventually(lambda: len(failures(scenario)) == 2, 60, "the service has failed on both nodes")
        scenario.client.sees(FIRST, within_s=30)
        scenario.client.sees(SECOND, within_s=30)
    finally:
        for node in scenario.nodes:
            node.run("rm", "/etc/nginx/conf.d/broken.conf")
    eventually(lambda: serves(scenario.lab), FORGOTTEN_LIMIT_S, "nginx answers again by itself")


def test_a_vip_that_is_not_wanted_any_more_goes_with_one_push(scenario: Scenario) -> None:
    """It goes although the cluster still has the agent's notes of it."""
    first, holder = scenario.nodes[0], scenario.holder
    first.run("cp", "--archive", "/etc/ec2vip", "/root/told")
    services = (Service(name="nginx", agent="systemd:nginx", packages=("nginx-light",)),)
    tell(first, dataclasses.replace(spec(0), platform="debian13", services=services))
    try:
        bootstrap(first)
        eventually(lambda: scenario.pair.holder(SECOND) is None, 30, "nobody has the second VIP")
        assert not any(SECOND in (view.in_os or ()) for view in scenario.pair.nodes())
        assert scenario.holder == holder
        assert serves(scenario.lab)
    finally:
        first.run("cp", "--archive", "/root/told/.", "/etc/ec2vip")
        bootstrap(first)
    scenario.becomes_whole()


def name_of(scenario: Scenario, node: Node) -> str:
    return next(view.name for view in scenario.pair.nodes() if view.instance_id == node.instance_id)


def fail(node: Node, resource: str, name: str, times: int) -> None:
    """Make the resource fail on the node of that name, for the `times`th time in a row."""
    node.run("crm_resource", "--fail", "--resource", resource, "--node", name)
    eventually(lambda: failed(node, resource, name) == str(times), 30, "the failure is counted")


def failed(node: Node, resource: str, name: str) -> str:
    """How many failures of the resource count against the node of that name: a number, or INFINITY."""
    said = node.run("crm_failcount", "--query", "--resource", resource, "--node", name)
    return said.rpartition("value=")[2].strip()


def failures(scenario: Scenario) -> list[str]:
    """The names of the nodes against which a failure of nginx counts."""
    return [name for name in ("ec2vip-a", "ec2vip-b") if failed(scenario.nodes[0], "nginx", name) != "0"]


def test_pacemaker_3_and_pcs_0_12_know_the_agent(scenario: Scenario) -> None:
    """The same checks that test_agent_on_node.py makes on Debian 12."""
    node = scenario.other
    node.run("crm_resource", "--validate", "--resource", "ec2vip-2")
    pacemaker_validates(scenario.lab, node.instance_id)
    its_metadata_are_shown(scenario.lab, node.instance_id)


def test_a_stray_vip_goes_from_the_standbys_system_alone(scenario: Scenario) -> None:
    """The guard reads what Pacemaker 3's crm_mon says of each VIP."""
    holder, standby = scenario.holder, scenario.other
    standby.run("ip", "address", "add", f"{SECOND}/32", "dev", GUEST_LINK)
    eventually(lambda: not has_address(scenario.lab, standby.instance_id, SECOND), STRAY_LIMIT_S, "it stays")
    assert scenario.holder == holder
    assert all(has_address(scenario.lab, holder.instance_id, vip) for vip in (FIRST, SECOND))
