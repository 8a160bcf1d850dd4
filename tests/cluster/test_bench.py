"""The bench's stage runs other agents and settings on the same pair, and then restores the pair."""

from __future__ import annotations

import pytest

from tests.bench.failovers import measure
from tests.bench.monitor_cost import monitor_cost
from tests.bench.subjects.stage import COROSYNC, Stage
from tests.bench.subjects.subject import configuration
from tests.drill.pair import Pair
from tests.lab.lab import Lab


def state(lab: Lab, pair: Pair) -> tuple[str, list[str]]:
    """The cluster's settings, and both nodes' corosync.conf."""
    cib = lab.run_in(pair.node_ids[0], ["cibadmin", "--query"]).stdout
    return configuration(cib), [lab.run_in(node, ["cat", COROSYNC]).stdout for node in pair.node_ids]


def test_every_subject_moves_the_vip_and_the_pair_gets_its_own_cluster_back(lab: Lab, pair: Pair) -> None:
    before = state(lab, pair)
    stage = Stage(lab, pair)
    with stage.ready():
        for subject in stage.subjects:
            stage.give(subject)
            holder = pair.holder()
            assert holder is not None
            cost = monitor_cost(lab, holder, subject.agent, subject.resources[0], subject.parameters, 2)
            assert cost.codes == [0, 0], subject.name
            moved = measure("planned", lab, pair, subject.resources)
            assert sum(moved.failover.phases.values()) == pytest.approx(moved.outage_s, abs=0.01)
            # The outage may begin after the call, and then does not include the agent's time.
            assert {"agent started", "request", "accepted"} <= moved.failover.marks.keys(), (
                moved.failover.marks
            )
            assert pair.holder() != holder, subject.name
    assert pair.flaws() == []
    assert state(lab, pair) == before
    allowed = lab.client("iam").list_role_policies(RoleName=stage._role())["PolicyNames"]
    assert "bench" not in allowed


def interrupted_with_a_node_off(stage: Stage) -> None:
    """Press Ctrl-C just after the holder lost its power."""
    with stage.ready():
        stage.give(stage.subjects[-1])
        stage.pair.cloud.cut_power(stage.pair.holder() or "")
        raise KeyboardInterrupt


def test_an_interrupted_bench_gives_the_pair_back_even_while_a_node_is_off(lab: Lab, pair: Pair) -> None:
    before = state(lab, pair)
    with pytest.raises(KeyboardInterrupt):
        interrupted_with_a_node_off(Stage(lab, pair))
    assert pair.flaws() == []
    assert state(lab, pair) == before
