"""A node whose clock is wrong needs one more exchange with EC2, but still gets the VIP."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import api, metadata, outcome, record

from .clock import Clock
from .cloud import DENIED
from .conftest import Node

HOUR = 3600.0


def in_future(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 400.0])
@pytest.mark.parametrize(
    "code", ["RequestExpired", "AuthFailure", "SignatureDoesNotMatch", "InvalidClientTokenId"]
)
def test_a_wrong_clock_costs_one_exchange_once(a: Node, ahead: float, code: str) -> None:
    a.api.ahead, a.api.untimely = ahead, code
    first = a.act("start")
    assert first.code == outcome.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 2
    assert "clock" in first.said
    assert a.api.owners() == ["eni-a"]
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.calls == ["UnassignPrivateIpAddresses"], "what was learnt is kept"


def test_a_clock_that_is_set_right_again_costs_one_exchange_too(a: Node) -> None:
    a.api.ahead = HOUR
    a.act("start")
    a.api.ahead = 0.0
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 2
    a.act("start")
    assert a.api.calls == ["AssignPrivateIpAddresses"]


def test_a_right_clock_is_not_blamed(a: Node) -> None:
    a.act("start")
    a.api.faults["AssignPrivateIpAddresses"] = [(401, "AuthFailure", "AWS was not able to validate")]
    assert a.act("start").code == outcome.ERR_PERM
    assert a.api.calls == ["AssignPrivateIpAddresses"]


def test_a_denial_is_not_signed_again(a: Node) -> None:
    a.act("start")
    a.api.ahead = 200.0  # enough to notice, but EC2 still accepts it
    a.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    assert a.act("start").code == outcome.ERR_PERM
    assert a.api.calls == ["AssignPrivateIpAddresses"]


@pytest.mark.parametrize("ahead", [24 * HOUR, -24 * HOUR - 0.4, 3 * 24 * HOUR])
def test_a_clock_that_is_a_day_off_is_a_wrong_clock_too(a: Node, ahead: float) -> None:
    a.api.ahead = ahead
    assert a.act("start").code == outcome.SUCCESS
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 2


def test_the_second_refusal_stands(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent does not follow a server whose own clock runs away."""
    a.act("start")
    a.api.ahead = HOUR
    real = a.api.now

    def runs_away() -> float:
        a.api.ahead += HOUR
        return real()

    monkeypatch.setattr(a.api, "now", runs_away)
    assert a.act("start").code == outcome.ERR_PERM
    assert a.api.calls == ["AssignPrivateIpAddresses"] * 2


@pytest.mark.parametrize(
    "date",
    ["", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 31 Feb 2026 08:49:37 GMT", "x, 1 May 99999999 0:0:0 GMT"],
)
def test_a_date_that_is_none_is_not_followed(date: str) -> None:
    kept = record.Record("/nonexistent", "10.0.250.18")
    assert not api.Api("ec2", kept, outcome.Deadline(1)).learn_time(date)
    assert kept.skew == 0


@given(st.integers(0, 4 * 10**9))
def test_a_date_is_read_as_the_library_writes_it(at: int) -> None:
    assert metadata.http_date(formatdate(at, usegmt=True)) == at


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_is_left_of_the_credentials_is_by_the_clock_that_set_their_end(a: Node, ahead: float) -> None:
    """IMDS gives their end in AWS's time, so the node's own clock does not matter."""
    a.imds.ahead = ahead
    for left, code in ((HOUR / 2, ["UnassignPrivateIpAddresses"]), (-1.0, [])):
        a.imds.expires = in_future(ahead + left)
        assert a.act("start").code == outcome.SUCCESS
        a.imds.statuses[""] = [503]
        a.act("stop")
        assert a.api.calls == code
        a.imds.statuses.clear()


def test_a_clock_that_is_stepped_does_not_end_credentials(
    a: Node, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    a.imds.expires = in_future(HOUR)
    a.act("start")
    expiry = float(a.kept()["expiry"])
    assert 0 < expiry - clock.now <= HOUR
    kept = record.Record(str(a.record), "10.0.250.18")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 0.0)
        assert kept.keys_last(HOUR - 60)
    assert not kept.keys_last(HOUR + 1)
