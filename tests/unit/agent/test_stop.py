"""stop: gives the VIP back if it can, never takes it from the peer, and never delays the cluster."""

from __future__ import annotations

import pytest

from agent import outcome

from .cloud import DENIED, THROTTLED, Fault
from .conftest import Node


def test_a_stop_is_one_unassign(a: Node) -> None:
    a.act("start")
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.calls == ["UnassignPrivateIpAddresses"]
    assert a.api.owners() == []


def test_a_stop_of_what_is_stopped_succeeds(a: Node) -> None:
    assert a.act("stop").code == outcome.SUCCESS
    assert a.act("stop").code == outcome.SUCCESS


def test_a_stop_leaves_the_peers_vip_alone(a: Node, b: Node) -> None:
    a.act("start")
    b.act("start")
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.owners() == ["eni-b"]
    assert all(query.get("NetworkInterfaceId") != "eni-b" for query in a.api.queries[-2:])


def test_a_stop_never_unassigns_a_primary(a: Node) -> None:
    assert a.act("stop", ec2_vip=a.eni.primary).code == outcome.SUCCESS
    assert a.api.calls == []


@pytest.mark.parametrize("imds_down", [False, True])
@pytest.mark.parametrize("fault", [DENIED, THROTTLED, (400, "SomethingNew", "never seen")])
def test_a_stop_that_ec2_refuses_succeeds_and_says_so(a: Node, fault: Fault, imds_down: bool) -> None:
    a.act("start")
    a.api.faults["UnassignPrivateIpAddresses"] = [fault]
    if imds_down:
        a.imds.statuses[""] = [503]
    result = a.act("stop")
    assert result.code == outcome.SUCCESS
    assert "ERR: 10.0.250.18 may still be assigned here" in result.said
    assert fault[1] in result.said


def test_a_stop_without_imds_uses_what_start_has_kept(a: Node) -> None:
    a.act("start")
    a.imds.statuses[""] = [503]
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.calls == ["UnassignPrivateIpAddresses"]
    assert a.api.owners() == []


def test_a_stop_with_nothing_to_go_by_succeeds(a: Node) -> None:
    a.imds.statuses[""] = [503]
    result = a.act("stop")
    assert (result.code, a.api.calls) == (outcome.SUCCESS, [])
    assert "may still be assigned" in result.said


def test_expired_credentials_are_not_used(a: Node) -> None:
    a.imds.expires = "2020-01-01T00:00:00Z"
    a.act("start")
    a.imds.statuses[""] = [503]
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.calls == []


def test_what_is_kept_is_for_root_alone(a: Node) -> None:
    a.act("start")
    assert a.record.stat().st_mode & 0o777 == 0o600
    assert "hush" not in a.act("stop").said


def test_the_secret_is_in_no_log(a: Node) -> None:
    a.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    result = a.act("start")
    assert "hush" not in result.said
    assert "session" not in result.said
