"""start: one call, and the right answer to each refusal."""

from __future__ import annotations

import pytest

from agent import ec2vip

from .cloud import DENIED, LONGER, THROTTLED, VIP, Fault
from .conftest import Node


def test_a_start_is_one_assign_and_nothing_else(a: Node) -> None:
    assert a.act("start").code == ec2vip.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"]
    assert a.api.queries[-1]["AllowReassignment"] == "true"
    assert a.api.owners() == ["eni-a"]


def test_the_request_is_signed_for_ec2_in_the_nodes_region(a: Node) -> None:
    a.act("start")
    assert "/eu-west-1/ec2/aws4_request" in a.api.authorizations[-1]
    a.act("start", region="us-east-2")
    assert "/us-east-2/ec2/aws4_request" in a.api.authorizations[-1]


def test_the_endpoint_is_by_default_the_regions_own() -> None:
    record = ec2vip.Record("/nonexistent", VIP)
    record.identity = {"eni": "eni-a", "region": "cn-north-1", "domain": "amazonaws.com.cn"}
    record.credentials = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c"}
    given = {"api_timeout": "5", "endpoint": "", "region": ""}
    made = ec2vip.Ec2(record, ec2vip.Deadline(1), given)
    assert made.endpoint == "https://ec2.cn-north-1.amazonaws.com.cn"


def test_a_start_takes_the_vip_from_the_peer(a: Node, b: Node) -> None:
    a.act("start")
    assert b.act("start").code == ec2vip.SUCCESS
    assert b.api.owners() == ["eni-b"]


def test_a_start_calls_even_if_imds_shows_the_vip_here(a: Node, b: Node) -> None:
    b.act("start")
    a.imds.shown = [a.eni.primary, VIP]
    assert a.act("start").code == ec2vip.SUCCESS
    assert a.api.owners() == ["eni-a"]


@pytest.mark.parametrize("refuses_own", [False, True])
def test_a_start_of_what_is_started_succeeds(a: Node, refuses_own: bool) -> None:
    a.act("start")
    a.api.refuses_own = refuses_own
    assert a.act("start").code == ec2vip.SUCCESS
    assert a.api.owners() == ["eni-a"]


def test_a_full_interface_that_has_the_vip_already_is_a_success(a: Node) -> None:
    a.act("start")
    limit = "Number of private addresses will exceed limit."
    a.api.faults["AssignPrivateIpAddresses"] = [(400, "PrivateIpAddressLimitExceeded", limit)]
    assert a.act("start").code == ec2vip.SUCCESS


@pytest.mark.parametrize(
    "fault", [THROTTLED, (500, "InternalError", "An internal error has occurred"), (503, "Unavailable", "")]
)
def test_a_busy_ec2_is_asked_again(a: Node, fault: Fault) -> None:
    a.api.faults["AssignPrivateIpAddresses"] = [fault, fault, fault, (0, "", "")]
    # The last fault stays: it is taken off by the count of calls below.
    answer = a.api.answer

    def until_third(query: dict[str, str]) -> tuple[int, str]:
        if a.api.calls.count("AssignPrivateIpAddresses") == 2:
            a.api.faults.clear()
        return answer(query)

    a.api.answer = until_third  # type: ignore[method-assign]
    assert a.act("start").code == ec2vip.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 3


def test_an_interface_that_ec2_does_not_know_yet_is_asked_for_again(a: Node) -> None:
    text = "The networkInterface ID 'eni-a' does not exist"
    a.api.faults["AssignPrivateIpAddresses"] = [(400, "InvalidNetworkInterfaceID.NotFound", text)]
    assert a.act("start").code == ec2vip.ERR_GENERIC
    assert len(a.api.calls) > 2


