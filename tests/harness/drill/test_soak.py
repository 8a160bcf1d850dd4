from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from tests.drill import soak as soak_module
from tests.drill.soak import (
    KILLED,
    LATE_S,
    LONG_S,
    MOST_KILLS,
    SHORT_S,
    SOON_S,
    UNITS,
    BreachError,
    Hit,
    Kind,
    Record,
    Step,
    report,
    run_step,
    soak,
    steps,
)
from tests.lab.errors import LabError
from tests.lab.faults.catalogue import CATALOGUE


@pytest.mark.parametrize("kind", Kind)
def test_a_seed_has_one_sequence_and_another_seed_another(kind: Kind) -> None:
    first, again, other = (list(islice(steps(seed, kind), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_in_the_long_run_everything_is_killed_on_either_node_alone_and_in_rows() -> None:
    drawn = list(islice(steps(1, Kind.KILLS), 2000))
    assert {(hit.fault, hit.node) for step in drawn for hit in step.hits} == {
        (name, node) for name in KILLED for node in "ab"
    }
    assert {len(step.hits) for step in drawn} == set(range(1, MOST_KILLS + 1))
    assert all(SOON_S <= step.apart_s <= LATE_S and not step.lasts_s for step in drawn)
    assert str(Step(1, (Hit("kill-all", "a"), Hit("kill-guard", "b")), 0.5, 0.0)) == (
        "kill-all on a, 0.5 s later kill-guard on b"
    )


def test_in_the_long_run_every_fault_comes_on_either_node_alone_and_in_pairs() -> None:
    drawn = list(islice(steps(1), 2000))
    assert {(hit.fault, hit.node) for step in drawn for hit in step.hits} == {
        (name, node) for name in CATALOGUE for node in "ab"
    }
    assert {len(step.hits) for step in drawn} == {1, 2}
    assert all(SHORT_S <= step.lasts_s <= LONG_S for step in drawn)
    assert [step.number for step in drawn] == list(range(1, 2001))


class Stage:
    """A scene whose pair becomes whole, unless the test breaks it."""

    broken = inactive = ""

    def __init__(self, *_: Any) -> None:
        self.healed = False
        stages.append(self)

    def look(self) -> None:
        pass

    def heal(self) -> None:
        self.healed = True

    def wait_until_steady(self, within_s: float) -> None:
        assert self.healed
        if self.broken:
            raise LabError(self.broken)

    def wait_until_active(self, units: tuple[str, ...], within_s: float) -> None:
        assert units == UNITS
        if self.inactive:
            raise LabError(self.inactive)


class Pair:
    def wait_until_whole(self, *_: object) -> None:
        pass

    def holder(self) -> str:
        return "i-a"


stages: list[Stage] = []
STEP = Step(3, (Hit("hang", "a"), Hit("power-loss", "b")), 0.0, 0.0)


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    stages.clear()
    monkeypatch.setattr(soak_module, "Scene", Stage)


def run(step: Step = STEP, begin: Callable[[Any, Hit], None] = lambda scene, hit: None) -> Record:
    record = Record(step.number, str(step))
    run_step(step, None, Pair(), record, lambda text: None, begin)  # type: ignore[arg-type]
    return record


def test_a_pair_that_does_not_become_whole_is_a_breach_that_names_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stage, "broken", "the VIP is with nobody")
    with pytest.raises(BreachError, match=r"step 3, hang on a, 0 s later power-loss on b: .* with nobody"):
        run()


def test_a_unit_that_stays_dead_is_a_breach_though_the_vip_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "inactive", "ec2vip-guard.service is failed on i-b")
    with pytest.raises(BreachError, match=r"guard\.service is failed on i-b"):
        run()


def test_a_fault_that_cannot_be_had_is_a_note_and_no_breach() -> None:
    def refuse(scene: Stage, hit: Hit) -> None:
        raise LabError(f"no {hit.fault} today")

    record = run(begin=refuse)
    assert record.holder == "i-a"
    assert record.notes[0] == "could not cause hang: no hang today"


def test_what_ctrl_c_cuts_off_is_mended() -> None:
    def interrupt(scene: Stage, hit: Hit) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(begin=interrupt)
    assert stages[0].healed


def test_a_breach_ends_the_soak_with_all_steps_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(step: Step, *_: Any) -> None:
        if step.number == 3:
            raise BreachError("dark")

    kept: list[int] = []
    monkeypatch.setattr(soak_module, "run_step", step)
    with pytest.raises(BreachError):
        soak(5, 1, None, Pair(), lambda text: None, lambda records: kept.append(len(records)))  # type: ignore[arg-type]
    assert kept == [1, 2, 3]


def test_the_report_has_seed_and_steps() -> None:
    written = report(Kind.KILLS, 5, 1.5, "now", False, [Record(1, "hang on a", 3.2, "i-a")], "dark")
    assert (written["kind"], written["seed"]) == ("kills", 5)
    assert (written["passed"], written["breach"]) == (False, "dark")
    assert written["steps"][0]["whole_after_s"] == 3.2
