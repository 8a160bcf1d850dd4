"""Every action ends well within its operation's timeout, whatever hangs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import api, cluster, metadata, ocf, outcome, record, rules

from .clock import Clock
from .cloud import VIP
from .recorded import environment

#: The timeouts of the operations in the cluster, in seconds.
OPERATION_TIMEOUT = {
    "start": 60,
    "migrate_from": 60,
    "stop": 60,
    "monitor": 60,
    "validate-all": 20,
    "migrate_to": 20,
}
#: How long crash recovery can wait for one failing action, in seconds.
QUICK = 25
BOUNDS = dict(rules.BOUND)
ALONE = rules.ALONE_TIME
SHARE, TIMEOUT, LIMIT = rules.IMDS_SHARE, metadata.IMDS_TIMEOUT, rules.UNKNOWN_LIMIT


@pytest.mark.parametrize("action", BOUNDS)
def test_the_worst_case_fits(action: str) -> None:
    worst = BOUNDS[action] + cluster.QUORUM_TIMEOUT + rules.LOAD_TIME
    assert worst < QUICK < OPERATION_TIMEOUT["start"]
    advised = ET.fromstring(ocf.META_DATA).find(f"actions/action[@name='{action}']")
    assert advised is not None
    assert worst < OPERATION_TIMEOUT[action] <= int(advised.get("timeout", "0s").rstrip("s"))


def test_the_worst_case_of_the_only_node_that_is_left_fits() -> None:
    worst = BOUNDS["start"] + cluster.QUORUM_TIMEOUT + ALONE + cluster.QUORUM_TIMEOUT + rules.LOAD_TIME
    assert worst < OPERATION_TIMEOUT["start"]


def test_imds_leaves_most_of_a_bound_to_the_api() -> None:
    assert min(BOUNDS[action] for action in ("start", "stop", "monitor")) >= 2 * SHARE
    assert 3 * TIMEOUT < SHARE


def test_what_is_unknown_is_borne_longer_than_any_imds_outage_on_record() -> None:
    assert LIMIT * 10 >= 2 * 30


def hangs(clock: Clock) -> Callable[..., object]:
    """An exchange that uses up all of its time."""

    def exchange(*given: object) -> object:
        (until,) = (one for one in given if isinstance(one, outcome.Deadline))
        clock.sleep(until.end - clock.now)
        raise TimeoutError("timed out")

    return exchange


@pytest.mark.parametrize("action", [*BOUNDS, "probe"])
@pytest.mark.parametrize("known", [False, True], ids=["no record", "record"])
@pytest.mark.parametrize("members", ["2", "1", ""])
def test_an_action_ends_within_its_bound_while_everything_hangs(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    action: str,
    known: bool,
    members: str,
) -> None:
    monkeypatch.setattr(cluster, "membership", lambda: (members, "1.a"))
    monkeypatch.setattr(metadata, "exchange", hangs(clock))
    monkeypatch.setattr(api, "over_tls", hangs(clock))
    if known:
        kept = record.Record(str(tmp_path / "ec2vip-ec2vip"), VIP)
        kept.held, kept.eni, kept.subnet, kept.cidr = True, "eni-a", "subnet-1", "10.0.250.0/24"
        kept.primary, kept.region, kept.domain = "10.0.250.10", "eu-west-1", "amazonaws.com"
        kept.key_id, kept.secret, kept.token = "a", "b", "c"
        kept.since, kept.expiry = clock.now - 1, clock.now + 3600
        assert kept.save()
    begin = clock.now
    words = ["monitor" if action == "probe" else action]
    code = ocf.main(words, environment(action, ec2_vip=VIP), folder=str(tmp_path))
    more = ALONE if members == "1" and action in ("start", "migrate_from") else 0.0
    assert more <= clock.now - begin <= BOUNDS[words[0]] + more + 0.1
    if action == "probe":
        assert code == (outcome.SUCCESS if known else outcome.NOT_RUNNING)
        return
    assert code != outcome.NOT_RUNNING
    assert (code == outcome.ERR_GENERIC) == (
        action in ("start", "migrate_from") or (action == "monitor" and not known)
    )
