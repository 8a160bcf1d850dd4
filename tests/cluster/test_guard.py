"""What a node mends by itself: a Pacemaker daemon that nobody restarts, and a VIP that it should not have."""

from __future__ import annotations

import time

from tests.cluster.hollow import eventually
from tests.cluster.scenario import Node, Scenario
from tests.lab.faults import Faults
from tests.lab.faults.addresses import has_address
from tests.lab.faults.machine import DAEMONS
from tests.lab.lab import Lab
from tests.lab.network_plan import GUEST_LINK

LIMIT_S = 90.0
COROSYNC_CONF = "/etc/corosync/corosync.conf"


def daemons(node: Node) -> dict[str, str]:
    """The node's Pacemaker processes: name → process id."""
    names = (daemon for daemon in DAEMONS if daemon.startswith("pacemaker"))
    return {name: number for name in names if (number := node.tries("pidof", name))}


def said(node: Node) -> str:
    """The guard's lines in the node's journal."""
    return node.run("journalctl", "--unit", "ec2vip-guard", "--output", "cat")


def test_a_daemon_that_nobody_starts_again_is_back_and_the_vip_stays(lab: Lab, scenario: Scenario) -> None:
    """A pacemakerd that believes Corosync is gone leaves a daemon dead. Here, a stopped one does the same."""
    holder = scenario.holder
    before = daemons(holder)
    holder.run("kill", "-STOP", before["pacemakerd"].strip())
    Faults(lab).kill(holder.instance_id, "pacemaker-fenced", restore=False)
    eventually(lambda: "pacemaker-fenced" not in daemons(holder), 10)
    eventually(lambda: set(daemons(holder)) == set(before), LIMIT_S, "a daemon is missing")
    after = daemons(holder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"pacemakerd", "pacemaker-fenced"}, "the other daemons go on as they were"
    scenario.becomes_whole()
    assert scenario.holder == holder
    assert "pacemaker-fenced does not run" in said(holder)


def test_a_vip_in_the_standbys_system_goes_and_the_holders_stays(lab: Lab, scenario: Scenario) -> None:
    """The holder stays untouched: its guard looks too, but its cluster runs the VIP there."""
    holder, standby, before = scenario.holder, scenario.other, said(scenario.holder)
    # Network tools add it with the subnet's prefix; IPaddr2 uses /32.
    standby.run("ip", "address", "add", f"{scenario.vip}/24", "dev", GUEST_LINK)
    eventually(lambda: not has_address(lab, standby.instance_id, scenario.vip), LIMIT_S, "a stray VIP stays")
    assert f"{scenario.vip} is in this system" in said(standby)
    assert has_address(lab, holder.instance_id, scenario.vip)
    assert said(holder) == before
    assert scenario.holder == holder


def test_a_vip_whose_resource_nobody_manages_is_a_persons_and_stays(lab: Lab, scenario: Scenario) -> None:
    """A person who moves the VIP by hand has told the cluster so; the guard does not undo it."""
    standby = scenario.other
    standby.run("crm_attribute", "--name", "maintenance-mode", "--update", "true")
    try:
        with Faults(lab).os_address_added(standby.instance_id, scenario.vip):
            time.sleep(LIMIT_S)
            assert has_address(lab, standby.instance_id, scenario.vip)
    finally:
        standby.run("crm_attribute", "--name", "maintenance-mode", "--delete")


def state(node: Node, unit: str) -> str:
    return node.run("systemctl", "show", "--value", "--property=ActiveState", unit).strip()


def test_pacemaker_comes_back_after_a_corosync_that_could_not_start(scenario: Scenario) -> None:
    """systemd gives up the start of Pacemaker that waits for Corosync, and would not try again."""
    standby = scenario.other
    standby.run("mv", COROSYNC_CONF, f"{COROSYNC_CONF}.kept")
    try:
        standby.run("sh", "-c", "kill -KILL $(pidof corosync)")
        eventually(
            lambda: state(standby, "pacemaker") in ("inactive", "failed"), LIMIT_S, "Pacemaker goes on"
        )
    finally:
        standby.run("mv", f"{COROSYNC_CONF}.kept", COROSYNC_CONF)
    scenario.becomes_whole()


def test_a_corosync_that_is_killed_at_each_start_leaves_a_whole_pair(scenario: Scenario) -> None:
    """We kill it more often than systemd's own limit of starts."""
    standby, pids = scenario.other, ["none"]

    def another_is_killed() -> bool:
        script = f'pid=$(pidof corosync) && [ "$pid" != "{pids[-1]}" ] && kill -KILL $pid && echo $pid'
        if said := standby.tries("sh", "-c", script):
            pids.append(said.strip())
        return said is not None

    for _ in range(7):
        eventually(another_is_killed, LIMIT_S, "Corosync is not started again")
    scenario.becomes_whole()