# (EC2's status, code, message) as in AWS's documents and public issue threads, and what Pacemaker is told.
REFUSED: list[tuple[Fault, int, str]] = [
    (DENIED, ec2vip.ERR_PERM, "role"),
    ((403, "AccessDenied", "User: x is not authorized to perform: ec2:Assign"), ec2vip.ERR_PERM, "role"),
    ((401, "AuthFailure", "AWS was not able to validate the provided access"), ec2vip.ERR_PERM, "clock"),
    ((400, "RequestExpired", "Request has expired."), ec2vip.ERR_PERM, "clock"),
    ((403, "SignatureDoesNotMatch", "The request signature we calculated"), ec2vip.ERR_PERM, "clock"),
    ((403, "InvalidClientTokenId", "The security token is invalid"), ec2vip.ERR_PERM, "clock"),
    ((400, "ExpiredToken", "The security token has expired"), ec2vip.ERR_PERM, "clock"),
    (
        (400, "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."),
        ec2vip.ERR_ARGS,
        "instance type",
    ),
    ((400, "InvalidParameterValue", "secondary-addresses"), ec2vip.ERR_CONFIGURED, "primary"),
    (
        (400, "InvalidParameterValue", f"[{VIP}] assigned, but move is not allowed."),
        ec2vip.ERR_ARGS,
        "unassign",
    ),
    (
        (400, "InvalidParameterValue", "Address does not fall within the subnet's address range"),
        ec2vip.ERR_ARGS,
        "set ec2_vip",
    ),
    (
        (400, "InvalidParameterValue", "Address 10.0.250.1 is in subnet's reserved range."),
        ec2vip.ERR_CONFIGURED,
        "set ec2_vip",
    ),
    (
        (400, "InvalidParameterValue", "invalid value for parameter address: X"),
        ec2vip.ERR_CONFIGURED,
        "set ec2_vip",
    ),
    ((400, "SomethingNew", "never seen"), ec2vip.ERR_GENERIC, "SomethingNew: never seen"),
    (THROTTLED, ec2vip.ERR_GENERIC, "RequestLimitExceeded"),
]


@pytest.mark.parametrize(
    ("fault", "code", "remedy"), REFUSED, ids=[row[0][1] + row[0][2][:12] for row in REFUSED]
)
def test_each_refusal_has_its_code_and_a_remedy(a: Node, fault: Fault, code: int, remedy: str) -> None:
    a.api.faults["AssignPrivateIpAddresses"] = [fault]
    result = a.act("start")
    assert result.code == code
    assert remedy in (result.stderr if fault == THROTTLED else result.reason)
    assert fault[1] in result.stderr
    assert not a.api.owners()


def test_every_row_of_the_table_is_tried_here() -> None:
    for name, piece, code, _ in ec2vip.REFUSALS:
        assert any(
            name in ("", fault[1]) and piece in fault[2] and code == expected
            for fault, expected, _ in REFUSED
        ), name


def test_another_interfaces_primary_is_never_taken(a: Node, b: Node) -> None:
    assert a.act("start", ec2_vip=b.eni.primary).code == ec2vip.ERR_CONFIGURED
    assert b.eni.primary in b.eni.addresses


def test_the_nodes_own_primary_is_refused_before_any_call(a: Node) -> None:
    result = a.act("start", ec2_vip=a.eni.primary)
    assert (result.code, a.api.calls) == (ec2vip.ERR_CONFIGURED, [])
    assert "primary" in result.reason


def test_an_address_outside_the_nodes_subnet_is_refused_before_any_call(a: Node) -> None:
    result = a.act("start", ec2_vip="10.0.9.1")
    assert (result.code, a.api.calls) == (ec2vip.ERR_ARGS, [])
    assert "10.0.9.1 is outside 10.0.250.0/24" in result.reason


def test_an_instance_without_a_role_is_told_to_get_one(a: Node) -> None:
    a.imds.role = None
    result = a.act("start")
    assert (result.code, a.api.calls) == (ec2vip.ERR_PERM, [])
    assert "instance profile" in result.reason


def test_a_missing_botocore_is_named(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "botocore.auth", None)
    result = a.act("start")
    assert result.code == ec2vip.ERR_INSTALLED
    assert "python3-botocore" in result.reason
    assert a.act("validate-all").code == ec2vip.ERR_INSTALLED
    assert a.act("stop").code == ec2vip.SUCCESS


