"""Planned moves: each is one call to EC2, and leaves one holder even if it stops half-way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.bench.subjects.subject import GROUP
from tests.cluster.hollow import eventually
from tests.cluster.scenario import Node, Scenario
from tests.lab.faults import Faults
from tests.lab.lab import Lab

MUTATING = ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")
MOVE_LIMIT_S = 60.0
IPADDR2 = "/usr/lib/ocf/resource.d/heartbeat/IPaddr2"
SETTLED = ("crm_resource", "--wait", "--timeout=60s")
"""Returns when the cluster has nothing left to do."""


def changes(lab: Lab, since: float) -> list[tuple[str, str]]:
    """The calls of the nodes after `since` that change something, with EC2's answers."""
    events = lab.timeline.read("api", since=since)
    return [(event["action"], event["code"]) for event in events if event["action"] in MUTATING]


def tell_to_move(node: Node) -> None:
    node.run("crm_resource", "--move", "--resource", GROUP)


def forget_the_move(node: Node) -> None:
    node.run("crm_resource", "--clear", "--resource", GROUP)


def nothing(node: Node) -> None:
    """Do nothing: the node comes back by itself."""


@dataclass(frozen=True)
class Wanted:
    """A planned move, and what makes the old holder a member again."""

    name: str
    begin: Callable[[Node], object]
    undo: Callable[[Node], object]


MOVES = (
    Wanted("planned move", tell_to_move, forget_the_move),
    Wanted(
        "standby",
        lambda node: node.run("crm_standby", "--update", "on"),
        lambda node: node.run("crm_standby", "--delete"),
    ),
    Wanted(
        "stop of Pacemaker",
        lambda node: node.run("systemctl", "stop", "pacemaker"),
        lambda node: node.run("systemctl", "start", "pacemaker"),
    ),
    Wanted(
        "reboot",
        lambda node: node.lab.client().reboot_instances(InstanceIds=[node.instance_id]),
        nothing,
    ),
)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_a_wanted_move_is_one_call(scenario: Scenario, lab: Lab, move: Wanted) -> None:
    holder, since = scenario.holder, time.monotonic()
    move.begin(holder)
    new = scenario.pair.wait_for_holder_other_than(holder.instance_id, MOVE_LIMIT_S)
    Node(new, lab).run(*SETTLED)
    move.undo(holder)
    scenario.becomes_whole()
    assert changes(lab, since) == [("AssignPrivateIpAddresses", "OK")]
    assert scenario.holder == Node(new, lab)


def test_a_move_that_the_peer_cannot_make_leaves_the_vip_with_the_old_holder(
    scenario: Scenario, lab: Lab
) -> None:
    """migrate_from fails there. The cluster then stops both and starts where no failure counts."""
    holder, other, since = scenario.holder, scenario.other, time.monotonic()
    with Faults(lab).api(other.instance_id, "denied"):
        tell_to_move(holder)
        refused_by(lab, other, since)
        holder.run(*SETTLED)
        forget_the_move(holder)
        scenario.becomes_whole()
        assert scenario.holder == holder
    other.run("crm_resource", "--cleanup")
    scenario.becomes_whole()
    assert scenario.holder == holder


def refused_by(lab: Lab, node: Node, since: float) -> None:
    """Wait until the node has asked EC2 for a change; the fault has EC2 refuse it."""
    eventually(
        lambda: any(
            event["action"] in MUTATING and event.get("instance_id") == node.instance_id
            for event in lab.timeline.read("api", since=since)
        ),
        MOVE_LIMIT_S,
        "the node asks for the VIP",
        pause_s=0.05,
    )


@pytest.mark.parametrize("who", ["the new holder", "the old holder"])
def test_a_node_that_dies_in_the_middle_of_a_move_leaves_one_holder(
    scenario: Scenario, lab: Lab, who: str
) -> None:
    """It dies after migrate_to, while the peer's call hangs: EC2 has not moved the VIP yet."""
    holder, other, since = scenario.holder, scenario.other, time.monotonic()
    victim, survivor = (other, holder) if who == "the new holder" else (holder, other)
    with Faults(lab).api(other.instance_id, "slow", seconds=3.0):
        tell_to_move(holder)
        handed_over(lab, holder, since)
        loss = victim.power_off()
    # Until we forget the move, the cluster bars the old holder.
    forget_the_move(survivor)
    scenario.client.sees(scenario.vip, within_s=MOVE_LIMIT_S)
    assert scenario.holder == survivor
    loss.undo()
    scenario.becomes_whole()
    assert scenario.holder == survivor


def handed_over(lab: Lab, node: Node, since: float) -> None:
    """Wait until the node's migrate_to is done."""
    eventually(
        lambda: any(
            event["operation"] == "migrate_to" and event["instance_id"] == node.instance_id
            for event in lab.timeline.read("action", since=since)
        ),
        MOVE_LIMIT_S,
        "the move begins",
    )


def test_the_address_that_goes_in_the_holders_system_comes_back_there_without_a_call(
    scenario: Scenario, lab: Lab
) -> None:
    """Only the system's part fails. The cluster starts it again in place, and EC2's part stays."""
    holder, since = scenario.holder, time.monotonic()
    with Faults(lab).os_address_deleted(holder.instance_id, scenario.vip):
        scenario.client.sees(scenario.vip, within_s=MOVE_LIMIT_S)
    assert changes(lab, since) == []
    holder.run("crm_resource", "--cleanup")
    scenario.becomes_whole()
    assert scenario.holder == holder


def test_a_system_that_keeps_the_address_does_not_keep_the_vip(scenario: Scenario, lab: Lab) -> None:
    """IPaddr2's stop fails on the old holder.

    The address that stays there gets no packet, and goes when the failure ends.
    """
    holder = scenario.holder
    holder.run("cp", "--preserve", IPADDR2, f"{IPADDR2}.whole")
    try:
        holder.run("sed", "--in-place", '2i [ "$1" != stop ] || exit 1', IPADDR2)
        tell_to_move(holder)
        new = Node(scenario.pair.wait_for_holder_other_than(holder.instance_id, MOVE_LIMIT_S), lab)
        new.run(*SETTLED)
        forget_the_move(holder)
        scenario.client.sees(scenario.vip, within_s=MOVE_LIMIT_S)
        assert f" {scenario.vip}/" in holder.run("ip", "-brief", "-4", "address")
    finally:
        holder.run("mv", f"{IPADDR2}.whole", IPADDR2)
    holder.run("crm_resource", "--cleanup")
    scenario.becomes_whole()
    assert scenario.holder == new
