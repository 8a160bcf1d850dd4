"""monitor: makes no API call while nothing happens, and is never wrong about who has the VIP."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from agent import metadata, outcome, rules

from .clock import PATIENCE, SHORT, Exchanges
from .cloud import DENIED, LONGER, THROTTLED, VIP, Fault, envelope
from .conftest import Node
from .test_migration import full


@pytest.fixture
def silence(a: Node, exchanges: Exchanges) -> Iterator[None]:
    """The API accepts requests but does not answer."""
    a.api.silent = threading.Event()
    exchanges.heard = lambda: bool(a.api.calls)
    yield
    a.api.silent.set()


def imds_patience(fault: str) -> float:
    """Real seconds for an exchange with IMDS; short if the fault delays the answer, which must not arrive."""
    return SHORT if {"delay", "trickle"} & set(IMDS_FAULTS[fault]) else PATIENCE


def settled(node: Node) -> None:
    """Let SETTLE_TIME go by: until then, EC2's own answers may be from before the start."""
    node.earlier("since", rules.SETTLE_TIME)


def test_a_holders_monitor_asks_imds_alone(a: Node) -> None:
    a.act("start")
    for _ in range(3):
        assert a.act("monitor").code == outcome.SUCCESS
        assert a.api.calls == []
        assert len(a.imds.asked) == 2  # token, local-ipv4s


def test_a_vip_that_imds_does_not_show_yet_is_confirmed_by_the_api(a: Node) -> None:
    a.act("start")
    a.imds.shown = [a.eni.primary]
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.calls == ["DescribeNetworkInterfaces"]
    settled(a)
    assert a.act("monitor").code == outcome.SUCCESS


def test_a_vip_that_is_nowhere_is_not_running(a: Node) -> None:
    a.act("start")
    settled(a)
    a.eni.secondary.clear()
    assert a.act("monitor").code == outcome.NOT_RUNNING


def test_a_vip_that_the_peer_has_is_not_running(a: Node, b: Node) -> None:
    a.act("start")
    settled(a)
    b.act("start")
    assert a.act("monitor").code == outcome.NOT_RUNNING
    assert b.act("monitor").code == outcome.SUCCESS


def test_just_after_a_start_an_api_that_lags_is_no_loss(a: Node) -> None:
    a.act("start")
    a.eni.secondary.clear()
    assert a.act("monitor").code == outcome.SUCCESS
    settled(a)
    assert a.act("monitor").code == outcome.NOT_RUNNING


def test_a_stopped_node_does_not_trust_an_imds_that_still_shows_the_vip(a: Node) -> None:
    a.act("start")
    a.act("stop")
    a.imds.shown = [a.eni.primary, VIP]
    assert a.act("monitor").code == outcome.NOT_RUNNING


def test_a_primary_address_is_not_taken_for_the_vip(a: Node) -> None:
    result = a.act("monitor", ec2_vip=a.eni.primary)
    assert result.code == outcome.ERR_CONFIGURED
    assert "primary" in result.reason


def test_the_answer_may_be_on_a_later_page(a: Node) -> None:
    a.act("start")
    a.imds.shown = [a.eni.primary]
    a.api.page_size = 3
    assert a.act("monitor").code == outcome.SUCCESS
    assert len(a.api.calls) == 3


def test_pages_without_end_are_no_answer(a: Node) -> None:
    a.act("start")
    a.imds.shown = [a.eni.primary]
    a.api.page_size = 10**6
    assert a.act("monitor").code == outcome.SUCCESS
    assert len(a.api.calls) > 3


@pytest.mark.parametrize(
    "fault",
    [THROTTLED, DENIED, (500, "InternalError", ""), (400, "SomethingNew", "")],
    ids=lambda fault: fault[1],
)
def test_an_api_error_is_not_the_absence_of_the_vip(a: Node, fault: Fault) -> None:
    a.act("start")
    settled(a)
    a.imds.shown = [a.eni.primary]
    a.api.faults["DescribeNetworkInterfaces"] = [fault]
    result = a.act("monitor")
    assert result.code == outcome.SUCCESS
    assert fault[1] in result.said
    assert "WARNING: unknown (1 of 3)" in result.said


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"<html/>", b"\xff\xfe"], ids=["empty", "cut", "alien", "garbage"]
)
def test_an_answer_that_is_none_is_not_the_absence_of_the_vip(a: Node, raw: bytes) -> None:
    a.act("start")
    settled(a)
    a.imds.shown = [a.eni.primary]
    a.api.raw = raw
    assert a.act("monitor").code == outcome.SUCCESS


