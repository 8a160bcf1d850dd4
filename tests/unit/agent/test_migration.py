"""A planned move takes one call to EC2, and loses nothing if it stops half-way."""

from __future__ import annotations

import os

import pytest

from agent import outcome, rules

from .cloud import DENIED, THROTTLED, VIP
from .conftest import Node


def test_a_planned_move_is_one_call(a: Node, b: Node) -> None:
    a.act("start")
    assert a.act("migrate_to").code == outcome.SUCCESS
    assert (a.api.calls, a.imds.asked) == ([], [])
    assert b.act("migrate_from").code == outcome.SUCCESS
    assert b.api.calls == ["AssignPrivateIpAddresses"]
    assert a.act("stop").code == outcome.SUCCESS
    assert (a.api.calls, a.imds.asked) == ([], [])
    assert a.api.owners() == ["eni-b"]


def test_the_way_back_is_one_call_too(a: Node, b: Node) -> None:
    a.act("start")
    for old, new in ((a, b), (b, a), (a, b)):
        old.act("migrate_to")
        assert new.act("migrate_from").code == outcome.SUCCESS
        assert new.api.calls == ["AssignPrivateIpAddresses"]
        old.act("stop")
        assert (old.api.calls, old.api.owners()) == ([], [new.eni.id])


def test_a_stop_after_the_next_start_gives_the_vip_back_again(a: Node, b: Node) -> None:
    a.act("start")
    a.act("migrate_to")
    b.act("migrate_from")
    a.act("stop")
    a.act("start")
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.calls == ["UnassignPrivateIpAddresses"]
    assert a.api.owners() == []


@pytest.mark.parametrize("fault", [DENIED, THROTTLED], ids=["denied", "throttled"])
def test_where_the_peer_could_not_take_it_the_old_holder_starts_again(
    a: Node, b: Node, fault: tuple[int, str, str]
) -> None:
    """After a failed migrate_from, Pacemaker stops both, and starts the node without a failure."""
    a.act("start")
    a.act("migrate_to")
    a.api.faults["AssignPrivateIpAddresses"] = [fault]
    assert b.act("migrate_from").code in (outcome.ERR_PERM, outcome.ERR_GENERIC)
    a.api.faults.clear()
    assert (b.act("stop").code, a.act("stop").code) == (outcome.SUCCESS, outcome.SUCCESS)
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.owners() == ["eni-a"]
    a.act("stop")
    assert a.api.owners() == []


def test_a_peer_that_died_before_it_took_the_vip_leaves_it_where_it_is(a: Node) -> None:
    """Pacemaker then stops and starts the old holder; in EC2, the VIP stays."""
    a.act("start")
    a.act("migrate_to")
    a.act("stop")
    assert a.api.owners() == ["eni-a"]
    assert a.act("start").code == outcome.SUCCESS
    assert a.act("monitor").code == outcome.SUCCESS


def test_an_old_holder_that_died_in_between_is_no_hindrance(a: Node, b: Node) -> None:
    a.act("start")
    a.act("migrate_to")
    a.record.unlink()  # after a boot, /run is empty
    assert b.act("start").code == outcome.SUCCESS
    assert a.probe().code == outcome.NOT_RUNNING


def test_a_hand_over_that_nothing_came_of_is_forgotten_in_time(a: Node) -> None:
    a.act("start")
    a.act("migrate_to")
    a.earlier("handed", rules.HANDOVER_TIME)
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.owners() == []


def test_a_hand_over_is_good_for_as_long_as_the_peers_part_of_it_may_take() -> None:
    assert rules.BOUND["migrate_from"] + rules.LOAD_TIME < rules.HANDOVER_TIME


@pytest.mark.parametrize("look", ["monitor", "probe"])
def test_a_look_that_finds_the_vip_here_ends_the_hand_over(a: Node, look: str) -> None:
    """A cleanup during a move probes. A stop after that must give the VIP back."""
    a.act("start")
    a.act("migrate_to")
    assert (a.probe() if look == "probe" else a.act(look)).code == outcome.SUCCESS
    a.act("stop")
    assert a.api.owners() == []


def test_a_start_that_fails_ends_the_hand_over_too(a: Node) -> None:
    """EC2 may have carried out a call that it did not answer."""
    a.act("start")
    a.act("migrate_to")
    a.api.faults["AssignPrivateIpAddresses"] = [THROTTLED]
    assert a.act("start").code == outcome.ERR_GENERIC
    a.act("stop")
    assert a.api.owners() == []


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_without_a_record_of_the_hand_over_the_stop_asks_and_leaves_the_peer_alone(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.act("start")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)  # the record cannot be written
        assert a.act("migrate_to").code == outcome.SUCCESS
    b.act("migrate_from")
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.owners() == ["eni-b"]


def test_a_handed_over_vip_that_was_not_taken_is_found_by_the_next_probe(a: Node) -> None:
    """If the resource is disabled during a move, a later probe finds the VIP, and the cluster stops it."""
    a.act("start")
    a.act("migrate_to")
    a.act("stop")
    assert a.probe().code == outcome.SUCCESS
    a.act("stop")
    assert a.api.owners() == []


def test_a_record_from_before_the_hand_over_was_known_is_as_good_as_none(a: Node) -> None:
    a.act("start")
    a.record.write_text(a.record.read_text().replace("handed=0.0\n", ""))
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.owners(VIP) == ["eni-a"]
