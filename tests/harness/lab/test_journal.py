from __future__ import annotations

import pytest

from tests.lab.journal import event_of


def entry(source: str, text: object) -> dict[str, object]:
    return {"SYSLOG_IDENTIFIER": source, "MESSAGE": text}


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("  [QUORUM] Members[2]: 1 2", [1, 2]),
        ("  [QUORUM] Members[1]: 2", [2]),
        ("  [QUORUM] Members[0]:", []),
    ],
)
def test_the_quorum_service_tells_the_members(text: str, members: list[int]) -> None:
    assert event_of(entry("corosync", text)) == ("membership", {"members": members})


def test_the_controller_tells_what_an_operation_came_to() -> None:
    text = " notice: Result of start operation for ec2vip on ec2vip-b: not running"
    assert event_of(entry("pacemaker-controld", text)) == (
        "action",
        {"operation": "start", "resource": "ec2vip", "node": "ec2vip-b", "result": "not running"},
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("corosync", "  [TOTEM ] A processor failed, forming new configuration."),
        ("pacemaker-controld", " notice: State transition S_IDLE -> S_POLICY_ENGINE"),
        ("ec2vip(ec2vip)", "INFO: 10.0.250.185 assigned to eni-1"),
        ("ec2vip-bootstrap", "ec2vip: bootstrap done (41 s)"),
    ],
)
def test_what_else_they_say_is_kept_as_text(source: str, text: str) -> None:
    kept = text.strip().removeprefix("notice: ")
    assert event_of(entry(source, text)) == ("log", {"source": source, "text": kept})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("corosync", "  [QB    ] server name: cmap"),
        ("pacemaker-controld", " notice: Cluster does not have watchdog fencing device"),
        ("sshd", "Accepted publickey"),
        ("corosync", [70, 111, 111]),
    ],
)
def test_what_says_nothing_is_left_out(source: str, text: object) -> None:
    """Among them messages that are not text, which journalctl gives as numbers."""
    assert event_of(entry(source, text)) is None
