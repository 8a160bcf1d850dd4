"""In a partition that does not end, one node takes the VIP once; the other knows that it has lost it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import rules

from .clock import Clock
from .peers import FAILED, RUNNING, STOPPED, Peer, World, apart, pair, partition, together


@pytest.fixture
def peers(tmp_path: Path) -> tuple[World, Peer, Peer]:
    world, a, b = pair(tmp_path)
    assert a.act("start") == RUNNING
    world.moves.clear()
    apart(a, b)
    return world, a, b


def test_a_partition_costs_one_move(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    world, a, b = peers
    partition(a, b, clock, seconds=50 * 60)
    assert world.moves == ["eni-b"]


def test_a_holder_whose_imds_is_stale_does_not_fight_either(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    world, a, b = peers
    a.imds.old = True
    partition(a, b, clock, seconds=30 * 60)
    assert world.moves == ["eni-b"]
    assert a.act("stop") == RUNNING
    assert b.holds()


def test_after_the_partition_the_loser_takes_over_when_the_taker_dies(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("start") == FAILED
    together(a, b)
    a.ring, a.nodes = "1.4", "1"  # the taker has died, so the ring is new again
    assert a.act("start") == RUNNING
    assert a.holds()


def test_a_taker_that_gave_the_vip_up_is_no_hindrance(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    b.act("stop")
    assert a.act("start") == RUNNING


def test_a_cleanup_and_a_migration_override(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("migrate_from") == RUNNING
    b.act("monitor")
    clock.now += rules.SETTLE_TIME
    b.act("monitor")
    assert b.act("start") == FAILED
    b.act("probe")  # pcs resource cleanup makes the cluster probe
    assert b.act("start") == RUNNING


def test_a_loss_is_forgotten_once_the_vip_is_back(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("migrate_from") == RUNNING
    assert b.act("migrate_from") == RUNNING
    a.act("stop")
    assert a.act("start") == RUNNING


def test_a_taker_that_died_in_the_partition_does_not_keep_the_vip_for_good(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    clock.now += rules.LOST_HOLD + 1
    assert a.act("start") == RUNNING


def test_without_corosync_nothing_is_held_back(tmp_path: Path, clock: Clock) -> None:
    _, a, b = pair(tmp_path)
    a.ring = b.ring = a.nodes = b.nodes = ""
    a.act("start")
    clock.now += 60
    b.act("start")
    assert a.act("monitor") == STOPPED
    assert a.act("start") == RUNNING


def test_without_known_members_any_taker_may_be_the_peer(
    peers: tuple[World, Peer, Peer], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, a, b = peers
    monkeypatch.setattr(Peer, "members", lambda _: set())
    partition(a, b, clock, seconds=120)
    assert a.act("start") == FAILED
