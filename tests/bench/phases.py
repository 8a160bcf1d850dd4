"""Tells where a failover's time went, from the nodes' journals, the lab's timeline and the client's pings.

Nodes, client and EC2 share the lab's machine and therefore its clock. So we can subtract a time (s since
1970) of one from a time of another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.drill.probe import INTERVAL_S, Outage
from tests.lab.lab import Lab
from tests.lab.timeline import Event

PHASES = ("detection", "stop", "transition", "agent", "API", "OS address")
"""The phases of a client's outage, in order.

detection: until the survivor has a membership without the holder (a crash only). stop: the old holder gives
the VIP up (a move only). transition: Pacemaker decides and starts the agent. agent: until its request is at EC2.
API: until EC2 delivers to the new holder. OS address: until the client has an answer.
"""

_REQUEST = "Requesting local execution of {operation} operation for {resource} on "
_RESULT = "Result of {operation} operation for {resource} on "


@dataclass(frozen=True)
class Entry:
    """A line of a journal: time (s since 1970), program (`corosync`, `pacemaker-controld`, …) and text."""

    time: float
    program: str
    text: str


@dataclass(frozen=True)
class Failover:
    """The moments of one failover that were seen (s since 1970), by name, in order of time."""

    marks: Mapping[str, float]
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase (see PHASES); they add up to the client's outage."""


def journal(lab: Lab, instance_id: str, since: float) -> list[Entry]:
    """A node's journal after `since` (s since 1970), by time. Raises LabError if the node is off."""
    words = ["journalctl", "--no-pager", "--output=json", f"--since=@{since:.3f}", "--all"]
    entries = []
    for line in lab.run_in(instance_id, words, timeout_s=60).stdout.splitlines():
        item = json.loads(line)
        text, program = item.get("MESSAGE"), item.get("SYSLOG_IDENTIFIER", "")
        if isinstance(text, str):
            stamp = item.get("_SOURCE_REALTIME_TIMESTAMP") or item["__REALTIME_TIMESTAMP"]
            entries.append(Entry(int(stamp) / 1e6, program, text.strip()))
    return sorted(entries, key=lambda entry: entry.time)


def failover(
    *,
    fault: float,
    outage: Outage,
    old: Iterable[Entry],
    new: Iterable[Entry],
    events: Sequence[Event],
    resources: tuple[str, str],
    crash: bool,
) -> Failover:
    """Put the moments of one failover together.

    `fault` is when we broke the holder or told it to give up. `old` and `new` are the journals of the holders
    before and after; `events` are the lab's. `resources` are the group's members: EC2's side, then the
    system's.
    """
    inner, outer = resources
    old, new = [e for e in old if e.time >= fault], [e for e in new if e.time >= fault]
    # The outage begins with the first ping that is lost, an interval after the last one that was answered.
    lost = outage.start + INTERVAL_S
    marks: dict[str, float | None] = {
        "fault": fault,
        "first lost": lost,
        "first reply": lost + outage.seconds,
    }
    marks["token lost"] = _first(new, "corosync", r"A processor failed")
    marks["membership"] = _first(new, "corosync", r"A new membership \(|Sync members\[1\]") if crash else None
    marks["decided"] = _first(
        [*new, *old], "pacemaker-schedulerd", r"Calculated transition", after=marks["membership"]
    )
    begun = [_first(new, "pacemaker-controld", _REQUEST.format(operation=o, resource=inner)) for o in STARTS]
    marks["agent started"] = min((t for t in begun if t), default=None)
    for operation, resource, mark in (
        ("stop", outer, "OS address gone"),
        ("stop", inner, "given up"),
        ("migrate_to", inner, "handed over"),
    ):
        marks[mark] = _first(
            old, "pacemaker-controld", _RESULT.format(operation=operation, resource=resource)
        )
    _mark_ec2(marks, events)
    done = [_first(new, "pacemaker-controld", _RESULT.format(operation=o, resource=inner)) for o in STARTS]
    marks["agent done"] = min((t for t in done if t), default=None)
    marks["IPaddr2 started"] = _first(
        new, "pacemaker-controld", _REQUEST.format(operation="start", resource=outer)
    )
    marks["OS address"] = _first(new, "IPaddr2", r"Adding inet address")
    found = dict(sorted(((k, t) for k, t in marks.items() if t is not None), key=lambda item: item[1]))
    return Failover(found, _phases(found))


STARTS = ("start", "migrate_from")


def _mark_ec2(marks: dict[str, float | None], events: Sequence[Event]) -> None:
    """Mark the call that moved the VIP, and when it took effect.

    It is the last such call that began before the first reply.
    """
    end = marks["first reply"] or 0.0
    for event in events:
        if event.kind == "api" and event["action"] == "AssignPrivateIpAddresses" and event["status"] == 200:
            request = event.wall - event["latency_s"]
            if request < end:
                marks["request"], marks["accepted"] = request, event.wall
        elif event.kind == "route" and event["eni_id"] and event.wall <= end:
            marks["route"] = event.wall


def _phases(marks: Mapping[str, float]) -> dict[str, float]:
    """Cut the outage at the moments that end its phases; an unseen moment gives its time to the next phase."""
    given_up = max((marks[m] for m in ("given up", "handed over") if m in marks), default=None)
    if given_up is not None and "agent started" in marks and given_up > marks["agent started"]:
        given_up = marks.get("handed over")
    delivered = max((marks[m] for m in ("accepted", "route") if m in marks), default=None)
    ends = {
        "detection": marks.get("membership"),
        "stop": given_up,
        "transition": marks.get("agent started"),
        "agent": marks.get("request"),
        "API": delivered,
        "OS address": marks["first reply"],
    }
    phases, at = {}, marks["first lost"]
    for name in PHASES:
        # EC2 may deliver, and the client may have its answer, before the API has written its own answer.
        moment = min(ends[name] or at, marks["first reply"])
        if moment > at:
            phases[name] = round(moment - at, 4)
            at = moment
    return phases


def _first(entries: Iterable[Entry], program: str, pattern: str, after: float | None = None) -> float | None:
    """When a program first said what the pattern matches."""
    matching = (
        entry.time
        for entry in entries
        if entry.program.startswith(program)
        and re.search(pattern, entry.text)
        and entry.time >= (after or 0.0)
    )
    return min(matching, default=None)
