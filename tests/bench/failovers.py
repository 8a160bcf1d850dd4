"""The three failovers that we compare: a crash, a reboot and a planned move; and where their time went."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.bench.phases import Failover, failover, journal
from tests.bench.subjects.subject import GROUP
from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.drill.trials import MOVE_LIMIT_S, TRIALS
from tests.lab.lab import Lab

SETTLE_S = 1.0
"""Pause between the pair's becoming whole and the next fault, and after the new holder's first answer."""

KINDS = ("crash", "reboot", "planned")


@dataclass(frozen=True)
class Measured:
    """One failover: its kind, the client's outage (s), and its moments."""

    kind: str
    outage_s: float
    failover: Failover


def measure(kind: str, lab: Lab, pair: Pair, resources: tuple[str, str]) -> Measured:
    """Make the VIP move in that way, then make the pair whole again. Raises LabError if either fails."""
    pair.wait_until_whole(pair.cloud.reach.whole_limit_s)
    time.sleep(SETTLE_S)
    old = pair.holder() or ""
    new = next(node for node in pair.node_ids if node != old)
    fault, heal = _acts(kind, lab)
    with Probe(lab.in_client(), pair.vip) as probe, ThreadPoolExecutor(1) as pool:
        probe.wait_for_answers(10)
        begun = time.time()
        done = pool.submit(fault, pair, old)
        pair.wait_for_holder_other_than(old, MOVE_LIMIT_S)
        probe.wait_for_answers(MOVE_LIMIT_S)
        time.sleep(SETTLE_S)
        ended = time.time()
        done.result()
        outage = probe.outage()
        heal(pair, old)
        pair.wait_until_whole(pair.cloud.reach.whole_limit_s)
    moments = failover(
        fault=begun,
        outage=outage,
        old=[entry for entry in journal(lab, old, begun) if entry.time < ended],
        new=[entry for entry in journal(lab, new, begun) if entry.time < ended],
        events=[event for event in lab.timeline.read("api", "route") if begun < event.wall < ended],
        resources=resources,
        crash=kind == "crash",
    )
    return Measured(kind, outage.seconds, moments)


Act = Callable[[Pair, str], None]


def _acts(kind: str, lab: Lab) -> tuple[Act, Act]:
    """The function that breaks the holder, and the one that brings back what does not come back by itself."""
    if kind == "planned":
        return _tell(lab, "--move"), _tell(lab, "--clear")
    name = {"crash": "power-loss", "reboot": "reboot"}[kind]
    trial = next(trial for trial in TRIALS if trial.name == name)
    return trial.fault, trial.heal


def _tell(lab: Lab, what: str) -> Act:
    def act(pair: Pair, holder: str) -> None:
        lab.run_in(holder, ["crm_resource", what, "--resource", GROUP])

    return act
