"""Random faults, alone and in pairs, on random nodes for random times; each must leave a whole pair.

The kind `kills` sends SIGKILLs alone, up to MOST_KILLS in a row. They hit what systemd is just restarting,
both nodes at once, or all cluster programs of a node.

The sequence depends only on its kind and seed, whatever happens in the lab.
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
"""The units that run on every node of a whole pair."""
PAIRS = 0.5
"""The share of steps that combine two faults."""
SHORT_S, LONG_S = 0.2, 15.0
"""The shortest and the longest time that a fault is in force. The median is 1.7 s."""
MOST_KILLS = 8
SOON_S, LATE_S = 0.01, 4.0
"""The shortest and the longest time from one kill to the next. systemd waits 3 s before it starts a unit
again, and the start takes less than 1 s."""
RESTART_S = 10.0
"""How long a unit may take to restart if nothing else waits for it, such as the guard's."""
WHOLE_S = FORGOTTEN + 60.0
"""How soon the pair must be whole: failures on both nodes have to expire, and a node may have to boot first."""


class Kind(Enum):
    """What a soak draws from: all of the lab's catalogue, or SIGKILLs."""

    FAULTS = "faults"
    KILLS = "kills"


@dataclass(frozen=True)
class Hit:
    """A fault of the lab's catalogue on node `a` or `b`.

    A fault that only one of the two can have goes to that node instead.
    """

    fault: str
    node: str


@dataclass(frozen=True)
class Step:
    """Faults `apart_s` seconds apart; all are undone `lasts_s` seconds after the last."""

    number: int
    hits: tuple[Hit, ...]
    apart_s: float
    lasts_s: float

    def __str__(self) -> str:
        words = [f"{hit.fault} on {hit.node}" for hit in self.hits]
        lasts = f", for {self.lasts_s:g} s" if self.lasts_s else ""
        return f"{f', {self.apart_s:g} s later '.join(words)}{lasts}"


def steps(seed: int, kind: Kind = Kind.FAULTS) -> Iterator[Step]:
    """The endless steps of a seed and a kind: the same ones each time."""
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
        # Even over the orders of magnitude: a stall of half a second tells us as much as one of ten.
        lasts = round(SHORT_S * (LONG_S / SHORT_S) ** dice.random(), 1)
        yield Step(number, hits, apart, lasts)


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (a repeatable sequence, no secret)


@dataclass
class Record:
    """What became of a step.

    The pair was whole again `whole_after_s` seconds after the step's end; None if it was not.
    """

    number: int
    faults: str
    whole_after_s: float | None = None
    holder: str = ""
    notes: list[str] = field(default_factory=list)


class BreachError(LabError):
    """The pair did not become whole again."""


def run_step(
    step: Step,
    lab: Lab,
    pair: Pair,
    record: Record,
    progress: Callable[[str], None],
    begin: Callable[[Scene, Hit], None],
) -> None:
    """Break, mend, and wait until the pair is whole and UNITS are active.

    We mend all in any case, also on Ctrl-C. Raises BreachError if the pair stays broken or a unit is not
    active. A fault may be impossible because the one before took its victim. We note that; it is no breach.
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
                record.notes.append(f"could not cause {hit.fault}: {error}")
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
    """SIGKILL those of the hit's programs that run at this moment."""
    scene.faults.storm(scene.pair.node_ids["ab".index(hit.node)], KILLED[hit.fault])


def begin(scene: Scene, hit: Hit) -> None:
    """Begin it as `make fault` does, but do not put back what the node or the cluster restores by itself."""
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
    """Run the steps of the seed and the kind until the time is up; call `keep` after each.

    Raises BreachError at the first breach.
    """
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
