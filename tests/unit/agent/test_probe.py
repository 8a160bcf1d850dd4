"""A probe says what a node has before anything was started on it. Its trouble must not harm the holder.

Pacemaker takes any answer but "not running" for a second holder, and stops both (multiple-active).
"""

from __future__ import annotations

import pytest

from agent import outcome, rules

from .cloud import DENIED, THROTTLED, VIP
from .conftest import Node
from .recorded import PLATFORMS, environment, recording
from .test_monitor import IMDS_FAULTS, settled, silence

__all__ = ["silence"]  # a fixture


@pytest.mark.parametrize("platform", PLATFORMS)
def test_pacemaker_gives_a_probe_no_interval_and_a_monitor_its_own(platform: str) -> None:
    """The agent tells them apart by the interval; hence ocf-shellfuncs' default of 0."""
    interval = "OCF_RESKEY_CRM_meta_interval"
    assert interval not in environment("probe", platform)
    assert environment("monitor", platform)[interval] == "10000"
    assert recording("probe", platform)["words"] == recording("monitor", platform)["words"] == ["monitor"]


@pytest.mark.parametrize("fault", IMDS_FAULTS)
@pytest.mark.parametrize("ec2", ["up", "throttled", "denied", "down"])
def test_a_standby_that_boots_has_nothing_whatever_fails_for_it(
    a: Node, b: Node, fault: str, ec2: str
) -> None:
    b.act("start")
    for name, value in IMDS_FAULTS[fault].items():
        setattr(a.imds, name, value)
    if ec2 in ("throttled", "denied"):
        a.api.faults["DescribeNetworkInterfaces"] = [THROTTLED if ec2 == "throttled" else DENIED]
    elif ec2 == "down":
        a.endpoint = "localhost:1"
    assert a.probe().code == outcome.NOT_RUNNING
    assert a.api.owners() == ["eni-b"]


def test_a_standby_that_the_api_leaves_waiting_has_nothing(a: Node, silence: None) -> None:
    assert a.probe().code == outcome.NOT_RUNNING


def test_an_old_picture_of_imds_does_not_make_a_second_holder(a: Node, b: Node) -> None:
    b.act("start")
    a.imds.shown = [a.eni.primary, VIP]
    a.api.faults["DescribeNetworkInterfaces"] = [DENIED]
    assert a.probe().code == outcome.NOT_RUNNING


def test_a_fault_of_the_agents_own_does_not_make_a_second_holder(
    a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: rules.Agent) -> int:
        raise KeyError("oops\nand more")

    monkeypatch.setattr(rules.Agent, "look", fails)
    result = a.act_unexpectedly("probe")
    assert result.code == outcome.NOT_RUNNING
    assert "unexpected KeyError(" in result.said


def test_a_probe_has_the_api_confirm_what_imds_shows(a: Node, b: Node) -> None:
    a.act("start")
    b.act("start")
    a.imds.shown = [a.eni.primary, VIP]
    settled(a)
    assert a.probe().code == outcome.NOT_RUNNING


def test_a_probe_finds_what_a_reboot_has_left_assigned(a: Node) -> None:
    a.act("start")
    a.record.unlink()
    assert a.probe().code == outcome.SUCCESS
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.calls == []


def test_a_probe_of_the_holder_stands_by_its_record_while_nothing_can_be_asked(a: Node) -> None:
    """`pcs resource cleanup` probes the holder as well."""
    a.act("start")
    a.imds.statuses[""] = [503]
    a.api.faults["DescribeNetworkInterfaces"] = [THROTTLED]
    assert a.probe().code == outcome.SUCCESS


def test_the_holders_record_does_not_stand_against_imds(a: Node, b: Node) -> None:
    """Its Pacemaker died, the peer took the VIP, now it is back: its probe must not get the peer stopped."""
    a.act("start")
    b.act("start")
    a.api.faults["DescribeNetworkInterfaces"] = [THROTTLED]
    assert a.probe().code == outcome.SUCCESS, "IMDS may lag"
    a.earlier("since", rules.LAG_TIME)
    assert a.probe().code == outcome.NOT_RUNNING


def test_a_probe_lifts_what_a_loss_holds_back(a: Node, b: Node) -> None:
    """The text of the refusal says that `pcs resource cleanup` lifts it."""
    a.act("start")
    settled(a)
    b.act("start")
    assert a.act("monitor").code == outcome.NOT_RUNNING
    a.members = "1"
    assert "pcs resource cleanup" in a.act("start").reason
    assert a.probe().code == outcome.NOT_RUNNING
    assert a.act("start").code == outcome.SUCCESS


def test_both_nodes_booted_without_the_api_the_one_that_imds_shows_it_on_serves(a: Node, b: Node) -> None:
    """As far as the cluster knows, nobody runs it, and EC2 delivers to this node."""
    a.act("start")
    a.record.unlink()
    a.endpoint = b.endpoint = "localhost:1"
    assert a.probe().code == b.probe().code == outcome.NOT_RUNNING
    assert b.act("start").code == outcome.ERR_GENERIC
    assert a.act("start").code == outcome.SUCCESS
    assert a.act("monitor").code == outcome.SUCCESS


@pytest.mark.parametrize("action", ["start", "migrate_from"])
def test_a_picture_that_may_be_old_is_no_reason_to_serve(a: Node, b: Node, action: str) -> None:
    """This node has shown the VIP since its boot, but the peer may have taken it since."""
    a.act("start")
    a.act("stop")
    a.imds.shown = [a.eni.primary, VIP]
    a.endpoint = "localhost:1"
    assert a.act(action).code == outcome.ERR_GENERIC
