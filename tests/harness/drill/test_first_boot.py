"""The stages of a first boot, taken from a timeline."""

from __future__ import annotations

from typing import Any

from tests.drill.first_boot import ANSWER, stages
from tests.lab.timeline import Event


def event(t: float, kind: str, node: str = "i-a", **fields: Any) -> Event:
    return Event(t, t, kind, {"instance_id": node, **fields})


def log(t: float, text: str, node: str = "i-a") -> Event:
    return event(t, "log", node, source="ec2vip-bootstrap", text=text)


BOOT = [
    event(100.0, "instance", state="pending"),
    event(100.1, "instance", "i-b", state="pending"),
    event(100.3, "power", on=True),
    log(104.0, "ec2vip: bootstrap of ec2vip-a begins"),
    log(105.0, "ec2vip: bootstrap of ec2vip-b begins", "i-b"),
    log(120.0, "ec2vip: packages: done (16 s)"),
    event(131.0, "action", operation="probe", resource="vip"),
    event(132.0, "action", operation="start", resource="ec2vip"),
    event(132.2, "action", operation="start", resource="vip"),
    Event(132.3, 132.3, "ping", {"address": "10.0.250.185"}),
    Event(132.4, 132.4, "ping", {"address": "10.0.250.185"}),
]


def rounded(rows: list[tuple[str, list[float | None]]]) -> dict[str, list[float | None]]:
    return {title: [time if time is None else round(time, 1) for time in times] for title, times in rows}


def test_each_stage_ends_where_the_timeline_says_on_each_node_from_the_first_launch() -> None:
    assert rounded(stages(BOOT, ["i-a", "i-b"])) == {
        "the machine has power": [0.3, None],
        "cloud-init has placed the files": [4.0, 5.0],
        "packages": [20.0, None],
        "EC2 delivers the VIP here": [32.0, None],
        "the system has the VIP": [32.2, None],
        ANSWER: [32.3, 32.3],
    }


def test_what_was_before_the_launch_is_not_of_it() -> None:
    before = [event(50.0, "instance", "i-old", state="pending"), Event(99.0, 99.0, "ping", {})]
    assert stages([*before, *BOOT], ["i-a", "i-b"]) == stages(BOOT, ["i-a", "i-b"])


def test_of_nodes_that_nobody_saw_launched_nothing_is_told() -> None:
    assert stages(BOOT, ["i-other"]) == []