@pytest.mark.parametrize(
    ("action", "empty", "code"),
    [
        ("DescribeNetworkInterfaces", "<networkInterfaceSet/>", outcome.NOT_RUNNING),
        ("DescribeInstances", "<reservationSet/>", outcome.SUCCESS),
    ],
)
def test_an_empty_set_is_an_answer_if_it_is_of_interfaces(
    a: Node, action: str, empty: str, code: int
) -> None:
    """With filters, EC2 answers "nobody has the VIP" with a success without items."""
    a.act("start")
    settled(a)
    a.imds.shown = [a.eni.primary]
    a.api.raw = envelope(action, empty).encode()
    assert a.act("monitor").code == code


def test_a_silent_api_is_not_the_absence_of_the_vip(a: Node, silence: None) -> None:
    assert a.act("start").code == outcome.ERR_GENERIC
    assert a.act("monitor").code == outcome.SUCCESS  # IMDS shows that EC2 did carry out the call


def test_an_api_that_trickles_is_cut_off(a: Node, exchanges: Exchanges) -> None:
    a.api.trickle, exchanges.api_s = True, SHORT
    assert a.act("start").code == outcome.ERR_GENERIC


def test_a_name_that_does_not_resolve_is_not_the_absence_of_the_vip(
    a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.act("start")
    settled(a)
    a.imds.shown = [a.eni.primary]
    real = socket.getaddrinfo

    def fails(host: str, *rest: object, **more: object) -> object:
        if host == "localhost":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    result = a.act("monitor")
    assert result.code == outcome.SUCCESS
    assert "name resolution" in result.said


def test_a_name_look_up_that_hangs_is_left_behind(
    a: Node, monkeypatch: pytest.MonkeyPatch, exchanges: Exchanges
) -> None:
    exchanges.api_s = SHORT
    done = threading.Event()
    real = socket.getaddrinfo

    def hangs(host: str, *rest: object, **more: object) -> object:
        if host == "localhost":
            done.wait(60)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    result = a.act("start")
    done.set()
    assert result.code == outcome.ERR_GENERIC
    assert "nothing within" in result.reason


def test_a_server_that_nobody_vouches_for_is_not_spoken_to(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    result = a.act("start")
    assert result.code == outcome.ERR_GENERIC
    assert "CERTIFICATE_VERIFY_FAILED" in result.said
    assert a.api.calls == []


IMDS_FAULTS: dict[str, dict[str, object]] = {
    "401 always": {"statuses": {"local-ipv4s": [401]}},
    "404": {"statuses": {"local-ipv4s": [404]}},
    "403, switched off": {"statuses": {"": [403]}},
    "503": {"statuses": {"": [503]}},
    "slow token": {"delay": {"api/token": 1.0}},
    "slow list": {"delay": {"local-ipv4s": 1.0}},
    "nothing in the list": {"bodies": {"local-ipv4s": b""}},
    "no address in the list": {"bodies": {"local-ipv4s": b"<html>sorry</html>"}},
    "trickle": {"trickle": True},
}


@pytest.mark.parametrize("fault", IMDS_FAULTS)
def test_with_imds_out_of_order_the_api_tells(a: Node, b: Node, fault: str, exchanges: Exchanges) -> None:
    a.act("start")
    settled(a)
    for name, value in IMDS_FAULTS[fault].items():
        setattr(a.imds, name, value)
    exchanges.imds_s = imds_patience(fault)
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.calls == ["DescribeNetworkInterfaces"]
    exchanges.imds_s = PATIENCE
    b.act("start")
    exchanges.imds_s = imds_patience(fault)
    assert a.act("monitor").code == outcome.NOT_RUNNING


@pytest.mark.parametrize("fault", IMDS_FAULTS)
def test_with_imds_and_the_api_out_of_order_what_was_known_stands_for_a_while(
    a: Node, fault: str, exchanges: Exchanges
) -> None:
    a.act("start")
    settled(a)
    a.api.faults["DescribeNetworkInterfaces"] = [DENIED]
    for name, value in IMDS_FAULTS[fault].items():
        setattr(a.imds, name, value)
    exchanges.imds_s = imds_patience(fault)
    codes = [a.act("monitor").code for _ in range(rules.UNKNOWN_LIMIT + 1)]
    assert codes == [outcome.SUCCESS] * (rules.UNKNOWN_LIMIT - 1) + [outcome.ERR_GENERIC] * 2


def test_one_answer_starts_the_count_anew(a: Node) -> None:
    a.act("start")
    a.api.faults["DescribeNetworkInterfaces"] = [DENIED]
    for _ in range(3):
        a.imds.statuses[""] = [503]
        codes = [a.act("monitor").code for _ in range(rules.UNKNOWN_LIMIT - 1)]
        a.imds.statuses.clear()
        assert {*codes, a.act("monitor").code} == {outcome.SUCCESS}


def test_without_a_record_and_without_an_answer_it_is_an_error_and_not_absence(a: Node) -> None:
    a.imds.statuses[""] = [503]
    result = a.act("monitor")
    assert result.code == outcome.ERR_GENERIC
    assert "neither IMDS nor EC2" in result.reason


def test_imds_alone_does_not_make_a_running_vip_absent(a: Node) -> None:
    a.api.faults["DescribeNetworkInterfaces"] = [THROTTLED]
    assert a.act("monitor").code == outcome.ERR_GENERIC
    a.eni.secondary.append(VIP)
    assert a.act("monitor").code == outcome.SUCCESS


def test_no_count_can_be_kept_is_an_error_at_once(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    a.act("start")
    settled(a)
    a.imds.shown = [a.eni.primary]
    a.api.faults["DescribeNetworkInterfaces"] = [DENIED]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert a.act("monitor").code == outcome.ERR_GENERIC


def test_a_token_that_expires_is_renewed(a: Node) -> None:
    a.imds.token_uses = 2
    assert a.act("start").code == outcome.SUCCESS
    assert a.imds.tokens > 1


def test_imds_is_tried_again(a: Node) -> None:
    a.imds.statuses = {"api/token": [503, 200], "local-ipv4s": [503, 500, 200]}
    a.act("start")
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.calls == []


def test_no_route_to_imds_is_no_answer(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    a.act("start")
    settled(a)

    def no_route(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", no_route)
        patch.setattr(metadata, "exchange", no_route)
        # The API is on the same network.
        assert a.act("monitor").code == outcome.SUCCESS
        result = a.act("start")
    assert result.code == outcome.ERR_GENERIC


def test_a_list_that_is_cut_short_is_no_list(a: Node, b: Node) -> None:
    a.act("start")
    settled(a)
    b.act("start")
    a.eni.secondary.append(LONGER)
    a.imds.cut = "local-ipv4s"  # without its last character, LONGER looks like the VIP
    assert a.act("monitor").code == outcome.NOT_RUNNING


def test_a_primary_that_holds_the_vips_text_is_another_address(a: Node) -> None:
    a.eni.primary = LONGER
    a.act("start")
    a.imds.shown = [LONGER]
    assert a.act("monitor").code == outcome.SUCCESS


def test_credentials_are_kept_fresh_for_a_stop_without_imds(a: Node) -> None:
    a.imds.expires = "2020-01-01T00:00:00Z"
    a.act("start")
    a.imds.expires = "2999-01-01T00:00:00Z"
    a.act("monitor")
    assert a.api.calls == []
    a.imds.statuses[""] = [503]
    a.act("stop")
    assert a.api.calls == ["UnassignPrivateIpAddresses"]


@pytest.mark.parametrize(
    "text", ["", "{", "vip=10.0.250.18\nheld=True\n", "\0" * 900, "vip=10.0.250.18\nsince=soon\n"]
)
def test_a_record_that_is_no_record_is_as_good_as_none(a: Node, text: str) -> None:
    a.folder.mkdir()
    a.record.write_text(text)
    assert a.probe().code == outcome.NOT_RUNNING
    assert a.act("start").code == outcome.SUCCESS
    assert a.act("monitor").code == outcome.SUCCESS


def test_the_record_of_another_vip_is_not_this_ones(a: Node) -> None:
    a.act("start")
    assert a.act("monitor", ec2_vip="10.0.250.77").code == outcome.NOT_RUNNING
