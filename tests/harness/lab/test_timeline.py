from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from tests.lab.timeline import Timeline, silences


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path)


def test_events_are_read_in_order_of_time_whoever_wrote_first(timeline: Timeline) -> None:
    timeline.append("route", t=2.0, wall=102.0, address="10.0.0.1")
    timeline.append("power", t=1.0, wall=101.0, on=True)
    assert [(event.t, event.wall, event.kind) for event in timeline.read()] == [
        (1.0, 101.0, "power"),
        (2.0, 102.0, "route"),
    ]
    assert timeline.read("route")[0]["address"] == "10.0.0.1"


def test_a_reader_asks_for_kinds_and_times(timeline: Timeline) -> None:
    for t in range(5):
        timeline.append("route" if t % 2 else "power", t=t)
    assert [event.t for event in timeline.read("power", since=1, until=3)] == [2]
    assert [event.t for event in timeline.read(without={"power"})] == [1, 3]


def test_the_administrators_calls_are_there_only_when_asked_for(timeline: Timeline) -> None:
    timeline.append("api", action="DescribeInstances", instance_id=None)
    timeline.append("api", action="AssignPrivateIpAddresses", instance_id="i-1")
    assert [event["action"] for event in timeline.read("api")] == ["AssignPrivateIpAddresses"]
    assert len(timeline.read("api", administrator=True)) == 2


def test_a_line_that_is_being_written_is_left_for_the_next_reader(timeline: Timeline) -> None:
    timeline.append("power", t=1.0)
    with timeline.path.open("a") as file:
        file.write('{"t": 2.0, "wall"')
    assert [event.t for event in timeline.read()] == [1.0]


def test_lines_of_many_writers_stay_whole(timeline: Timeline) -> None:
    def write(number: int) -> None:
        for _ in range(100):
            timeline.append("log", instance_id=f"i-{number}", text="x" * 500)

    threads = [Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in timeline.path.read_text().splitlines()]) == 400


def test_it_does_not_grow_without_bound_and_says_what_it_dropped(
    timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several writers at once: each line is in one of two files until a third replaces the older one."""
    monkeypatch.setattr("tests.lab.timeline.MOST_BYTES", 20_000)

    def write(number: int) -> None:
        for count in range(300):
            timeline.append("log", instance_id=f"i-{number}", text="x" * 100, count=count)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert sum(path.stat().st_size for path in timeline.path.parent.iterdir()) < 3 * 20_000
    events = timeline.read()
    assert all(event["bytes"] >= 20_000 for event in timeline.read("dropped"))
    assert timeline.read("dropped")
    # Each writer's last events are kept, without a gap.
    for number in range(4):
        counts = [event["count"] for event in events if event.get("instance_id") == f"i-{number}"]
        assert counts == list(range(300))[300 - len(counts) :]


def test_nothing_is_said_to_be_dropped_while_all_is_there(
    timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.lab.timeline.MOST_BYTES", 2_000)
    for count in range(30):
        timeline.append("log", count=count)
    assert timeline.older.exists()
    assert [event.get("count") for event in timeline.read()] == list(range(30))


def test_the_tail_is_for_people_and_leaves_out_what_is_loud(timeline: Timeline) -> None:
    timeline.append("fault", t=1.0, fault="hang", what="begins", nodes=["i-1"])
    timeline.append("imds", t=1.5, path="/latest/api/token")
    timeline.append("api", t=2.0, action="DescribeInstances", instance_id=None)
    timeline.append("power", t=3.5, instance_id="i-1", on=False)
    assert [line.split() for line in timeline.tail(60)] == [
        ["-2.500", "fault", "fault=hang", "what=begins", "nodes=['i-1']"],
        ["0.000", "power", "instance_id=i-1", "on=False"],
    ]


def test_a_timeline_without_events_has_an_empty_tail(timeline: Timeline) -> None:
    assert timeline.tail(60) == []


def test_silences_are_the_long_gaps_between_a_probers_answers(timeline: Timeline) -> None:
    for t in (1.00, 1.01, 1.02, 3.30, 3.31):
        timeline.append("ping", t=t)
    timeline.append("power", t=2.0)
    assert silences(timeline.read(), longer_than_s=0.1) == [(1.02, 3.30)]
