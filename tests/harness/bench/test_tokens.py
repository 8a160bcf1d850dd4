from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cloudinit import corosync
from tests.bench.token_report import detection_s, draw, report, table
from tests.bench.tokens import CASES, Case, Outcome, breaches, missed, retimed, tokens_of
from tests.lab.errors import LabError
from tests.unit.cloudinit.conftest import make_spec

VIP = "10.0.250.185"


WELL = Outcome(moves=0, outage_s=0.0, converged_s=0.3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_missed_where_the_vip_stays(case: Case) -> None:
    assert breaches(case, WELL, 1000) == []


@pytest.mark.parametrize(
    ("case", "outcome", "words"),
    [
        (Case("stall", 0.6), Outcome(1, 0.5, 0.3), "must cost no move"),
        (Case("stall", 3.0), Outcome(2, 0.5, 0.3), "ping-pong"),
        (Case("loss", 5), Outcome(1, 0.5, 0.3), "no node was lost"),
        (Case("load", 0.9), Outcome(1, 0.5, 0.3), "no node was lost"),
        (Case("stall", 3.0), Outcome(1, 0.5, 2.1), "whole after 2.1 s"),
    ],
)
def test_a_missed_goal_is_said(case: Case, outcome: Outcome, words: str) -> None:
    (said,) = breaches(case, outcome, 1000)
    assert words in said


@pytest.mark.parametrize("factor", [0.9, 1.2, 3.0])
def test_a_longer_stall_may_move_it_once(factor: float) -> None:
    assert breaches(Case("stall", factor), Outcome(1, 0.5, 1.9), 1000) == []


def test_a_short_stall_that_a_busy_machine_made_long_is_not_held_against_the_token() -> None:
    assert breaches(Case("stall", 0.6), Outcome(1, 0.5, 0.3, lasted_s=0.9), 1000) == []
    assert breaches(Case("stall", 0.6), Outcome(1, 0.5, 0.3, lasted_s=0.59), 1000) != []


def test_a_token_brings_its_own_times_and_the_old_one_its_old_ones() -> None:
    own = corosync.conf(make_spec(token_ms=1000))
    for token_ms in (200, 300, 3000):
        changed = retimed(own, token_ms)
        assert changed == corosync.conf(make_spec(token_ms=token_ms))
        assert retimed(changed, 1000) == own


def test_a_strange_corosync_conf_is_left_alone() -> None:
    with pytest.raises(LabError, match="has token 0 times"):
        retimed("totem {\n}\n", 300)


def test_tokens_are_read_from_words() -> None:
    assert tokens_of("300, 1000 ") == [300, 1000]
    assert tokens_of("") == []
    for wrong in ("fast", "30", "-300", "1e3"):
        with pytest.raises(LabError, match=f"'{wrong}' is not a token"):
            tokens_of(wrong)


def found(moved: int) -> dict[str, Any]:
    return {
        "crashes": [{"outage_s": s, "dc": "holder", "phases_s": {"detection": s}} for s in (0.5, 0.6, 0.9)],
        "cases": {
            case.name: {
                "moves": moved if case.stall and case.size > 1 else 0,
                "outage_s": 0.1,
                "converged_s": 0.7,
            }
            for case in CASES
        },
        "failed": [],
    }


RESULTS = {"1000": found(0), "300": found(1)}


def test_the_report_has_the_spread_and_what_was_missed() -> None:
    made = json.loads(json.dumps(report({**RESULTS, "200": found(2)}, {"cpus": 2})))
    assert made["tokens"]["300"]["crash_outage_spread_s"] == {"median": 0.6, "p99": 0.894, "max": 0.9}
    assert made["tokens"]["1000"]["detection_s"] == detection_s(1000) == 1.1
    assert len(made["missed"]) == 4
    assert all("token 200" in words and "ping-pong" in words for words in made["missed"])


def test_a_step_that_failed_is_missed_too() -> None:
    assert missed({"300": {**found(0), "failed": ["crash: nobody came"]}}) == [
        "token 300: crash: nobody came"
    ]


def test_the_table_has_a_row_for_each_token_in_order() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(RESULTS))
    rows = [line for line in console.export_text().splitlines() if "0.60 (0.90)" in line]
    assert [row.replace("│", " ").split() for row in rows] == [
        ["300", "0.60", "(0.90)", "0", "0", "0", "2", "2", "0", "0", "0", "1", "0.7"],
        ["1000", "0.60", "(0.90)", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0.7"],
    ]


def test_what_is_not_measured_yet_has_no_figure() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table({"300": {"crashes": [], "cases": {}, "failed": []}}))
    assert "-" in console.export_text()


@pytest.mark.subprocess  # matplotlib runs fontconfig once per machine
def test_the_picture_shows_every_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.svg"
    draw(RESULTS, "of a test", path)
    text = path.read_text()
    for words in ("token 300 ms", "token 1000 ms", "0.60 s", "the VIP moved once", "of a test"):
        assert words in text, words
    draw(RESULTS, "of a test", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == text
