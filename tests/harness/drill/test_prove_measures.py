"""What a run measures follows what EC2 does, with the real programs of the hosts, and leaves nothing behind."""

from __future__ import annotations

import _thread
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudinit.places import LIBRARY_PATH
from tests.aws.emulator import Settings
from tests.drill import run_command
from tests.drill.prove import measures, moves
from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET
from tests.drill.prove.measures import (
    measure_all,
    measure_console,
    measure_moves,
    measure_stalls,
    measure_stops,
)
from tests.drill.prove.moves import CALL, DESCRIBED, GONE, HEARD, HEARD_OUTSIDE, READ, SHOWN
from tests.drill.prove.report import MEASURES, Measure
from tests.harness.aws.conftest import VIP, eventually
from tests.lab.errors import LabError

from .hosts import SPARE, Hosts

# Each host runs the programs that it would get on AWS, and their stand-ins for the network.
pytestmark = pytest.mark.subprocess

SAID: list[str] = []
STATS = """\
stats.ipcs.global.active (u32) = 5
stats.schedmiss.0.delay (flt) = 2023.957031
stats.schedmiss.0.timestamp (u64) = 5106558848098
stats.schedmiss.1.delay (flt) = 910
stats.schedmiss.1.timestamp (u64) = 5106556824141
"""
STAT = "cpu  700 0 100 1000 100 0 50 50 30 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than for AWS; the programs must still start in time on a busy machine."""
    monkeypatch.setattr(run_command, "POLL_S", 0.05)
    monkeypatch.setattr(moves, "LEAD_S", 4.0)
    monkeypatch.setattr(moves, "LIMIT_S", 20.0)
    for name in ("POLL_S", "HANG_S", "CONSOLE_POLL_S"):
        monkeypatch.setattr(measures, name, 0.02)
    SAID.clear()


@pytest.fixture
def make_hosts(tmp_path: Path) -> Iterator[Callable[..., Hosts]]:
    made: list[Hosts] = []

    def make(settings: Settings | None = None, **more: Any) -> Hosts:
        (folder := tmp_path / f"account-{len(made)}").mkdir()
        made.append(hosts := Hosts(folder, settings or Settings(), **more))
        return hosts

    yield make
    for hosts in made:
        hosts.close()


def by_name(found: Iterator[Measure] | Sequence[Measure]) -> dict[str, Measure]:
    return {measure.name: measure for measure in found}


def lags(factor: float) -> dict[str, float]:
    """EC2's times, `factor` times as long as the shortest."""
    usual = {"api": 0.2, "read": 0.1, "describe": 0.3, "route": 0.25, "imds": 0.35}
    return {name: seconds * factor for name, seconds in usual.items()}


def settings(took: dict[str, float]) -> Settings:
    return Settings(
        api_delay_s=took["api"],
        read_delay_s=took["read"],
        describe_lag_s=took["describe"],
        route_delay_s=took["route"],
        imds_delay_s=took["imds"],
    )


def test_every_time_is_at_least_what_ec2_takes_and_grows_with_it(make_hosts: Callable[..., Hosts]) -> None:
    """EC2's delays count from the call's effect, shortly before its answer; so the sums are exact bounds."""
    seen = {}
    for factor in (1, 4):
        took = lags(factor)
        hosts = make_hosts(settings(took))
        found = by_name(measure_moves(hosts.ground(), 2, SAID.append))
        assert list(found) == list(MEASURES[:7])
        assert not [line for line in SAID if not line.startswith("moving")]
        assert min(found[READ].values) >= took["read"]
        lines = zip(*(found[name].values for name in MEASURES[:6]), strict=True)
        for call, described, shown, gone, near, far in lines:
            assert call >= took["api"]
            assert call + described >= took["api"] + took["describe"]
            assert call + min(near, far) >= took["api"] + took["route"]
            for moment in (shown, gone):
                assert call + min(near, far) + moment >= took["api"] + took["route"] + took["imds"]
        assert len(found[CALL].values) == 2
        eventually(hosts.in_ec2, lambda listed: listed == [VIP])
        assert not [host for host in hosts.nodes if f"{SPARE}/32" in hosts.addresses(host)]
        seen[factor] = found
    for name in MEASURES[:7]:
        assert min(seen[1][name].values) < max(seen[4][name].values), name
    told = {measure.name: measure.setting for measure in seen[1].values() if measure.setting}
    assert told == {
        CALL: "api_delay_s",
        DESCRIBED: "describe_lag_s",
        SHOWN: "imds_delay_s",
        HEARD: "route_delay_s",
        READ: "read_delay_s",
    }


