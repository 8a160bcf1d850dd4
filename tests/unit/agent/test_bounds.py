"""Every action ends well within its operation's timeout, whatever hangs."""

from __future__ import annotations

import socket
import time as real_time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import ec2vip

#: The timeouts that the cluster gives the operations, in seconds.
OPERATION_TIMEOUT = {
    "start": 60,
    "migrate_from": 60,
    "stop": 60,
    "monitor": 60,
    "validate-all": 20,
    "migrate_to": 20,
}
#: What crash recovery can bear to wait for one action that fails, in seconds.
QUICK = 25
BOUNDS = dict(ec2vip.BOUND)
ALONE = ec2vip.ALONE_TIME
SHARE, TIMEOUT, PAUSE, LIMIT = ec2vip.IMDS_SHARE, ec2vip.IMDS_TIMEOUT, ec2vip.API_PAUSE, ec2vip.UNKNOWN_LIMIT


@pytest.mark.parametrize("action", BOUNDS)
def test_the_worst_case_fits(action: str) -> None:
    worst = BOUNDS[action] + ec2vip.QUORUM_TIMEOUT + ec2vip.LOAD_TIME
    assert worst < QUICK < OPERATION_TIMEOUT["start"]
    assert worst < OPERATION_TIMEOUT[action] <= ec2vip.ACTIONS[action]


def test_the_worst_case_of_the_only_node_that_is_left_fits() -> None:
    worst = BOUNDS["start"] + ec2vip.QUORUM_TIMEOUT + ALONE + ec2vip.QUORUM_TIMEOUT + ec2vip.LOAD_TIME
    assert worst < OPERATION_TIMEOUT["start"]


def test_imds_leaves_most_of_a_bound_to_the_api() -> None:
    assert min(BOUNDS[action] for action in ("start", "stop", "monitor")) >= 2 * SHARE
    assert 3 * TIMEOUT < SHARE


def test_what_is_unknown_is_borne_longer_than_any_imds_outage_on_record() -> None:
    assert LIMIT * 10 >= 2 * 30


class Clock:
    """Time that passes only when something waits."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def time(self) -> float:
        return real_time.time()

    gmtime, strftime = staticmethod(real_time.gmtime), staticmethod(real_time.strftime)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for action, seconds in BOUNDS.items():
        monkeypatch.setitem(ec2vip.BOUND, action, seconds)
    monkeypatch.setattr(ec2vip, "ALONE_TIME", ALONE)
    monkeypatch.setattr(ec2vip, "IMDS_SHARE", SHARE)
    monkeypatch.setattr(ec2vip, "IMDS_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(ec2vip, "API_PAUSE", PAUSE)
    monkeypatch.setattr(ec2vip, "time", clock)
    monkeypatch.setattr(ec2vip, "preload", lambda: None)
    return clock


def imds_hangs(clock: Clock) -> Callable[..., socket.socket]:
    def connect(_: object, timeout: float) -> socket.socket:
        clock.sleep(timeout)
        raise TimeoutError("timed out")

    return connect


def api_hangs(clock: Clock) -> Callable[..., tuple[int, bytes]]:
    def bounded(_: object, seconds: float) -> tuple[int, bytes]:
        clock.sleep(seconds)
        raise TimeoutError("timed out")

    return bounded


@pytest.mark.parametrize("action", BOUNDS)
@pytest.mark.parametrize("record", [False, True], ids=["no record", "record"])
@pytest.mark.parametrize("api_timeout", ["1", "5", "12"])
@pytest.mark.parametrize("members", ["2", "1", ""])
def test_an_action_ends_within_its_bound_while_everything_hangs(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    action: str,
    record: bool,
    api_timeout: str,
    members: str,
) -> None:
    monkeypatch.setattr(ec2vip.Agent.__init__, "__defaults__", (lambda _: members, False))
    monkeypatch.setattr(socket, "create_connection", imds_hangs(clock))
    monkeypatch.setattr(ec2vip, "bounded", api_hangs(clock))
    environ = {
        "OCF_RESKEY_ec2_vip": "10.0.250.18",
        "OCF_RESKEY_api_timeout": api_timeout,
        "HA_RSCTMP": str(tmp_path),
        "OCF_RESOURCE_INSTANCE": "x",
    }
    if record:
        kept = ec2vip.Record(str(tmp_path / "ec2vip-x.json"), "10.0.250.18")
        kept.held = True
        kept.identity = {
            "eni": "eni-a",
            "subnet": "subnet-1",
            "cidr": "10.0.250.0/24",
            "primary": "10.0.250.10",
            "region": "eu-west-1",
            "domain": "amazonaws.com",
        }
        kept.credentials = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c"}
        kept.expiry = clock.now + 3600
        assert kept.save()
    begin = clock.now
    code = ec2vip.main([action], environ)
    more = ALONE if members == "1" and action in ("start", "migrate_from") else 0.0
    assert more <= clock.now - begin <= BOUNDS[action] + more + 0.1
    assert code != ec2vip.NOT_RUNNING
    assert (code == ec2vip.ERR_GENERIC) == (
        action in ("start", "migrate_from") or (action == "monitor" and not record)
    )
