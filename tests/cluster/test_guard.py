"""A daemon of Pacemaker's that nobody starts again: the node mends itself, and the VIP stays."""

from __future__ import annotations

from tests.cluster.hollow import eventually
from tests.cluster.story import Node, Story
from tests.lab.faults import Faults
from tests.lab.faults.machine import DAEMONS
from tests.lab.lab import Lab

LIMIT_S = 90.0


def daemons(node: Node) -> dict[str, str]:
    """Pacemaker's processes in the node, number by name."""
    names = (daemon for daemon in DAEMONS if daemon.startswith("pacemaker"))
    return {name: number for name in names if (number := node.tries("pidof", name))}


def test_a_daemon_that_nobody_starts_again_is_back_and_the_vip_stays(lab: Lab, story: Story) -> None:
    """pacemakerd that took Corosync for gone leaves it dead for good; here one that stands still does the same."""
    holder = story.holder
    before = daemons(holder)
    holder.run("kill", "-STOP", before["pacemakerd"].strip())
    Faults(lab).kill(holder.instance_id, "pacemaker-fenced", restore=False)
    eventually(lambda: "pacemaker-fenced" not in daemons(holder), 10)
    eventually(lambda: set(daemons(holder)) == set(before), LIMIT_S, "a daemon is missing")
    after = daemons(holder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"pacemakerd", "pacemaker-fenced"}, "the other daemons go on as they were"
    story.becomes_whole()
    assert story.holder == holder
    assert "pacemaker-fenced does not run" in holder.run(
        "journalctl", "--unit", "ec2vip-guard", "--output", "cat"
    )
