"""start: one call, and the right reaction to each refusal."""

from __future__ import annotations

import pytest

from agent import api, ec2, outcome, record, rules

from .cloud import DENIED, LONGER, THROTTLED, VIP, Fault
from .conftest import Node


def test_a_start_is_one_assign_and_nothing_else(a: Node) -> None:
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"]
    assert a.api.queries[-1]["AllowReassignment"] == "true"
    assert a.api.owners() == ["eni-a"]


def test_a_start_asks_imds_for_credentials_alone_where_the_node_has_been_asked_of_itself(a: Node) -> None:
    """Each request is time without the VIP."""
    a.act("monitor")  # Pacemaker's probe
    assert a.act("start").code == outcome.SUCCESS
    assert [path.rpartition("/")[2] for path in a.imds.asked] == ["token", "node"]


def test_a_start_with_another_role_than_before_is_that_roles(a: Node) -> None:
    a.act("monitor")
    a.imds.role = "another"
    assert a.act("start").code == outcome.SUCCESS
    assert a.imds.asked[-1].endswith("security-credentials/another")


def test_the_request_is_signed_for_ec2_in_the_nodes_region(a: Node) -> None:
    a.act("start")
    assert "/eu-west-1/ec2/aws4_request" in a.api.authorizations[-1]


def test_the_endpoint_is_the_regions_own() -> None:
    kept = record.Record("/nonexistent", VIP)
    kept.region, kept.domain = "cn-north-1", "amazonaws.com.cn"
    assert api.Api("ec2", kept, outcome.Deadline(1)).endpoint == "ec2.cn-north-1.amazonaws.com.cn"


def test_a_start_takes_the_vip_from_the_peer(a: Node, b: Node) -> None:
    a.act("start")
    assert b.act("start").code == outcome.SUCCESS
    assert b.api.owners() == ["eni-b"]


def test_a_start_calls_even_if_imds_shows_the_vip_here(a: Node, b: Node) -> None:
    b.act("start")
    a.imds.shown = [a.eni.primary, VIP]
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.owners() == ["eni-a"]


@pytest.mark.parametrize("refuses_own", [False, True])
def test_a_start_of_what_is_started_succeeds(a: Node, refuses_own: bool) -> None:
    a.act("start")
    a.api.refuses_own = refuses_own
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.owners() == ["eni-a"]


def test_a_full_interface_that_has_the_vip_already_is_a_success(a: Node) -> None:
    a.act("start")
    limit = "Number of private addresses will exceed limit."
    a.api.faults["AssignPrivateIpAddresses"] = [(400, "PrivateIpAddressLimitExceeded", limit)]
    assert a.act("start").code == outcome.SUCCESS


@pytest.mark.parametrize(
    "fault", [THROTTLED, (500, "InternalError", "An internal error has occurred"), (503, "Unavailable", "")]
)
def test_a_busy_ec2_is_asked_again(a: Node, fault: Fault) -> None:
    a.api.faults["AssignPrivateIpAddresses"] = [fault, fault, fault, (0, "", "")]
    # The last fault would stay, so we clear the faults at the third call.
    answer = a.api.answer

    def until_third(query: dict[str, str]) -> tuple[int, str]:
        if a.api.calls.count("AssignPrivateIpAddresses") == 2:
            a.api.faults.clear()
        return answer(query)

    a.api.answer = until_third  # type: ignore[method-assign]
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 3


def test_an_interface_that_ec2_does_not_know_yet_is_asked_for_again(a: Node) -> None:
    text = "The networkInterface ID 'eni-a' does not exist"
    a.api.faults["AssignPrivateIpAddresses"] = [(400, "InvalidNetworkInterfaceID.NotFound", text)]
    assert a.act("start").code == outcome.ERR_GENERIC
    assert len(a.api.calls) > 2


# (EC2's status, code, message) from AWS's documents and public issue threads, and what Pacemaker is told.
REFUSED: list[tuple[Fault, int, str]] = [
    (DENIED, outcome.ERR_PERM, "role"),
    ((403, "AccessDenied", "User: x is not authorized to perform: ec2:Assign"), outcome.ERR_PERM, "role"),
    ((401, "AuthFailure", "AWS was not able to validate the provided access"), outcome.ERR_PERM, "clock"),
    ((400, "RequestExpired", "Request has expired."), outcome.ERR_PERM, "clock"),
    ((403, "SignatureDoesNotMatch", "The request signature we calculated"), outcome.ERR_PERM, "clock"),
    ((403, "InvalidClientTokenId", "The security token is invalid"), outcome.ERR_PERM, "clock"),
    ((400, "ExpiredToken", "The security token has expired"), outcome.ERR_PERM, "clock"),
    (
        (400, "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."),
        outcome.ERR_ARGS,
        "instance type",
    ),
    ((400, "InvalidParameterValue", "secondary-addresses"), outcome.ERR_CONFIGURED, "primary"),
    (
        (400, "InvalidParameterValue", f"[{VIP}] assigned, but move is not allowed."),
        outcome.ERR_ARGS,
        "unassign",
    ),
    (
        (400, "InvalidParameterValue", "Address does not fall within the subnet's address range"),
        outcome.ERR_ARGS,
        "set ec2_vip",
    ),
    (
        (400, "InvalidParameterValue", "Address 10.0.250.1 is in subnet's reserved range."),
        outcome.ERR_CONFIGURED,
        "set ec2_vip",
    ),
    (
        (400, "InvalidParameterValue", "invalid value for parameter address: X"),
        outcome.ERR_CONFIGURED,
        "set ec2_vip",
    ),
    ((400, "SomethingNew", "never seen"), outcome.ERR_GENERIC, "SomethingNew: never seen"),
    (THROTTLED, outcome.ERR_GENERIC, "RequestLimitExceeded"),
]


