"""EC2 throttles the holder while the VIP is well: what our agent and awsvip make of it, side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.subjects.stage import Stage
from tests.bench.subjects.subject import AWSVIP_MONITOR_S
from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.drill.row import longest_silence
from tests.drill.scene import Scene, moves, places
from tests.lab.lab import Lab

THROTTLED_S = AWSVIP_MONITOR_S + 15.0
"""Long enough for a monitor of either agent, and for all retries of the AWS CLI."""

PATIENCE_S = 2.0
"""A client of an untouched VIP misses nothing; the rest is for a busy machine."""


@dataclass(frozen=True)
class Seen:
    """What a client and EC2 saw: the longest time without an answer (s), and the moves from node to node."""

    outage_s: float
    moves: int
    failures: list[str]


def throttle(lab: Lab, pair: Pair) -> Seen:
    """Throttle the holder's API for THROTTLED_S; nothing else happens to the pair."""
    scene = Scene(lab, pair)
    scene.look()
    begun = time.monotonic()
    with Probe(lab.in_client(), pair.vip) as probe:
        probe.wait_for_answers(10)
        with scene.faults.api(scene.holder, "throttled"):
            time.sleep(THROTTLED_S)
            failures = scene.remembered()
        ended = time.time()
        replies = [*probe.replies, (ended, 0)]  # an outage that has not ended counts to here
    visited = places(lab.timeline.read("route", since=begun), pair.vip, scene.holder, scene.interfaces())
    return Seen(longest_silence(replies, 0.0) or 0.0, moves(visited, pair.node_ids), failures)


def test_throttling_takes_the_vip_from_awsvips_clients_and_not_from_ours(lab: Lab, pair: Pair) -> None:
    stage = Stage(lab, pair)
    ours, awsvip = stage.subjects[:2]
    with stage.ready():
        seen = throttle(lab, pair)
        print(ours.name, seen)
        assert seen.outage_s < PATIENCE_S
        assert seen.moves == 0
        assert seen.failures == []
        stage.give(awsvip)
        seen = throttle(lab, pair)
        print(awsvip.name, seen)
        # awsvip takes an EC2 error for "not running", so Pacemaker recovers a VIP that is well.
        assert any(words.startswith(awsvip.resources[0]) for words in seen.failures), seen
    assert pair.flaws() == []
