"""Random faults, alone and in pairs, on random nodes and for random times; after each law 4 must hold again.

Of the kind `kills` they are SIGKILLs alone, up to MOST_KILLS in a row: of what systemd is just starting again, of
both nodes' at once, of all that a node has of the cluster.

The sequence follows from its kind and seed alone, whatever happens in the lab.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from itertools import count
from typing import Any

from tests.drill.pair import Pair
from tests.drill.row import FORGOTTEN
from tests.drill.scene import FAILURES, Scene
from tests.lab.errors import LabError
from tests.lab.faults.addresses import delete_address
from tests.lab.faults.catalogue import CATALOGUE, Target
from tests.lab.faults.machine import DAEMONS, GUARD
from tests.lab.faults.machine import UNITS as CLUSTER_UNITS
from tests.lab.lab import Lab

KILL = "kill-"
FAULTS = tuple(sorted(CATALOGUE))
KILLED: Mapping[str, Sequence[str]] = {
    **{f"{KILL}{daemon}": (daemon,) for daemon in DAEMONS},
    f"{KILL}guard": (GUARD,),
    f"{KILL}all": (*DAEMONS, GUARD),
}
"""Kill → the programs that it ends."""
UNITS = (*CLUSTER_UNITS, f"{GUARD}.service")
"""What runs on a node of a whole pair."""
PAIRS = 0.5
"""How often two faults come together."""
SHORT_S, LONG_S = 0.2, 15.0
"""How long a fault is in force; half of them less than 3 s."""
MOST_KILLS = 8
SOON_S, LATE_S = 0.01, 4.0
"""From one kill to the next: systemd waits 3 s before it starts a unit again, which takes less than one."""
RESTART_S = 10.0
"""For a unit that nothing waits for, as that of the guard."""
WHOLE_S = FORGOTTEN + 60.0
"""How soon the pair must be whole: failures on both nodes have to expire, and a node may have to boot first."""


class Kind(Enum):
    """What a soak draws from: all of the lab's catalogue, or SIGKILLs."""

    FAULTS = "faults"
    KILLS = "kills"


@dataclass(frozen=True)
class Hit:
    """A fault of the lab's catalogue on node `a` or `b`; those that only one of the two can have find theirs."""

    fault: str
    node: str


@dataclass(frozen=True)
class Step:
    """Faults, each `apart_s` seconds after the one before; all is undone `lasts_s` after the last."""

    number: int
    hits: tuple[Hit, ...]
    apart_s: float
    lasts_s: float

    def __str__(self) -> str:
        words = [f"{hit.fault} on {hit.node}" for hit in self.hits]
        lasts = f", for {self.lasts_s:g} s" if self.lasts_s else ""
        return f"{f', {self.apart_s:g} s later '.join(words)}{lasts}"


def steps(seed: int, kind: Kind = Kind.FAULTS) -> Iterator[Step]:
    """The faults of a seed and a kind, without end: the same ones each time."""
    yield from (_kills if kind == Kind.KILLS else _faults)(seed)


def _kills(seed: int) -> Iterator[Step]:
    dice = _dice(seed)
    for number in count(1):
        hits = tuple(
            Hit(dice.choice(tuple(KILLED)), dice.choice("ab")) for _ in range(dice.randint(1, MOST_KILLS))
        )
        yield Step(number, hits, round(SOON_S * (LATE_S / SOON_S) ** dice.random(), 2), 0.0)


def _faults(seed: int) -> Iterator[Step]:
    dice = _dice(seed)
    for number in count(1):
        together = 2 if dice.random() < PAIRS else 1
        hits = tuple(Hit(dice.choice(FAULTS), dice.choice("ab")) for _ in range(together))
        apart = round(dice.uniform(0, 3), 1)
        # Evenly over the orders of magnitude: a stall of half a second says as much as one of ten.
        lasts = round(SHORT_S * (LONG_S / SHORT_S) ** dice.random(), 1)
        yield Step(number, hits, apart, lasts)


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (a sequence that can be had again, no secret)