def test_the_interface_is_the_one_that_the_cluster_names(
    a: Node, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = a.api.enis.setdefault("eni-a2", type(a.eni)("eni-a2", "10.0.250.20"))
    a.imds.others["02:00:00:00:00:02"] = second
    real_open = open

    def fake_open(path: str, *rest: object) -> object:
        if path == "/sys/class/net/ens6/address":
            __import__("pathlib").Path(f"{tmp_path}/mac").write_text("02:00:00:00:00:02\n")
            path = f"{tmp_path}/mac"
        return real_open(path, *rest)  # type: ignore[call-overload]

    monkeypatch.setattr(ec2vip, "open", fake_open, raising=False)
    assert a.act("start", interface="ens6").code == ec2vip.SUCCESS
    assert a.api.owners() == ["eni-a2"]
    assert a.act("monitor", interface="ens6").code == ec2vip.SUCCESS
    assert not a.api.calls
    assert a.act("start", interface="ens6", ec2_vip="10.0.250.20").code == ec2vip.ERR_CONFIGURED
    missing = a.act("start", interface="ens9")
    assert missing.code == ec2vip.ERR_ARGS
    assert "ip link" in missing.reason


def test_an_address_that_holds_the_vips_text_is_another_address(a: Node) -> None:
    a.eni.secondary.append(LONGER)
    assert a.act("monitor").code == ec2vip.NOT_RUNNING
    a.act("start")
    assert a.act("stop").code == ec2vip.SUCCESS
    assert a.eni.secondary == [LONGER]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ec2_vip", ""),
        ("ec2_vip", "10.0.250"),
        ("ec2_vip", "10.0.250.018"),
        ("ec2_vip", "10.0.250.18/24"),
        ("ec2_vip", "fd00::1"),
        ("interface", "../../etc"),
        ("endpoint", "http://ec2.eu-west-1.amazonaws.com"),
        ("api_timeout", "0"),
        ("api_timeout", "soon"),
        ("api_timeout", "60"),
    ],
)
@pytest.mark.parametrize("action", ["start", "stop", "monitor", "validate-all"])
def test_a_bad_parameter_is_named_with_its_rule(a: Node, action: str, name: str, value: str) -> None:
    result = a.act(action, parameters={name: value})
    assert result.code == ec2vip.ERR_CONFIGURED
    assert f"{name} {value!r} is not" in result.reason
    assert "set it" in result.reason
    assert not a.api.calls


def test_the_cluster_learns_who_took_it_last_in_the_background(
    a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[list[str]] = []
    monkeypatch.setattr("os.posix_spawn", lambda path, words, env, file_actions: spawned.append(words))
    a.act("start", CRM_meta_on_node="ec2vip-a")
    (words,) = spawned
    assert words[-1] == '<rsc_location id="vip-ec2-taker" rsc="vip-ec2" node="ec2vip-a" score="100"/>'
    assert words[2].startswith("sleep"), "Pacemaker would work its transition out anew in the middle"


def test_a_start_that_fails_tells_the_cluster_nothing(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.posix_spawn", lambda *_, **__: pytest.fail("spawned"))
    a.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    assert a.act("start", CRM_meta_on_node="ec2vip-a").code == ec2vip.ERR_PERM


def test_a_start_succeeds_though_the_cluster_cannot_be_told(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no processes left")

    monkeypatch.setattr("os.posix_spawn", fail)
    assert a.act("start", CRM_meta_on_node="ec2vip-a").code == ec2vip.SUCCESS


@pytest.mark.parametrize(
    ("members", "code"), [("1", ec2vip.SUCCESS), ("2", ec2vip.ERR_GENERIC), ("", ec2vip.ERR_GENERIC)]
)
@pytest.mark.parametrize("late", ["EC2", "IMDS"])
def test_only_the_last_node_goes_on_where_nothing_answers_in_time(
    a: Node, monkeypatch: pytest.MonkeyPatch, late: str, members: str, code: int
) -> None:
    """A peer may have better luck. It all answers from the moment on that Corosync is asked who else is there."""
    if late == "EC2":
        a.api.faults["AssignPrivateIpAddresses"] = [THROTTLED]
    else:
        a.imds.statuses["api/token"] = [503]

    def tell(item: str) -> str:
        assert item == "Nodes"
        a.api.faults.clear()
        a.imds.statuses.clear()
        return members

    monkeypatch.setitem(ec2vip.BOUND, "start", 0.7)
    monkeypatch.setattr(a, "quorum", tell)
    assert a.act("start").code == code
    assert a.api.owners() == (["eni-a"] if code == ec2vip.SUCCESS else [])
