from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.comparison import LATENCIES, Figures, chosen, percentile, report, spread, table, turns
from tests.bench.failovers import KINDS, Measured
from tests.bench.figure import draw
from tests.bench.phases import Failover
from tests.lab.errors import LabError

LIMITS = {"ec2vip": 1.1, "awsvip": 1.1, "original": 2.2}


def figures(scale: float) -> Figures:
    made = Figures(
        monitor_ms=[30.0 * scale], monitor_cpu_ms=[20.0 * scale], api_calls_per_hour=360 * (scale - 1)
    )
    for kind in KINDS:
        for run in (1.0, 2.0, 4.0):
            phases = {"detection": run * scale / 2, "API": run * scale / 2}
            made.failovers[kind].append(Measured(kind, run * scale, Failover({}, phases)))
    return made


def results() -> dict[str, dict[str, Figures]]:
    made = {"ec2vip": figures(1), "awsvip": figures(3), "original": figures(4)}
    return {"none": made, "typical": made}


@pytest.mark.parametrize("runs", [1, 3, 5, 7, 10, 23])
def test_every_subject_gets_all_its_runs(runs: int) -> None:
    done = [0, 0, 0]
    for share, order in turns(runs, 3):
        assert sorted(order) == [0, 1, 2]
        for subject in order:
            done[subject] += share
    assert done == [runs] * 3


def test_some_of_the_kinds_and_latencies_can_be_run() -> None:
    assert chosen("", KINDS, "kind", "") == KINDS
    assert chosen("planned, crash", KINDS, "kind", "") == ("crash", "planned")
    assert chosen("typical", LATENCIES, "latency", "") == ("typical",)
    with pytest.raises(LabError, match="there is no kind 'crush'; use one of crash, reboot, planned"):
        chosen("planned crush", KINDS, "kind", "set KINDS='crash planned'")


def test_the_order_changes_from_round_to_round() -> None:
    orders = [order for _, order in turns(10, 3)]
    assert [order[0] for order in orders] == [0, 1, 2, 0, 1]


def test_the_report_has_every_figure_of_every_subject() -> None:
    made = report(3, results(), LIMITS, {})
    assert made["runs"] == 3
    assert made["limits"]["crash_s"] == 1.1
    assert set(made["subjects"]) == {"ec2vip", "awsvip", "original"}
    assert made["subjects"] == made["latencies"]["none"]
    for subject in made["subjects"].values():
        for kind in KINDS:
            assert len(subject[f"{kind}_outage_s"]) == 3
            assert [sum(phases.values()) for phases in subject[f"{kind}_phases_s"]] == subject[
                f"{kind}_outage_s"
            ]
    assert made["subjects"]["awsvip"]["crash_outage_s"] == [3.0, 6.0, 12.0]
    assert made["subjects"]["awsvip"]["crash_outage_spread_s"] == {"median": 6.0, "p99": 11.88, "max": 12.0}
    assert made["subjects"]["original"]["api_calls_per_hour"] == 1080


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0], 0.5, 1.5),
        (list(map(float, range(101))), 0.99, 99.0),
        ([3.0, 1.0], 1.0, 3.0),
    ],
)
def test_a_percentile_is_drawn_between_its_neighbours(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_nothing_measured_has_no_spread() -> None:
    assert spread([]) == {}


def test_the_table_says_median_spread_and_how_many_times_ours() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table("none", results()["none"], LIMITS))
    shown = console.export_text()
    assert "2.00 (1.00, 3.96, 4.00)" in shown
    assert "6.00 (3.00, 11.88, 12.00)  x 3.0" in shown
    assert "2.20" in shown


def test_a_subject_that_was_not_measured_yet_has_no_figure() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table("none", {"ec2vip": figures(1), "awsvip": Figures()}, LIMITS))
    assert "-" in console.export_text()


@pytest.mark.subprocess
def test_the_picture_and_the_report_have_what_was_run_alone(tmp_path: Path) -> None:
    made = figures(1)
    made.failovers = {"crash": [], "reboot": made.failovers["reboot"], "planned": []}
    draw({"ec2vip": made}, "of a test", tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text()
    assert "The holder reboots" in text
    assert "A planned move" not in text
    draw({"ec2vip": Figures()}, "of a test", tmp_path / "none.svg")
    assert report(3, {"typical": {"ec2vip": made}}, LIMITS, {})["subjects"] == {}


@pytest.mark.subprocess  # matplotlib runs fontconfig once per machine
def test_the_picture_shows_the_run_nearest_to_the_median(tmp_path: Path) -> None:
    path = tmp_path / "bench.svg"
    draw(results()["none"], "of a test", path)
    text = path.read_text()
    for words in (
        "ec2vip",
        "awsvip",
        "original",
        "2.00 s",
        "6.00 s",
        "8.00 s",
        "A planned move",
        "detection",
    ):
        assert words in text, words
    draw(results()["none"], "of a test", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == text
