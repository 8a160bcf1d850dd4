from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.drill import row as row_module
from tests.drill.fault_rows import ROWS
from tests.drill.pair import Reach
from tests.drill.row import MAY, MUST, STAYS, Outcome, Row, longest_silence, run_row
from tests.drill.scene import Scene, failures, moves, places
from tests.lab.errors import LabError
from tests.lab.faults.machine import DAEMONS
from tests.lab.timeline import Event

VIP = "10.0.250.185"


def route(eni: str | None, address: str = VIP, t: float = 0.0) -> Event:
    return Event(t, t, "route", {"address": address, "eni_id": eni})


def test_where_the_vip_was_is_told_by_the_routes_of_its_own_address() -> None:
    events = [route("eni-b"), route("eni-a", "10.0.250.9"), route(None), route("eni-thief"), route("eni-b")]
    visited = places(events, VIP, "i-a", {"eni-a": "i-a", "eni-b": "i-b"})
    assert visited == ["i-a", "i-b", "eni-thief", "i-b"]
    assert moves(visited, ["i-a", "i-b"]) == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], 0),
        (["eni-b"], 1),
        ([None, "eni-b"], 1),
        ([None, "eni-a"], 0),
        (["eni-b", "eni-b"], 1),
        (["eni-b", None, "eni-a"], 2),
        (["eni-b", "eni-a", "eni-b"], 3),
    ],
)
def test_a_move_is_to_another_interface(path: list[str | None], expected: int) -> None:
    assert len(places([route(eni) for eni in path], VIP, "eni-a")) - 1 == expected


def test_a_ping_pong_is_counted() -> None:
    assert moves(["i-a", "i-b", "i-a", "i-b"], ["i-a", "i-b"]) == 3


def test_a_silence_counts_from_the_moment_at_which_the_fault_could_be_survived() -> None:
    replies = [(10.0, 1), (10.01, 2), (70.01, 3), (71.02, 4)]
    assert longest_silence(replies, 0) == pytest.approx(59.99)
    assert longest_silence(replies, 65.0) == pytest.approx(5.0)
    assert longest_silence(replies, 70.5) == pytest.approx(0.51)
    assert longest_silence(replies[:1], 0) is None


def test_failures_that_count_are_read_from_crm_mon() -> None:
    counted = (
        '<r><node_history><node name="a"><resource_history id="vip" fail-count="1"/>'
        '<resource_history id="ec2vip"/></node><node name="b"><resource_history id="vip" fail-count="0"/>'
        "</node></node_history></r>"
    )
    assert failures(counted) == ["vip on a"]


class Pair:
    """A pair whose VIP is where the test puts it."""

    vip, node_ids = VIP, ("i-a", "i-b")

    class cloud:  # noqa: N801
        reach = Reach(poll_s=0.0)

    def __init__(self) -> None:
        self.at = "i-a"

    def holder(self) -> str:
        return self.at

    def wait_for_holder_other_than(self, old: str, within_s: float, check: Callable[[], None]) -> str:
        if self.at == old:
            raise LabError(f"{old} still holds the VIP")
        return self.at


class Probe:
    """A probe that gets an answer every 10 ms, but for the test's gap; its clock stands still."""

    gap = 0.0

    def __init__(self, *_: Any) -> None:
        self.replies = [(1.0, 1), (1.01, 2), (1.02 + self.gap, 3)]

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait_for_answers(self, within_s: float) -> None:
        pass


