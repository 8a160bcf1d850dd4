"""What the lab's faults do to a pair with guests in it, and how the lab shows that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from tests.cluster.conftest import NAME, command
from tests.cluster.formed import Formed
from tests.cluster.hollow import eventually
from tests.cluster.scenario import Scenario
from tests.drill.diagnostics import evidence
from tests.lab.faults import Faults
from tests.lab.faults.machine import DAEMONS
from tests.lab.paths import PROJECT
from tests.lab.prober import probing
from tests.lab.timeline import silences


def test_a_holder_without_power_is_followed_by_the_other_and_all_of_it_is_on_the_timeline(
    scenario: Scenario,
) -> None:
    holder, other, lab = scenario.holder, scenario.other, scenario.lab
    since = time.monotonic()
    with probing(lab, scenario.vip), holder.power_off():
        scenario.client.sees(scenario.vip, within_s=30)
        assert scenario.holder == other
    scenario.becomes_whole()
    seen = lab.timeline.read(since=since)
    kinds = [event.kind for event in seen]
    begins, ends = (event.t for event in seen if event.kind == "fault")
    # The necessary order: the fault, the membership of one, the call, the route, the answer.
    alone = next(e.t for e in seen if e.kind == "membership" and len(e["members"]) == 1)
    call = next(e for e in seen if e.kind == "api" and e["action"] == "AssignPrivateIpAddresses")
    route = next(e.t for e in seen if e.kind == "route" and e["address"] == scenario.vip)
    start = next(
        e for e in seen if e.kind == "action" and (e["resource"], e["operation"]) == ("vip", "start")
    )
    (silence,) = silences([e for e in seen if e.t < ends], longer_than_s=0.5)
    assert call["instance_id"] == start["instance_id"] == other.instance_id
    assert begins - 0.2 < silence[0] <= alone < call["began"] <= route < silence[1]
    assert "power" in kinds
    assert not any(event.by_administrator for event in seen)


def test_a_hanging_holder_is_followed_by_the_other_and_one_of_them_has_it_when_it_wakes(
    scenario: Scenario,
) -> None:
    holder, other = scenario.holder, scenario.other
    with holder.hang():
        scenario.client.sees(scenario.vip, within_s=30)
        assert scenario.holder == other
    # Both nodes held the VIP when they met again. Pacemaker stops both and starts one, which may be either.
    scenario.becomes_whole()


def test_a_node_reboots_though_somebody_has_a_shell_in_it(scenario: Scenario) -> None:
    """A command that runs in the node must not keep the machine from going down."""
    other = scenario.other
    shell = subprocess.Popen([*scenario.lab.in_node(other.instance_id), "sleep", "600"])
    with Faults(scenario.lab).reboot(other.instance_id):
        pass
    assert shell.wait(20) != 0


@pytest.mark.parametrize("daemon", ["corosync", "pacemakerd"])
def test_a_killed_daemon_is_another_process_afterwards(scenario: Scenario, daemon: str) -> None:
    killed_and_back(scenario, daemon)
    scenario.becomes_whole()


def test_every_daemon_that_pacemaker_starts_is_another_process_after_its_kill(scenario: Scenario) -> None:
    for daemon in DAEMONS:
        if daemon.startswith("pacemaker-"):
            killed_and_back(scenario, daemon)
    scenario.becomes_whole()


def killed_and_back(scenario: Scenario, daemon: str) -> None:
    """Kill the daemon on the standby, and wait until another process has taken its place."""
    node = scenario.other
    before = node.run("pidof", daemon)
    with Faults(scenario.lab).kill(node.instance_id, daemon):
        assert (node.tries("pidof", daemon) or "") != before
    eventually(lambda: node.tries("pidof", daemon) not in (None, before), what=daemon)


def test_a_guest_on_a_full_disk_cannot_write_and_can_again(scenario: Scenario) -> None:
    node = scenario.other
    with Faults(scenario.lab).disk_full(node.instance_id):
        assert node.tries("dd", "if=/dev/zero", "of=/var/tmp/big", "bs=1M", "count=8") is None
    node.run("dd", "if=/dev/zero", "of=/var/tmp/big", "bs=1M", "count=8")
    node.run("rm", "/var/tmp/big")


def test_a_fault_from_the_command_line_is_told_and_undone(scenario: Scenario) -> None:
    since = time.monotonic()
    letter = "a" if scenario.pair.node_ids[0] == scenario.other.instance_id else "b"
    done = command("fault", "partition", "--node", letter, "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert "partition: undone" in done.stderr
    told = [event["what"] for event in scenario.lab.timeline.read("fault", since=since)]
    assert told == ["begins", "ends"]


def test_ctrl_c_undoes_a_fault_from_the_command_line(scenario: Scenario) -> None:
    since = time.monotonic()
    words = [sys.executable, "-m", "tests.lab", "fault", "imds-slow", "--seconds", "600"]
    running = subprocess.Popen(words, cwd=PROJECT, env={**os.environ, "LAB": NAME}, stderr=subprocess.PIPE)
    while not scenario.lab.timeline.read("fault", since=since):
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    told = [event["what"] for event in scenario.lab.timeline.read("fault", since=since)]
    assert told == ["begins", "ends"]


def test_the_faults_are_listed_without_a_lab_or_a_name() -> None:
    listed = command("fault", lab="no-such-lab").stdout
    for name in (
        "power-loss",
        "hang",
        "partition-one-way",
        "imds-401",
        "api-throttled",
        "disk-full",
        "vip-stolen",
    ):
        assert name in listed
    refused = command("fault", "earthquake", lab="no-such-lab")
    assert refused.returncode == 1
    assert "no fault 'earthquake'" in refused.stderr


def test_a_failed_tests_report_has_timeline_journals_and_corosyncs_log(scenario: Scenario) -> None:
    with Faults(scenario.lab).api(scenario.other.instance_id, "slow"):
        pass
    found = evidence(scenario.lab)
    assert "fault=api-slow what=ends" in found["the lab's timeline"]
    for node in scenario.nodes:
        assert "pacemaker-controld" in found[f"journal of {node.instance_id}"]
        assert "[QUORUM] Members" in found[f"Corosync's journal of {node.instance_id}"]


def test_a_restored_pair_is_as_it_was_whatever_happened_to_it(scenario: Scenario, formed: Formed) -> None:
    holder, other, lab = scenario.holder, scenario.other, scenario.lab
    holder.run("touch", "/var/lib/pacemaker/litter")
    holder.run("rm", "/etc/corosync/corosync.conf")
    other.run("systemctl", "disable", "--now", "pacemaker")
    Faults(lab).isolate(other.instance_id)
    Faults(lab).vip_stolen(scenario.vip)
    began = time.monotonic()
    lab.restore()
    scenario.becomes_whole()
    print(f"restored and whole after {time.monotonic() - began:.1f} s")
    assert holder.tries("ls", "/var/lib/pacemaker/litter") is None
    holder.run("test", "-s", "/etc/corosync/corosync.conf")
    assert other.run("systemctl", "is-enabled", "pacemaker").strip() == "enabled"
    assert formed.litter() == {}


LITTER = {
    "a file": ("touch /etc/cron.d/litter", "etc/cron.d/litter"),
    "an agent": (
        "sed -i s/monitor/monitors/ /usr/lib/ocf/resource.d/heartbeat/ec2vip",
        "resource.d/heartbeat",
    ),
    "a file's mode": ("chmod 777 /etc/corosync/corosync.conf", "etc/corosync/corosync.conf"),
    "a lost file": ("rm /etc/ec2vip/settings", "etc/ec2vip/settings"),
    "a constraint": ("crm_resource --ban --resource ec2vip --lifetime PT1H", "the cluster's configuration"),
    "a failure": ("crm_resource --fail --resource vip --node $(uname -n)", "failures"),
    "a unit that is off": ("systemctl stop logd", "units"),
    "an address": ("ip address add 192.0.2.1/32 dev lo", "network"),
    "a process": ("setsid sleep 600 >/dev/null 2>&1 </dev/null &", "processes"),
}


def test_what_a_test_leaves_is_found_by_kind_and_gone_for_the_next(
    scenario: Scenario, formed: Formed
) -> None:
    assert formed.litter() == {}
    holder = scenario.holder
    for what, (command_line, found_as) in LITTER.items():
        holder.run("sh", "-c", command_line)
        eventually(partial(names, formed, holder.instance_id, found_as), what=what)
    began = time.monotonic()
    formed.pair()
    print(f"litter found, restored and whole after {time.monotonic() - began:.1f} s")
    assert formed.litter() == {}


def names(formed: Formed, node: str, what: str) -> bool:
    return any(what in item for item in formed.litter().get(node, ()))


def test_a_test_that_leaves_nothing_costs_the_next_no_boot(scenario: Scenario, formed: Formed) -> None:
    """A file that was written and put back does not count."""
    scenario.other.run(
        "sh", "-c", "cp -p /etc/hosts /run/kept; echo >>/etc/hosts; cp -p /run/kept /etc/hosts"
    )
    before, began = [scenario.lab.leader(node.instance_id) for node in scenario.nodes], time.monotonic()
    formed.pair()
    print(f"found clean after {time.monotonic() - began:.1f} s")
    assert [scenario.lab.leader(node.instance_id) for node in scenario.nodes] == before
