"""A thief outside the cluster: the node takes the VIP back, however often it is stolen."""

from __future__ import annotations

from pathlib import Path

from agent import rules

from .clock import Clock
from .peers import RUNNING, STOPPED, THIEF, pair


def test_a_thief_gets_it_as_often_as_it_likes_and_never_keeps_it(tmp_path: Path, clock: Clock) -> None:
    """It steals from each node in turn, with and without a peer; its address is no member's."""
    world, a, b = pair(tmp_path)
    for nodes in ("2", "1"):
        a.nodes = b.nodes = nodes
        for node in (a, b, a, b, b, a):
            assert node.act("start") == RUNNING
            clock.now += rules.SETTLE_TIME
            world.owner = THIEF
            assert node.act("monitor") == STOPPED
            assert node.act("stop") == RUNNING
            assert node.act("start") == RUNNING
            assert node.holds()
            node.act("stop")


def test_a_restart_after_a_theft_is_one_call(tmp_path: Path, clock: Clock) -> None:
    world, a, _ = pair(tmp_path)
    a.act("start")
    clock.now += rules.SETTLE_TIME
    world.owner = THIEF
    a.act("monitor")
    asked = world.asked
    assert (a.act("stop"), a.act("start")) == (RUNNING, RUNNING)
    assert world.asked == asked + 1