class Stage(Scene):
    """A scene without a lab: it counts the heals and has a log of routes."""

    routes: tuple[str, ...] = ()
    remembers = 0.0
    healed: int

    def __init__(self, lab: Any, pair: Any, progress: Any) -> None:
        self.lab, self.pair, self.progress = self, pair, progress  # type: ignore[assignment]
        self.holder, self.other, self.healed = "", "", 0
        self._aside = []
        stages.append(self)

    def in_client(self) -> list[str]:
        return []

    @property
    def timeline(self) -> Stage:
        return self

    def read(self, kind: str, since: float) -> list[Event]:
        return [route(eni, t=since + 1.5) for eni in self.routes]

    def interfaces(self) -> dict[str, str]:
        return {"eni-a": "i-a", "eni-b": "i-b"}

    def wait_until_steady(self, within_s: float) -> None:
        pass

    def wait_until_forgotten(self, within_s: float = 0) -> float:
        return self.remembers

    def heal(self) -> None:
        self.healed += 1


stages: list[Stage] = []


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    stages.clear()
    monkeypatch.setattr(row_module, "Scene", Stage)
    monkeypatch.setattr(row_module, "Probe", Probe)


def to_b(scene: Scene) -> None:
    scene.pair.at = "i-b"  # type: ignore[attr-defined]


def nothing(scene: Scene) -> None:
    pass


def judged(monkeypatch: pytest.MonkeyPatch, row: Row, routes: str = "", gap: float = 0.0) -> Outcome:
    monkeypatch.setattr(Stage, "routes", tuple(routes.split()))
    monkeypatch.setattr(Probe, "gap", gap)
    return run_row(row, None, Pair(), lambda text: None)  # type: ignore[arg-type]


ROW = Row(name="any", does="something", reason="because", act=to_b, within_s=30)


@pytest.mark.parametrize(
    ("row", "routes", "gap", "passed", "words"),
    [
        (ROW, "eni-b", 1.3, True, ""),
        (replace(ROW, act=nothing), "", 0, False, "i-a still holds"),
        (replace(ROW, move=STAYS, moves=0, lasts_s=0.05), "", 0, False, "went from i-a to i-b; it must stay"),
        (replace(ROW, act=nothing, move=STAYS, moves=0, lasts_s=0.01), "", 0, True, ""),
        (replace(ROW, move=MAY), "eni-b", 0, True, ""),
        (ROW, "eni-b eni-a eni-b", 0, False, "the VIP moved 3 times; at most 1"),
        (ROW, "eni-b", 31.0, False, "without the VIP for 31.0 s; at most 30 s"),
    ],
)
def test_a_row_is_judged_by_where_the_vip_went_and_how_long_the_client_missed_it(
    monkeypatch: pytest.MonkeyPatch, row: Row, routes: str, gap: float, passed: bool, words: str
) -> None:
    outcome = judged(monkeypatch, row, routes, gap)
    assert outcome.passed is passed, outcome.detail
    assert words in outcome.detail
    assert stages[0].healed >= 1


def test_an_outcome_says_what_was_expected_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "remembers", 58.0)
    outcome = judged(monkeypatch, ROW, "eni-b", 1.3)
    assert (outcome.moves, outcome.recovered_s) == (1, 1.5)
    assert outcome.outage_s == pytest.approx(1.3)
    assert (outcome.holder_before, outcome.holder_after) == ("i-a", "i-b")
    assert outcome.expected == "must move, once at most; served within 30 s"
    assert outcome.reason == "because"
    assert outcome.detail == "failures forgotten 58 s later"


def test_what_ctrl_c_cuts_off_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(scene: Scene) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(monkeypatch, replace(ROW, act=interrupted))
    assert stages[0].healed == 1


def test_the_catalogue_has_what_it_promises() -> None:
    assert len(ROWS) >= 30
    assert {f"kill-{daemon.removeprefix('pacemaker-')}" for daemon in DAEMONS} <= ROWS.keys()
    assert list(ROWS)[-1] == "node-1-gone", "after it the pair is another one"
    for row in ROWS.values():
        assert row.move in (MUST, STAYS, MAY)
        assert len(row.reason) > 20, row.name
        assert not (
            row.move == STAYS and row.survived and row.lasts_s == 0 and "refreshed" not in row.name
        ), f"{row.name} would pass before anything could move"