@pytest.mark.parametrize(
    ("fault", "code", "remedy"), REFUSED, ids=[row[0][1] + row[0][2][:12] for row in REFUSED]
)
def test_each_refusal_has_its_code_and_a_remedy(a: Node, fault: Fault, code: int, remedy: str) -> None:
    a.act("start")
    a.act("stop")
    a.api.faults["AssignPrivateIpAddresses"] = [fault]
    result = a.act("start")
    assert result.code == code
    assert remedy in (result.said if fault == THROTTLED else result.reason)
    assert fault[1] in result.said
    assert not a.api.owners()


def test_every_row_of_the_table_is_tried_here() -> None:
    for name, piece, code, _ in ec2.REFUSALS:
        assert any(
            name in ("", fault[1]) and piece in fault[2] and code == expected
            for fault, expected, _ in REFUSED
        ), name


def test_another_interfaces_primary_is_never_taken(a: Node, b: Node) -> None:
    assert a.act("start", ec2_vip=b.eni.primary).code == outcome.ERR_CONFIGURED
    assert b.eni.primary in b.eni.addresses


def test_the_nodes_own_primary_is_refused_before_any_call(a: Node) -> None:
    result = a.act("start", ec2_vip=a.eni.primary)
    assert (result.code, a.api.calls) == (outcome.ERR_CONFIGURED, [])
    assert "primary" in result.reason


def test_an_address_outside_the_nodes_subnet_is_refused_before_any_call(a: Node) -> None:
    result = a.act("start", ec2_vip="10.0.9.1")
    assert (result.code, a.api.calls) == (outcome.ERR_ARGS, [])
    assert "10.0.9.1 is outside 10.0.250.0/24" in result.reason


def test_an_instance_without_a_role_is_told_to_get_one(a: Node) -> None:
    a.imds.role = None
    result = a.act("start")
    assert (result.code, a.api.calls) == (outcome.ERR_PERM, [])
    assert "instance profile" in result.reason


def test_an_address_that_holds_the_vips_text_is_another_address(a: Node) -> None:
    a.eni.secondary.append(LONGER)
    assert a.act("monitor").code == outcome.NOT_RUNNING
    a.act("start")
    assert a.act("stop").code == outcome.SUCCESS
    assert a.eni.secondary == [LONGER]


@pytest.mark.parametrize(
    "value", ["", "10.0.250", "10.0.250.018", "10.0.250.18/24", "fd00::1", " 10.0.250.18"]
)
@pytest.mark.parametrize("action", ["start", "monitor", "probe", "validate-all"])
def test_a_bad_address_is_named_with_its_rule(a: Node, action: str, value: str) -> None:
    result = a.act(action, ec2_vip=value)
    assert result.code == outcome.ERR_CONFIGURED
    assert f"ec2_vip {value!r} is not" in result.reason
    assert "set it" in result.reason
    assert not a.api.calls


def test_the_cluster_learns_who_took_it_last_in_the_background(a: Node) -> None:
    a.act("start")
    (words,) = a.spawned
    assert words[-1] == '<rsc_location id="ec2vip-taker" rsc="ec2vip" node="ec2vip-a" score="100"/>'
    assert words[2].startswith("sleep"), "Pacemaker would work its transition out anew in the middle"


def test_a_start_that_fails_tells_the_cluster_nothing(a: Node) -> None:
    a.act("start")
    a.spawned.clear()
    a.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    assert a.act("start").code == outcome.ERR_PERM
    assert not a.spawned


def test_a_start_succeeds_though_the_cluster_cannot_be_told(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no processes left")

    monkeypatch.setattr(a, "spawn", fail)
    assert a.act("start").code == outcome.SUCCESS


@pytest.mark.parametrize(
    ("members", "code"), [("1", outcome.SUCCESS), ("2", outcome.ERR_GENERIC), ("", outcome.ERR_GENERIC)]
)
@pytest.mark.parametrize("late", ["EC2", "IMDS"])
def test_only_the_last_node_goes_on_where_nothing_answers_in_time(
    a: Node, monkeypatch: pytest.MonkeyPatch, late: str, members: str, code: int
) -> None:
    """A peer may have better luck. Everything answers once the agent has asked Corosync for the members."""
    if late == "EC2":
        a.api.faults["AssignPrivateIpAddresses"] = [THROTTLED]
    else:
        a.imds.statuses["api/token"] = [503]

    def tell() -> tuple[str, str]:
        a.api.faults.clear()
        a.imds.statuses.clear()
        return members, "1.a"

    monkeypatch.setitem(rules.BOUND, "start", 0.7)
    monkeypatch.setattr(a, "membership", tell)
    assert a.act("start").code == code
    assert a.api.owners() == (["eni-a"] if code == outcome.SUCCESS else [])
