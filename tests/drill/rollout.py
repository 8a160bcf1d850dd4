"""Day two, measured: one `pulumi up` that replaces both nodes, and what a client sees of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.drill.clouds import lab_pair, lab_stack
from tests.drill.pair import Pair
from tests.drill.probe import Probe, pauses
from tests.drill.scene import places
from tests.lab.errors import LabError
from tests.lab.faults.addresses import interface_with
from tests.lab.lab import Lab
from tests.lab.timeline import Event

MOVES_MOST = 2
GAP_S = 0.05
"""Shorter gaps between two answers come from a busy machine, and so do gaps without a lost ping. Neither is
an outage."""
GOALS_S = {"none": 0.5, "0.5": 1.5}
"""EC2's latency → the goal for the client's total outage (s). We report it, but do not judge by it."""
TOKENS_MS = (1500, 1000)
"""The token of each roll (ms). Each change of it replaces both nodes. The last is the one in the stack's
file."""


@dataclass(frozen=True)
class Rolled:
    """One roll; times in seconds.

    `gaps` are the client's outages, each with the time at which it began (wall clock). `broken` are the
    expectations that the roll did not meet.
    """

    latency: str
    outage_s: float
    longest_s: float
    lost_pings: int
    moves: int
    took_s: float
    goal_s: float
    holders: tuple[str, ...]
    gaps: tuple[tuple[float, float], ...]
    broken: tuple[str, ...]


def gaps(replies: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
    """The pauses of more than GAP_S in which pings were lost: when each began, and its length (s)."""
    return [
        (round(start, 3), round(length, 3))
        for start, length, lost in pauses(replies)
        if lost > 0 and length > GAP_S
    ]


def both_out(events: Sequence[Event], nodes: Sequence[str]) -> bool:
    """Whether no instance ran at some moment; `nodes` run at first."""
    running = set(nodes)
    for event in events:
        if event.kind != "instance":
            continue
        running.discard(event["instance_id"])
        if event["state"] == "running":
            running.add(event["instance_id"])
        if not running:
            return True
    return False


def roll(lab: Lab, latency: str, token_ms: int, say: Callable[[str], None]) -> Rolled:
    """Replace both nodes with one `up`, while EC2 has this latency. Raises LabError if the `up` fails."""
    pair = lab_pair(lab)
    pair.wait_until_whole(pair.cloud.reach.whole_limit_s, say)
    old = pair.node_ids
    before = str(interface_with(lab.client(), pair.vip)["NetworkInterfaceId"])
    stack = lab_stack(lab)
    stack.configure({"tokenMs": token_ms})
    began = time.monotonic()
    with lab.latency(latency), Probe(lab.in_client(), pair.vip) as probe:
        probe.wait_for_answers(10)
        stack.up("--skip-preview")
        took = time.monotonic() - began
        broken = _at_the_end(lab_pair(lab), old, say)
    events = lab.timeline.read("route", "instance", since=began)
    moved = tuple(places(events, pair.vip, before))
    if len(moved) - 1 > MOVES_MOST:
        broken.append(f"the VIP moved {len(moved) - 1} times; at most {MOVES_MOST} is allowed")
    if both_out(events, old):
        broken.append("both nodes were out at once")
    lost = gaps(probe.replies)
    return Rolled(
        latency=latency,
        outage_s=round(sum(gap for _, gap in lost), 3),
        longest_s=max((gap for _, gap in lost), default=0.0),
        lost_pings=probe.outage().lost,
        moves=len(moved) - 1,
        took_s=round(took, 1),
        goal_s=GOALS_S[latency],
        holders=moved,
        gaps=tuple(lost),
        broken=tuple(broken),
    )


def _at_the_end(pair: Pair, old: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """What is wrong after the `up`, which should end only when the pair works."""
    broken = [f"{kept} was not replaced" for kept in sorted(set(old) & set(pair.node_ids))]
    if not pair.answers():
        broken.append("the VIP does not answer after the up")
    try:
        pair.wait_until_whole(10, say)
    except LabError as error:
        broken.append(f"the pair is not whole after the up: {error}")
    return broken


def report(rolls: Sequence[Rolled], machine: dict[str, Any]) -> dict[str, Any]:
    """The rolls as JSON."""
    return {
        "machine": machine,
        "passed": not any(each.broken for each in rolls),
        "rolls": [asdict(each) for each in rolls],
    }
