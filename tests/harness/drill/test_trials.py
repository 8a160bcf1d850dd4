from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

import tests.drill.trials as trials
from tests.drill.pair import Pair, Reach
from tests.drill.trials import TRIALS, Result, Trial, report, run_trial
from tests.harness.drill.test_pair import VIP, Outside
from tests.lab.errors import LabError

BY_NAME = {trial.name: trial for trial in TRIALS}


class Powered(Outside):
    """A pair whose VIP moves if the power is cut, unless `moves` is False."""

    reach = Reach(poll_s=0.0, no_shell="SSM is off")

    def __init__(self, moves: bool = True) -> None:
        super().__init__()
        self.moves = moves
        self.power: list[str] = []

    def cut_power(self, instance_id: str) -> None:
        self.power.append(f"off {instance_id}")
        if self.moves:
            self.in_ec2 = "i-b" if instance_id == "i-a" else "i-a"

    def restore_power(self, instance_id: str) -> None:
        self.power.append(f"on {instance_id}")


def run(cloud: Outside, trial: Trial, said: list[str] | None = None) -> Result:
    return run_trial(trial, Pair(cloud, VIP, ["i-a", "i-b"]), (said if said is not None else []).append)


def test_without_a_client_the_outage_is_the_move_that_ec2_shows_and_says_so() -> None:
    cloud = Powered()
    result = run(cloud, BY_NAME["power-loss"])
    assert (result.passed, result.holder_before, result.holder_after) == (True, "i-a", "i-b")
    assert result.outage_s == result.recovered_s
    assert "API-visible move time" in result.detail
    assert cloud.power == ["off i-a", "on i-a"]


@pytest.mark.parametrize("name", ["stop-pacemaker", "kill-pacemakerd", "stop-corosync"])
def test_a_trial_that_needs_a_shell_is_skipped_with_the_reason(name: str) -> None:
    assert run(Powered(), BY_NAME[name]) == Result(name, None, None, None, "", "", "skipped: SSM is off")


def test_what_a_failed_trial_broke_is_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MOVE_LIMIT_S", 0.05)
    cloud = Powered(moves=False)
    result = run(cloud, BY_NAME["power-loss"])
    assert result.passed is False
    assert "i-a still holds the VIP" in result.detail
    assert cloud.power == ["off i-a", "on i-a"]


def test_what_an_interrupted_trial_broke_is_healed_and_named() -> None:
    class Interrupted(Powered):
        def cut_power(self, instance_id: str) -> None:
            super().cut_power(instance_id)
            raise KeyboardInterrupt

    cloud, said = Interrupted(moves=False), list[str]()
    with pytest.raises(KeyboardInterrupt):
        run(cloud, BY_NAME["power-loss"], said)
    assert cloud.power == ["off i-a", "on i-a"]
    assert "aws ec2 start-instances --instance-ids i-a" in said[-1]


def test_a_fault_that_could_not_be_made_ends_the_trial_with_its_own_reason() -> None:
    class Refused(Powered):
        def cut_power(self, instance_id: str) -> None:
            raise LabError("not authorized")

    result = run(Refused(), BY_NAME["power-loss"])
    assert (result.passed, result.detail) == (False, "not authorized")


def result(passed: bool | None) -> Result:
    return Result("any", passed, None, None, "", "", "")


@pytest.mark.parametrize(
    ("verdicts", "passed"),
    [([True, None], True), ([True, False], False), ([None], False), ([], False), ([True], True)],
)
def test_a_skipped_trial_is_neither_passed_nor_failed(verdicts: list[Any], passed: bool) -> None:
    written = report("dev", "aws", datetime.now(timezone.utc), [result(verdict) for verdict in verdicts])
    assert written["passed"] is passed
    assert all(
        list(entry)
        == ["name", "passed", "outage_s", "recovered_s", "holder_before", "holder_after", "detail"]
        for entry in written["trials"]
    )
