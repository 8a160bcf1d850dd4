"""Where a first boot's time goes: from RunInstances to the VIP's first answer, by the lab's timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tests.lab.timeline import Event

Mark = Callable[[Event], bool]


def _says(*beginnings: str) -> Mark:
    return lambda event: event.kind == "log" and str(event["text"]).startswith(beginnings)


def _done(step: str) -> Mark:
    return _says(f"ec2vip: {step}: done")


STAGES: tuple[tuple[str, Mark], ...] = (
    ("the machine has power", lambda e: e.kind == "power" and bool(e["on"])),
    ("cloud-init has placed the files", _says("ec2vip: bootstrap of ")),
    ("packages", _done("packages")),
    ("key", _done("key")),
    ("first CIB", _done("seed")),
    ("Corosync and Pacemaker started", _done("start")),
    ("a DC, and this node with it", _done("ready")),
    ("settings pushed", _done("settings")),
    (
        "EC2 delivers the VIP here",
        lambda e: (e.kind, e.get("operation")) == ("action", "start") and e["resource"] == "ec2vip",
    ),
    (
        "the system has the VIP",
        lambda e: (e.kind, e.get("operation")) == ("action", "start") and e["resource"] == "vip",
    ),
)
"""The stages in order, each with the event that ends it on a node. A stage that a node skips has no time."""

ANSWER = "the VIP answers the client"


def stages(events: Iterable[Event], nodes: Sequence[str]) -> list[tuple[str, list[float | None]]]:
    """When each stage ended on each of the nodes (instance ids), in seconds since the first node's launch.

    If a prober ran, the last row is the client's first answer, the same for all nodes. Stages that no node
    reached are left out. The list is empty if the events show no launch.
    """
    seen = sorted(events, key=lambda event: event.t)
    launches = [
        e.t for e in seen if e.kind == "instance" and e["state"] == "pending" and e["instance_id"] in nodes
    ]
    if not launches:
        return []
    began = launches[0]

    def first(mark: Mark, node: str | None) -> float | None:
        times = (
            e.t - began
            for e in seen
            if (node is None or e.get("instance_id") == node) and e.t >= began and mark(e)
        )
        return next(times, None)

    rows = [(title, [first(mark, node) for node in nodes]) for title, mark in STAGES]
    answer = first(lambda event: event.kind == "ping", None)
    rows.append((ANSWER, [answer] * len(nodes)))
    return [(title, times) for title, times in rows if any(time is not None for time in times)]