def test_without_a_client_the_metadata_count_from_the_answer(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts(Settings(api_delay_s=0.1, route_delay_s=0.4, imds_delay_s=0.3))
    client = hosts.clients[OTHER_SUBNET]
    del hosts.cloud.emulator.ssm_agents[client]
    found = by_name(measure_moves(hosts.ground(clients={OTHER_SUBNET: client}), 1, SAID.append))
    assert (found[HEARD].values, found[HEARD_OUTSIDE].values) == ([], [])
    assert found[HEARD].note == f"there is no client in {SAME_SUBNET}"
    assert found[HEARD_OUTSIDE].note == f"SSM does not reach the client {client}"
    for name in (SHOWN, GONE):
        assert found[CALL].values[0] + found[name].values[0] >= 0.1 + 0.4 + 0.3
        assert "0 of 1 moves" in found[name].note


def test_metadata_that_stay_stale_are_no_value(
    make_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LIMIT_S", 1.5)
    hosts = make_hosts(Settings(imds_delay_s=math.inf))
    found = by_name(measure_moves(hosts.ground(clients={}), 1, SAID.append))
    assert len(found[CALL].values) == 1
    assert (found[SHOWN].values, found[GONE].values) == ([], [])
    assert "not measured: not within 2 s" in found[SHOWN].note
    # The old node never had the address by its metadata.
    assert "not measured: the metadata were so at the first look" in found[GONE].note


def test_the_largest_offset_of_the_clocks_is_told(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    for host, offset in zip(hosts.nodes, ("0.000012", "0.004100"), strict=True):
        hosts.put(
            host, "chrony", f"Stratum         : 4\nSystem time     : {offset} seconds slow of NTP time\n"
        )
    found = by_name(measure_moves(hosts.ground(clients={}), 1, SAID.append))
    assert "assumed" in found[SHOWN].note
    assert "the largest offset that chrony reports is 0.004100 s" in found[SHOWN].note


def test_an_interruption_amid_a_move_leaves_the_address_nowhere(make_hosts: Callable[..., Hosts]) -> None:
    """The user interrupts while the new node still waits to make its call."""
    hosts = make_hosts()
    hosts.before = lambda host, words: _thread.interrupt_main() if words[-1] == LIBRARY_PATH else None
    with pytest.raises(KeyboardInterrupt):
        measure_moves(hosts.ground(), 3, SAID.append)
    calls = hosts.cloud.calls("AssignPrivateIpAddresses")
    assert [call["code"] for call in calls if call["instance_id"] == hosts.nodes[1]] == ["OK"]
    assert hosts.in_ec2() == [VIP]
    assert not [host for host in hosts.nodes if f"{SPARE}/32" in hosts.addresses(host)]


def test_an_address_that_somebody_has_is_not_touched(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    with pytest.raises(LabError, match="only a free address may be moved"):
        measure_moves(hosts.ground(spare=VIP), 1, SAID.append)
    assert hosts.in_ec2() == [VIP]


def test_a_node_without_ssm_is_told_before_anything_is_assigned(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    del hosts.cloud.emulator.ssm_agents[hosts.nodes[1]]
    with pytest.raises(LabError, match=f"SSM does not reach {hosts.nodes[1]}"):
        measure_moves(hosts.ground(), 1, SAID.append)
    assert len(hosts.cloud.calls("AssignPrivateIpAddresses")) == 1, "the pair's own VIP alone"


def test_a_call_that_ec2_refuses_is_no_value_but_a_reason(
    make_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "SPARE_TRIES", 0)
    monkeypatch.setattr(moves, "LIMIT_S", 1.0)
    hosts = make_hosts(may_move=False)
    found = by_name(measure_moves(hosts.ground(), 1, SAID.append))
    assert [measure.values for measure in found.values()] == [[]] * 7
    assert all("UnauthorizedOperation" in found[name].note for name in (CALL, DESCRIBED, READ))
    assert hosts.in_ec2() == [VIP]


def test_a_small_holder_has_no_room_beside_the_vip(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts(kind="t3.micro")
    found = by_name(measure_moves(hosts.ground(), 1, SAID.append))
    assert [measure.values for measure in found.values()] == [[]] * 7
    assert all("not measured" in measure.note and "t3.small" in measure.note for measure in found.values())
    assert hosts.in_ec2() == [VIP]


@pytest.mark.parametrize("program", ["take", "listen"])
def test_a_program_that_comes_too_late_says_so(make_hosts: Callable[..., Hosts], program: str) -> None:
    hosts = make_hosts()
    words = [LIBRARY_PATH] if program == "take" else []
    said = hosts_say(hosts, hosts.nodes[0], program, time.time() - 3, words)
    assert "s too late" in said["error"]
    assert SPARE not in hosts.in_ec2()


def test_an_answer_before_the_move_is_not_the_new_nodes(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    hosts.cloud.assign(hosts.cloud.eni(hosts.nodes[0]), SPARE)
    hosts.put(hosts.nodes[0], "addresses", f"{SPARE}/32\n")
    said = hosts_say(hosts, hosts.clients[SAME_SUBNET], "listen", time.time() + 20, [])
    assert said == {"error": "somebody answered before the move"}


def hosts_say(hosts: Hosts, host: str, program: str, start: float, words: list[str]) -> dict[str, Any]:
    source = (moves.ON_NODE / f"{program}.py").read_text()
    status, printed = hosts.run(host, ["python3", "-I", "-c", source, SPARE, f"{start:.3f}", "20", *words])
    assert status == 0
    said: dict[str, Any] = json.loads(printed)
    return said


@pytest.mark.parametrize("program", ["listen", "metadata", "take"])
def test_systems_manager_finds_no_parameter_of_its_own_in_a_program(program: str) -> None:
    """It replaces `{{ssm:NAME}}` in commands (Systems Manager User Guide, "Referencing parameters")."""
    assert "{{" not in (moves.ON_NODE / f"{program}.py").read_text()


def test_the_standby_is_stopped_without_its_system_and_started_again(
    make_hosts: Callable[..., Hosts],
) -> None:
    hosts, whole = make_hosts(), list[str]()

    def wait_until_whole() -> None:
        whole.append(hosts.cloud.instance(hosts.nodes[1]).state)

    running, hung = measure_stops(hosts.ground(wait_until_whole=wait_until_whole), 2, SAID.append)
    assert hosts.machines.stops == [(hosts.nodes[1], True, True)] * 2
    assert whole == ["running"] * 2
    assert (len(running.values), hung.values) == (2, ())
    assert hung.note == f"not measured: {hosts.nodes[1]} may not crash its kernel, as in a lab"


@pytest.mark.parametrize("dies", [True, False])
def test_a_kernel_that_was_told_to_crash_hangs_or_is_no_value(
    make_hosts: Callable[..., Hosts], dies: bool
) -> None:
    hosts = make_hosts()
    standby = hosts.nodes[1]

    def crash(host: str) -> int:
        assert host == standby
        if dies:
            del hosts.cloud.emulator.ssm_agents[host]
        return 0

    hosts.hangs = crash
    ground = hosts.ground(wait_until_whole=lambda: hosts.connect(standby))
    _, hung = measure_stops(ground, 1, SAID.append)
    assert len(hung.values) == dies
    assert hosts.machines.stops == [(standby, True, True)] * (1 + dies)
    assert dies or hung.note == f"not measured: {standby} still answers after its kernel was told to crash"


def test_an_instance_that_does_not_stop_is_an_error(
    make_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "STOP_LIMIT_S", 0.1)
    hosts = make_hosts()
    hosts.machines.stop = lambda *_, **__: None  # type: ignore[method-assign]
    with pytest.raises(LabError, match=f"{hosts.nodes[1]} is stopping 0 s after a stop by force"):
        next(measure_stops(hosts.ground(), 1, SAID.append))


def test_a_line_counts_from_its_end_to_its_appearance(make_hosts: Callable[..., Hosts]) -> None:
    hosts, looks = make_hosts(), list[str]()

    def console(host: str) -> str:
        """Shows all but the last line of the host's file, and that one at every third look."""
        looks.append(host)
        lines = (hosts.folder / host / "console").read_text().splitlines()
        return "\n".join(lines if len(looks) % 3 == 0 else lines[:-1])

    hosts.machines.console = console
    (shown,) = measure_console(hosts.ground(), 2, SAID.append)
    assert looks == [hosts.nodes[1]] * 6
    assert len(shown.values) == 2
    assert min(shown.values) >= 2 * measures.CONSOLE_POLL_S
    assert "one or two seconds" in shown.note


def test_a_line_that_never_appears_is_no_value(
    make_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "CONSOLE_LIMIT_S", 0.1)
    (shown,) = measure_console(make_hosts().ground(), 1, SAID.append)
    assert shown.values == []
    assert shown.note.endswith("; not all seen within 0 s")


def test_pauses_and_stolen_time_are_read_from_both_nodes(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    one, other = hosts.nodes
    hosts.put(one, "stats", STATS)
    hosts.put(other, "stats", "stats.ipcs.global.active (u32) = 5\n")
    hosts.put(one, "stat", STAT)
    hosts.put(other, "stat", STAT.replace("50 50", "50 0", 1))
    pauses, steal = measure_stalls(hosts.ground())
    assert pauses.values == pytest.approx([2.023957, 0.91])
    assert "a tokenMs above 2024" in pauses.note
    assert (steal.values, steal.unit) == ([pytest.approx(2.5), 0.0], "%")


def test_a_node_that_tells_nothing_is_not_taken_for_one_without_pauses(
    make_hosts: Callable[..., Hosts],
) -> None:
    hosts = make_hosts()
    one, other = hosts.nodes
    hosts.put(one, "stats", "stats.ipcs.global.active (u32) = 5\n")
    hosts.put(one, "stat", STAT)
    pauses, steal = measure_stalls(hosts.ground())
    assert pauses.values == []
    assert pauses.note.endswith(f"; {other} did not tell")
    assert "long enough" not in pauses.note
    assert len(steal.values) == 1
    hosts.put(other, "stats", "\n")
    pauses, _ = measure_stalls(hosts.ground())
    assert "long enough so far" in pauses.note


def test_a_whole_run_takes_every_measure_once(make_hosts: Callable[..., Hosts]) -> None:
    hosts = make_hosts()
    for node in hosts.nodes:
        hosts.put(node, "stats", STATS)
        hosts.put(node, "stat", STAT)
    hosts.machines.console = lambda host: (hosts.folder / host / "console").read_text()
    found = list(measure_all(hosts.ground(), 1, SAID.append))
    assert sorted(measure.name for measure in found) == sorted(MEASURES)
    assert [measure.name for measure in found if not measure.values] == [measures.STOP_HUNG]