@dataclass
class Record:
    """What became of a step: `whole_after_s` seconds after its end law 4 held again, None where it did not."""

    number: int
    faults: str
    whole_after_s: float | None = None
    holder: str = ""
    notes: list[str] = field(default_factory=list)


class BreachError(LabError):
    """Law 4 did not hold again."""


def run_step(
    step: Step,
    lab: Lab,
    pair: Pair,
    record: Record,
    progress: Callable[[str], None],
    begin: Callable[[Scene, Hit], None],
) -> None:
    """Break, mend, and wait for law 4 and UNITS; also on Ctrl-C all is mended. Raises BreachError if law 4 stays
    broken, or a unit is not active.

    A fault that can't be had, because the one before took its victim, is noted and no breach.
    """
    scene = Scene(lab, pair, progress)
    try:
        scene.look()
        for number, hit in enumerate(step.hits):
            if number:
                time.sleep(step.apart_s)
            try:
                begin(scene, hit)
            except FAILURES as error:
                record.notes.append(f"{hit.fault} could not be had: {error}")
        time.sleep(step.lasts_s)
    finally:
        try:
            scene.heal()
        except LabError as error:
            record.notes.append(str(error))
    ended = time.monotonic()
    try:
        scene.wait_until_steady(WHOLE_S)
        scene.wait_until_active(UNITS, RESTART_S)
    except FAILURES as error:
        raise BreachError(f"step {step.number}, {step}: {error}") from None
    record.whole_after_s = round(time.monotonic() - ended, 1)
    record.holder = pair.holder() or ""


def kill(scene: Scene, hit: Hit) -> None:
    """Whatever runs of it at this moment."""
    scene.faults.storm(scene.pair.node_ids["ab".index(hit.node)], KILLED[hit.fault])


def begin(scene: Scene, hit: Hit) -> None:
    """As `make fault` does; but what comes back by itself, or is put back by the cluster, is not put back here."""
    pair = scene.pair
    a, b = pair.node_ids
    node = {"a": a, "b": b}[hit.node]
    if hit.fault == "os-address-deleted":
        delete_address(scene.lab, pair.holder() or node, pair.vip)
        return
    if hit.fault.startswith(KILL):
        scene.faults.kill(node, hit.fault.removeprefix(KILL), restore=False)
        return
    if hit.fault == "os-address-added":
        node = next(each for each in (a, b) if each != pair.holder())
    CATALOGUE[hit.fault].begin(scene.faults, Target(node, b if node == a else a, pair.vip))


def soak(
    seed: int,
    minutes: float,
    lab: Lab,
    pair: Pair,
    progress: Callable[[str], None],
    keep: Callable[[list[Record]], None] = lambda records: None,
    kind: Kind = Kind.FAULTS,
) -> list[Record]:
    """Go on with the steps of the seed and the kind until the time is over; `keep` is called after each.

    Raises BreachError at the first that is one."""
    deadline = time.monotonic() + minutes * 60
    records: list[Record] = []
    pair.wait_until_whole(WHOLE_S, progress)
    for step in steps(seed, kind):
        if time.monotonic() > deadline:
            break
        left = max(0.0, deadline - time.monotonic())
        progress(f"{step.number}: {step} ({left:.0f} s to go)")
        records.append(record := Record(step.number, str(step)))
        try:
            run_step(step, lab, pair, record, progress, kill if kind == Kind.KILLS else begin)
        finally:
            keep(records)
    return records


def report(
    kind: Kind, seed: int, minutes: float, started: str, passed: bool, records: list[Record], breach: str
) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "kind": kind.value,
        "seed": seed,
        "minutes": minutes,
        "started": started,
        "passed": passed,
        "breach": breach,
        "steps": [asdict(record) for record in records],
    }
