"""Labs as a whole: several at once, killed at any moment, up and down again and again; nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import command
from tests.cluster.hollow import A, Hollow, eventually
from tests.cluster.labs import own_lab
from tests.cluster.test_isolation import begin_up, traces
from tests.drill.clouds import lab_pair
from tests.drill.pair import Pair
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.paths import PROJECT
from tests.lab.process import children, run
from tests.lab.waiting import wait_for

CYCLES = int(os.environ.get("EC2VIP_CYCLES", "2"))
"""With twenty (`EC2VIP_CYCLES=20`), we also compare free disk and memory. This needs an idle machine."""
MANY = CYCLES >= 20
CYCLE_LIMIT_S = 300
SLACK_BYTES = 64 << 20
NAME = "life-tests"


@pytest.fixture
def spare(machine: None) -> Iterator[Lab]:
    """A lab that does not run yet. At the end we take it down, and it must leave no trace."""
    with own_lab(NAME) as lab:
        yield lab
    assert traces(NAME) == []


def test_two_labs_with_the_same_addresses_do_not_notice_each_other(hollow: Hollow, spare: Lab) -> None:
    before = hollow.lab.leader(hollow.a)
    spare.up(hollow=True)
    second = Hollow(spare)
    assert hollow.client_reaches(A)
    assert second.client_reaches(A)
    spare.ask("power-loss", instance_id=second.a)
    assert hollow.client_reaches(A)
    assert not second.client_reaches(A)
    spare.down()
    assert hollow.client_reaches(A)
    assert hollow.lab.leader(hollow.a) == before


def processes(lab: Lab) -> dict[str, int]:
    """The lab's processes on the machine: the maker of the walls, process 1 behind them, and the server."""
    outer = lab._process()
    inner = lab._process_1()
    assert outer
    assert inner
    return {"walls": outer.pid, "process 1": inner.pid, "server": children(inner.pid)[0]}


@pytest.mark.parametrize("victim", ["walls", "process 1", "server"])
def test_a_lab_one_of_whose_processes_was_killed_comes_up_again(spare: Lab, victim: str) -> None:
    spare.up(hollow=True)
    nodes = Hollow(spare)
    leader = nodes.lab.leader(nodes.a)
    assert leader
    os.kill(processes(spare)[victim], signal.SIGKILL)
    eventually(lambda: not spare.is_running())
    with pytest.raises(LabError, match=f"no lab '{NAME}' runs"):
        spare.require_running()
    spare.up(hollow=True)
    assert Hollow(spare).client_reaches(A)


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.8, 1.5, 2.5])
def test_a_lab_that_is_killed_while_it_starts_can_be_ended_and_started(spare: Lab, after_s: float) -> None:
    def start() -> None:
        # The test kills the lab meanwhile.
        with contextlib.suppress(LabError, OSError, ValueError):
            spare.up(hollow=True)

    starting = threading.Thread(target=start)
    starting.start()
    time.sleep(after_s)
    process = spare._process()
    if process:
        os.kill(process.pid, signal.SIGKILL)
    starting.join(60)
    assert not starting.is_alive()
    spare.down()
    assert traces(NAME) == []
    spare.up(hollow=True)
    assert spare.is_running()


def free() -> tuple[int, int]:
    """Free bytes on the labs' disk and in memory."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line)
    return shutil.disk_usage("/var/lib").free, int(memory.split()[1]) << 10


@pytest.mark.timeout(CYCLES * CYCLE_LIMIT_S)
def test_up_and_down_again_and_again_leave_nothing(spare: Lab) -> None:
    def cycle() -> None:
        spare.up(hollow=True)
        nodes = Hollow(spare)
        assert nodes.client_reaches(A)
        spare.down()
        assert traces(NAME) == []

    cycle()  # what is loaded once is in memory from here on
    before = free()
    for _ in range(CYCLES):
        cycle()
    if MANY:
        eventually(lambda: all(now > then - SLACK_BYTES for now, then in zip(free(), before, strict=True)))


@pytest.mark.timeout(CYCLES * CYCLE_LIMIT_S)
def test_a_second_pair_comes_and_goes_beside_the_first(
    lab: Lab, pair: Pair, spare: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the user's commands and with guests, both pairs serve the same VIP, each to its own client.

    Nothing stays afterwards. If two `up` of a lab run at once, the second waits for the first, and finds the
    lab up.
    """
    monkeypatch.setenv("AMI", "baked")
    before: list[tuple[int, int]] = []
    for number in range(CYCLES if MANY else 1):
        first = begin_up(NAME)
        wait_for("the lab's process", (spare.folder / "process.json").exists, 60)
        second = begin_up(NAME)
        said = [process.communicate(timeout=600)[0] for process in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0], "\n".join(said)
        waiting = f"another `make up` of lab {NAME!r} is at work (process {first.pid}); waiting for it"
        assert waiting in said[1]
        assert lab_pair(spare).answers()
        assert pair.flaws() == []
        ended = command("down", lab=NAME)
        assert ended.returncode == 0, ended.stderr
        assert traces(NAME) == []
        assert pair.flaws() == []
        before.append(free())
        disk, memory = ((now - then) / (1 << 20) for now, then in zip(before[-1], before[0], strict=True))
        took = said[0].split("up after ")[1].splitlines()[0]
        print(f"cycle {number + 1}: {took}; since the first: disk {disk:+.1f} MiB, memory {memory:+.1f} MiB")
    if MANY:
        eventually(lambda: all(now > then - SLACK_BYTES for now, then in zip(free(), before[0], strict=True)))


def test_a_command_leaves_nothing_in_the_checkout(tmp_path: Path) -> None:
    """It leaves neither bytecode nor reports of root's. A copy of the checkout starts without any."""
    copy = tmp_path / "checkout"
    tracked = run(["git", "ls-files"], cwd=PROJECT).stdout.split()
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, copy / name)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    for words in (["fault"], ["status", "LAB=no-such-lab"], ["help"]):
        subprocess.run(
            ["make", "-s", *words], cwd=copy, env=env, capture_output=True, check=False, timeout=300
        )
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()} - set(tracked)
    assert left == set()
