"""One row of the fault catalogue: what breaks, what must follow and why; and how we run and judge it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.drill.pair import Pair
from tests.drill.probe import Probe, pauses
from tests.drill.scene import FAILURES, Scene, moves, places
from tests.drill.trials import Result
from tests.lab.errors import LabError
from tests.lab.lab import Lab

MUST, STAYS, MAY = "must move", "must stay", "may move"

# Bounds, in seconds. They do not measure speed: each is what the settings add up to, at least doubled for a
# machine that has other work.
AT_ONCE = 30.0
"""Corosync's token and consensus, a transition and one call to EC2: some 1.5 s."""
NEXT_MONITOR = 60.0
"""A monitor (every 10 s) finds it; then all of the above."""
FORGOTTEN = 180.0
"""The cluster tries a failed node again when the failure has expired: after 60 s, checked once a minute."""
BOOTED = 150.0
"""A boot, the cluster's start, and all of the above."""
ROUND = 25.0
"""Long enough for two monitors to see the fault."""

PATIENT = "the only node left keeps asking for almost a minute"
"""Why a pair recovers when a fault of EC2 or the metadata at a crash ends (the agent's ALONE_TIME)."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: `act` breaks what `does` says.

    It stays broken until `lasts_s` have passed and the expectation is met.
    """

    name: str
    does: str
    reason: str
    act: Callable[[Scene], None]
    move: str = MUST
    """Whether the VIP must go to the other node while the fault is in force: MUST, STAYS or MAY."""
    moves: int = 1
    """How often the VIP may change nodes at most, until the pair is whole again."""
    within_s: float = AT_ONCE
    """The longest that a client may be without the VIP, once the fault can be survived."""
    lasts_s: float = 0.0
    moved_within_s: float = 0.0
    """How soon the VIP must have moved, if not `within_s`: the old holder may serve the client all the
    while."""
    survived: bool = True
    """False: by design nobody has the VIP while the fault is in force; `within_s` counts from its end."""
    by_itself: bool = False
    """Whether the pair must be whole again before we mend anything: the fault took nothing away."""
    prepare: Callable[[Scene], None] = lambda scene: None

    @property
    def expected(self) -> str:
        """The expectation in a few words."""
        if not self.survived:
            return f"out while it lasts, by design; served {self.within_s:.0f} s after its end"
        times = {0: "", 1: ", once at most"}.get(self.moves, f", {self.moves} times at most")
        return f"{self.move}{times}; served within {self.within_s:.0f} s"


unmoved = partial(Row, move=STAYS, moves=0, lasts_s=ROUND)
"""A row in which the VIP must stay where it is, while two monitors see the fault."""


@dataclass(frozen=True)
class Outcome(Result):
    """A row's result.

    `outage_s` is the longest that the client was without the VIP. `recovered_s` is the time until EC2
    delivered to the other node (None if it did not). `moves` is how often the VIP changed nodes (None if not
    counted).
    """

    does: str
    expected: str
    reason: str
    moves: int | None


def run_row(row: Row, lab: Lab, pair: Pair, progress: Callable[[str], None]) -> Outcome:
    """Break, watch, mend and judge; return the outcome.

    A failure is an outcome, not an exception. We mend what we broke in any case, also on Ctrl-C.
    """
    scene = Scene(lab, pair, progress)
    watch = Watch(scene)
    fault = ""
    try:
        scene.wait_until_steady(BOOTED)
        scene.wait_until_forgotten()
        row.prepare(scene)
        scene.look()
        watch.run(row)
    except FAILURES as error:
        fault = str(error)
    finally:
        try:
            scene.heal()
        except LabError as error:
            fault = fault or str(error)
    outage = watch.silence(0.0)
    return Outcome(
        name=row.name,
        passed=not fault,
        outage_s=outage,
        recovered_s=watch.recovered_s,
        holder_before=scene.holder,
        holder_after=watch.after,
        detail=fault or "; ".join(watch.notes),
        does=row.does,
        expected=row.expected,
        reason=row.reason,
        moves=watch.moves,
    )


class Watch:
    """What the client and EC2 show while one row runs."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.replies: list[tuple[float, int]] = []
        self.notes: list[str] = []
        self.after = ""
        self.moves: int | None = None
        self.recovered_s: float | None = None

    def run(self, row: Row) -> None:
        """Run the row. Raises LabError with what was not as expected."""
        scene, pair = self.scene, self.scene.pair
        interfaces, begun = scene.interfaces(), time.monotonic()
        with Probe(scene.lab.in_client(), pair.vip) as probe:
            self.replies = probe.replies
            probe.wait_for_answers(10)
            begun, survivable_from = time.monotonic(), 0.0
            try:
                row.act(scene)
                self._expect(row, probe, begun)
                if row.by_itself:
                    scene.wait_until_steady(row.within_s)
                if not row.survived:
                    survivable_from = time.time()
                    scene.cure()
                    probe.wait_for_answers(row.within_s)
                scene.heal()
                scene.wait_until_steady(max(row.within_s, BOOTED))
                self.after = pair.holder() or ""
            finally:
                self._count(interfaces, begun)
        if (silence := self.silence(survivable_from) or 0.0) > row.within_s:
            raise LabError(
                f"the client was without the VIP for {silence:.1f} s", f"at most {row.within_s:.0f} s"
            )
        if self.moves is not None and self.moves > row.moves:
            raise LabError(f"the VIP moved {self.moves} times", f"at most {row.moves}")
        if (took := scene.wait_until_forgotten()) > 1:
            self.notes.append(f"failures forgotten {took:.0f} s later")

    def _expect(self, row: Row, probe: Probe, begun: float) -> None:
        """Wait for what must happen during the fault. Raises LabError once it cannot happen any more."""
        scene, pair = self.scene, self.scene.pair
        if row.move == MUST and row.survived:
            limit = row.moved_within_s or row.within_s
            pair.wait_for_holder_other_than(scene.holder, limit, scene.check_aside)
            probe.wait_for_answers(row.within_s)
        while time.monotonic() < begun + row.lasts_s:
            scene.check_aside()
            if row.move == STAYS and (holder := pair.holder()) != scene.holder:
                raise LabError(f"the VIP went from {scene.holder} to {holder or 'nobody'}", "it must stay")
            time.sleep(pair.cloud.reach.poll_s)
        if row.survived:
            probe.wait_for_answers(row.within_s)

    def _count(self, interfaces: dict[str, str], begun: float) -> None:
        """Note how often the VIP moved, and how soon.

        If a node was replaced, the interfaces from before and after both count.
        """
        scene = self.scene
        try:
            known = interfaces | scene.interfaces()
            events = scene.lab.timeline.read("route", since=begun)
        except FAILURES as error:
            self.notes.append(f"moves not counted: {error}")
            return
        visited = places(events, scene.pair.vip, scene.holder, known)
        self.moves = moves(visited, known.values())
        other = {eni for eni, node in known.items() if node != scene.holder}
        first = next(
            (e.t for e in events if e["address"] == scene.pair.vip and e.get("eni_id") in other), None
        )
        self.recovered_s = None if first is None else round(first - begun, 3)

    def silence(self, since: float) -> float | None:
        """The longest time (s) without an answer after `since` (s since 1970)."""
        return longest_silence(self.replies, since)


def longest_silence(replies: Sequence[tuple[float, int]], since: float) -> float | None:
    """As `Watch.silence`; None with fewer than two answers or none after `since`: nothing was measured."""
    lengths = [length for _, length, _ in pauses(replies, since)]
    return max(0.0, round(max(lengths), 3)) if lengths else None
