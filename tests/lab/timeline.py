"""What happened in a lab, by one clock: `timeline.jsonl` in its folder, a JSON object a line.

Every event has `kind`, `t` (monotonic) and `wall` (since 1970), both in seconds. All of a lab runs on one
kernel, so all its parts share both clocks. Lines are in order of writing; `read()` sorts by time. Kinds and
fields:

api            a call of the EC2 API, when answered: action, code, latency_s, parameters, instance_id (the caller)
imds           a metadata request: instance_id, path, status
imds-address   a move that the metadata now shows: address, eni_id
route, fabric  an address that EC2 moved: address, eni_id; what the data plane made of it: change
instance       a state that an instance entered: instance_id, state
power          a machine that got power or lost it: instance_id, on
machine-error  a machine that failed: instance_id, error
fault          a fault that begins or ends: fault, what, nodes, detail
membership     Corosync's members as one node sees them: instance_id, members
action         an operation of Pacemaker's at its end: instance_id, node, resource, operation, result
log            what else the nodes' cluster stack, agent and bootstrap say: instance_id, source, text
ping           an answer that a prober got: address, sequence
dropped        older events were removed: bytes

A file that has grown beyond MOST_BYTES becomes the older one of two, and the previous older one is dropped.

Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

FILE = "timeline.jsonl"
MOST_BYTES = 64 << 20
"""The limit for each of the two files. A prober writes some 15 KB a second, so an hour's pings fit in one."""
LOUD = frozenset({"imds", "ping"})
"""Kinds that come many times a second; we leave them out of what people read."""


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    t: float
    wall: float
    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str) -> Any:
        """A field, None if the event has none of that name."""
        return self.fields.get(name)

    @property
    def by_administrator(self) -> bool:
        """Whether it is a call from outside: Pulumi's, a test's or a person's, never a node's."""
        return self.kind == "api" and not self.fields.get("instance_id")

    def line(self, since: float = 0.0) -> str:
        """The event as text: seconds since `since`, kind, and the fields of interest."""
        dull = ("began", "caller", "ip", "role", "service", "status")
        shown = " ".join(f"{k}={v}" for k, v in self.fields.items() if k not in dull and v not in (None, {}))
        return f"{self.t - since:9.3f} {self.kind:<12} {shown}"


class Timeline:
    """The timeline in a lab's folder. Every process may append to it, and all read the same."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.older = self.path.with_suffix(".older.jsonl")

    def append(self, kind: str, *, t: float | None = None, wall: float | None = None, **fields: Any) -> None:
        """Add an event, at the given times or now. A single write adds the line, so writers never mix."""
        event = {
            "t": time.monotonic() if t is None else t,
            "wall": time.time() if wall is None else wall,
            "kind": kind,
            **fields,
        }
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(event, default=str).encode() + b"\n")
            full = file.tell() > MOST_BYTES
        if full:
            self._turn()

    def _turn(self) -> None:
        """Begin a new file, unless another writer has just done so; record how much was dropped for it."""
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                there = self.path.stat()
            except FileNotFoundError:  # turned by another, and nobody has written since
                return
            if not os.path.samestat(os.fstat(file.fileno()), there) or file.tell() <= MOST_BYTES:
                return
            dropped = self.older.stat().st_size if self.older.exists() else 0
            self.path.replace(self.older)
        if dropped:
            self.append("dropped", bytes=dropped)

    def read(
        self,
        *kinds: str,
        since: float = 0.0,
        until: float = float("inf"),
        administrator: bool = False,
        without: Collection[str] = (),
    ) -> list[Event]:
        """The events of these kinds (all, if none is named) from `since` to `until` (monotonic), by time.

        Without `administrator`, it leaves out the account administrator's calls: they drown the nodes' own.
        """
        found = [_event(line) for line in self._lines()]
        return sorted(
            (
                event
                for event in found
                if (not kinds or event.kind in kinds)
                and event.kind not in without
                and since <= event.t <= until
                and (administrator or not event.by_administrator)
            ),
            key=lambda event: event.t,
        )

    def tail(self, count: int) -> list[str]:
        """The last `count` events as text, with times relative to the last one."""
        events = self.read(without=LOUD)[-count:]
        return [event.line(since=events[-1].t) for event in events]

    def _lines(self) -> list[str]:
        while True:
            begun = self._begun()
            lines: list[str] = []
            for path in self.files():
                text = path.read_text()
                # What follows the last line feed is still being written.
                lines += text[: text.rfind("\n") + 1].splitlines()
            if self._begun() == begun:  # else a writer has begun a new file between the two
                return lines

    def files(self) -> list[Path]:
        """The files that are there, the older one first."""
        return [path for path in (self.older, self.path) if path.exists()]

    def _begun(self) -> int:
        return self.path.stat().st_ino if self.path.exists() else 0


def _event(line: str) -> Event:
    fields = json.loads(line)
    t, wall, kind = fields.pop("t"), fields.pop("wall"), fields.pop("kind")
    return Event(t, wall, kind, fields)


def silences(events: Iterable[Event], longer_than_s: float) -> list[tuple[float, float]]:
    """The pairs of times (monotonic) of successive answers to a prober more than `longer_than_s` apart."""
    answers = sorted(event.t for event in events if event.kind == "ping")
    return [(before, after) for before, after in pairwise(answers) if after - before > longer_than_s]
