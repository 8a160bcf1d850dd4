from __future__ import annotations

import pytest

from tests.bench.phases import PHASES, Entry, failover
from tests.drill.probe import Outage
from tests.lab.timeline import Event

CONTROLLER = "pacemaker-controld"


def api(action: str, request: float, answer: float, status: int = 200) -> Event:
    fields = {"action": action, "latency_s": answer - request, "status": status, "instance_id": "i-new"}
    return Event(answer, answer, "api", fields)


def route(at: float, eni: str | None = "eni-new") -> Event:
    return Event(at, at, "route", {"eni_id": eni})


SURVIVOR = [
    Entry(100.98, "corosync", "[TOTEM ] A processor failed, forming new configuration: token timed out"),
    Entry(101.10, "corosync", "[TOTEM ] A new membership (2.38) was formed. Members left: 1"),
    Entry(101.17, "pacemaker-schedulerd", "notice: Calculated transition 7, saving inputs in …"),
    Entry(101.20, CONTROLLER, "notice: Requesting local execution of start operation for ec2vip on b"),
    Entry(101.40, CONTROLLER, "notice: Result of start operation for ec2vip on b: ok"),
    Entry(101.42, CONTROLLER, "notice: Requesting local execution of start operation for vip on b"),
    Entry(101.45, "IPaddr2(vip)", "INFO: Adding inet address 10.0.0.9/24 to device ens5"),
]


def crash(events: list[Event], new: list[Entry] | None = None) -> dict[str, float]:
    found = failover(
        fault=100.0,
        outage=Outage(1.45, 145, 100.01),
        old=[],
        new=SURVIVOR if new is None else new,
        events=events,
        resources=("ec2vip", "vip"),
        crash=True,
    )
    return dict(found.phases)


ASSIGN = [api("AssignPrivateIpAddresses", 101.35, 101.37), route(101.36)]


def test_a_crash_is_detection_transition_agent_api_and_address() -> None:
    assert crash(ASSIGN) == pytest.approx(
        {"detection": 1.08, "transition": 0.10, "agent": 0.15, "API": 0.02, "OS address": 0.10}
    )


@pytest.mark.parametrize("missing", range(len(SURVIVOR)))
def test_they_add_up_though_a_line_of_the_journal_is_missing(missing: int) -> None:
    phases = crash(ASSIGN, [entry for number, entry in enumerate(SURVIVOR) if number != missing])
    assert sum(phases.values()) == pytest.approx(1.45)
    assert set(phases) <= set(PHASES)


def test_a_route_that_is_later_than_the_answer_ends_the_api_phase() -> None:
    assert crash([ASSIGN[0], route(101.43)])["API"] == pytest.approx(0.08)


def test_a_client_that_is_answered_before_ec2_has_answered_ends_the_outage() -> None:
    phases = crash([api("AssignPrivateIpAddresses", 101.35, 101.60), route(101.36)])
    assert sum(phases.values()) == pytest.approx(1.45)
    assert phases["API"] == pytest.approx(0.12)
    assert "OS address" not in phases


def test_an_address_given_back_is_no_delivery() -> None:
    """Unassign leaves a route to nobody."""
    assert crash([*ASSIGN, route(101.44, None)]) == crash(ASSIGN)


def test_a_refused_call_is_not_the_one_that_moved_the_vip() -> None:
    refused = api("AssignPrivateIpAddresses", 101.25, 101.26, status=503)
    assert crash([refused, *ASSIGN]) == crash(ASSIGN)


def test_what_happened_before_the_fault_does_not_count() -> None:
    earlier = [Entry(entry.time - 50, entry.program, entry.text) for entry in SURVIVOR]
    assert crash(ASSIGN, [*earlier, *SURVIVOR]) == crash(ASSIGN)


def move(old: list[Entry], new: list[Entry], events: list[Event]) -> dict[str, float]:
    found = failover(
        fault=10.0,
        outage=Outage(0.9, 90, 10.09),
        old=old,
        new=new,
        events=events,
        resources=("ec2vip", "vip"),
        crash=False,
    )
    return dict(found.phases)


def test_a_move_starts_with_the_old_holder_giving_up() -> None:
    old = [
        Entry(10.15, CONTROLLER, "notice: Result of stop operation for vip on a: ok"),
        Entry(10.40, CONTROLLER, "notice: Result of stop operation for ec2vip on a: ok"),
    ]
    new = [Entry(10.45, CONTROLLER, "notice: Requesting local execution of start operation for ec2vip on b")]
    events = [
        api("UnassignPrivateIpAddresses", 10.3, 10.35),
        route(10.31, None),
        api("AssignPrivateIpAddresses", 10.6, 10.7),
        route(10.65),
    ]
    assert move(old, new, events) == pytest.approx(
        {"stop": 0.30, "transition": 0.05, "agent": 0.15, "API": 0.10, "OS address": 0.30}
    )


def test_a_migration_is_handed_over_before_it_is_stopped() -> None:
    """Pacemaker stops the resource on the old node only after migrate_from on the new one."""
    old = [
        Entry(10.15, CONTROLLER, "notice: Result of stop operation for vip on a: ok"),
        Entry(10.20, CONTROLLER, "notice: Result of migrate_to operation for ec2vip on a: ok"),
        Entry(10.80, CONTROLLER, "notice: Result of stop operation for ec2vip on a: ok"),
    ]
    new = [
        Entry(
            10.22, CONTROLLER, "notice: Requesting local execution of migrate_from operation for ec2vip on b"
        )
    ]
    events = [api("AssignPrivateIpAddresses", 10.4, 10.5), route(10.45)]
    assert move(old, new, events) == pytest.approx(
        {"stop": 0.10, "transition": 0.02, "agent": 0.18, "API": 0.10, "OS address": 0.50}
    )
