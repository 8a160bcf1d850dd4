"""The promise itself: whatever happens to the holder, one node has the VIP and a client reaches it."""

from __future__ import annotations

import pytest

from tests.cluster.labs import passes
from tests.drill.pair import Pair
from tests.drill.trials import TRIALS, Trial, run_trial


def test_up_leaves_two_nodes_online_and_one_holder(pair: Pair) -> None:
    nodes = pair.nodes()
    assert [node.state for node in nodes] == ["running", "running"]
    assert [node.cluster for node in nodes] == ["online", "online"]
    assert sum(node.holds_in_ec2 for node in nodes) == 1
    assert [node.holds_in_ec2 for node in nodes] == [node.holds_in_os for node in nodes]
    assert pair.answers()


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_the_client_keeps_the_vip_when(trial: Trial, pair: Pair) -> None:
    passes(trial, pair)


def test_a_vip_that_moved_away_and_back_is_with_one_node(pair: Pair) -> None:
    """Move it twice in a row: failures left over from the first move must not prevent the second."""
    reboot = TRIALS[0]
    first = run_trial(reboot, pair, progress=print)
    second = run_trial(reboot, pair, progress=print)
    assert first.passed, first.detail
    assert second.passed, second.detail
    assert second.holder_after == first.holder_before
