"""What the drill derives from the pings and events of a roll."""

from __future__ import annotations

import pytest

from tests.drill import rollout
from tests.drill.rollout import both_out, gaps
from tests.lab.timeline import Event


def _events(*events: tuple[str, dict[str, str]]) -> list[Event]:
    return [Event(float(t), float(t), kind, fields) for t, (kind, fields) in enumerate(events)]


def test_gaps_leave_out_the_interval_and_what_a_busy_machine_does() -> None:
    replies = [(0.0, 0), (0.01, 1), (0.05, 3), (0.46, 40), (0.47, 41), (0.67, 42), (0.87, 60)]
    assert gaps(replies) == [(0.05, 0.4), (0.67, 0.19)]


@pytest.mark.parametrize(("second", "out"), [("running", False), ("stopped", True)])
def test_both_are_out_where_none_runs(second: str, out: bool) -> None:
    events = _events(
        ("instance", {"instance_id": "b", "state": "shutting-down"}),
        ("instance", {"instance_id": "c", "state": second}),
        ("instance", {"instance_id": "a", "state": "stopping"}),
    )
    assert both_out(events, ["a", "b"]) == out


def test_every_latency_has_a_goal_and_the_last_settings_are_the_files() -> None:
    assert len(rollout.GOALS_S) == len(rollout.TOKENS_MS)
    assert rollout.TOKENS_MS[-1] == 1000
