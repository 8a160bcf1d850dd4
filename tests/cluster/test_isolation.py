"""The lab and the machine it runs on: nothing gets out, nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import command
from tests.drill.pair import Pair
from tests.lab import cgroup
from tests.lab.lab import Lab
from tests.lab.network_plan import CLIENT, FABRIC
from tests.lab.paths import PROJECT, lab_dir, labs_dir
from tests.lab.process import run
from tests.lab.waiting import wait_for

OTHER = "wall-tests"


def traces(name: str) -> list[str]:
    """All traces of a lab on the machine; a lab of the same name in another folder of labs does not count."""
    folder = lab_dir(name)
    found = [str(folder)] if folder.exists() else []
    found += [str(path) for path in Path("/sys/fs/cgroup").rglob(cgroup.name_of(name))]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"{folder}/" in line]
    elsewhere = f"EC2VIP_LABS={labs_dir()}".encode() if "EC2VIP_LABS" in os.environ else b""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, given = ((process / part).read_bytes().split(b"\0") for part in ("cmdline", "environ"))
        except OSError:
            continue
        labs = next((word for word in given if word.startswith(b"EC2VIP_LABS=")), b"")
        if b"tests.lab.daemon" in words and name.encode() in words and labs == elsewhere:
            found.append(f"process {process.name}")
        if any(f"{folder}/nodes/".encode() in word for word in words):
            found.append(f"node {process.name}")
    return found


def test_the_lab_makes_no_namespace_mount_or_interface_on_the_machine(lab: Lab, pair: Pair) -> None:
    assert not any(FABRIC in path.name or CLIENT in path.name for path in Path("/run/netns").glob("*"))
    assert lab.folder.name not in Path("/proc/mounts").read_text()
    links = run(["ip", "-brief", "link"]).stdout
    assert "eni" not in links
    assert "client0" not in links


def test_no_route_leads_out_of_the_fabric(lab: Lab, pair: Pair) -> None:
    """Every route uses a veth between namespaces of the lab; packets without a route vanish."""
    within = [*lab.enter(), "ip", "-n", FABRIC]
    routes = run([*within, "route"]).stdout.splitlines()
    assert [line for line in routes if line.startswith(("blackhole default", "default"))] == [
        "blackhole default "
    ]
    devices = {line.split(" dev ")[1].split()[0] for line in routes if " dev " in line}
    assert all(device.startswith(("eni", "client0")) for device in devices), devices
    links = json.loads(run([*within, "-details", "-json", "link"]).stdout)
    kinds = {link.get("linkinfo", {}).get("info_kind", link["link_type"]) for link in links}
    assert kinds == {"veth", "loopback"}


def test_a_node_reaches_neither_the_machine_nor_the_world(lab: Lab, pair: Pair) -> None:
    """Neither an address of the machine nor a public one answers within a second."""
    own = run(["hostname", "-I"]).stdout.split()
    for address in [*(a for a in own if ":" not in a), "192.0.2.1"]:
        assert lab.try_in(pair.node_ids[0], ["ping", "-c1", "-W1", address]) is None, address


def test_status_as_json_is_json_and_says_who_holds_the_vip(pair: Pair) -> None:
    shown = command("status", "--json")
    assert shown.returncode == 0, shown.stderr
    status = json.loads(shown.stdout)
    assert status["whole"] is True
    assert status["holder"] == pair.holder()
    assert {node["cluster"] for node in status["nodes"]} == {"online"}


def test_a_trial_that_does_not_exist_is_refused_by_name(lab: Lab) -> None:
    refused = command("verify", "--only", "earthquake", of="drill")
    assert refused.returncode == 1
    assert "'earthquake'" in refused.stderr
    assert "power-loss" in refused.stderr


def test_status_says_by_its_exit_status_that_the_pair_is_not_whole(lab: Lab, pair: Pair) -> None:
    standby = next(key for key in pair.node_ids if key != pair.holder())
    lab.run_in(standby, ["systemctl", "stop", "pacemaker"])
    try:
        shown = command("status")
        assert shown.returncode == 1
        assert "offline" in shown.stdout
    finally:
        lab.run_in(standby, ["systemctl", "start", "pacemaker"])


@pytest.fixture
def other() -> str:
    Lab(OTHER).down()
    return OTHER


def begin_up(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "up"],
        cwd=PROJECT,
        env={**os.environ, "LAB": name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("moment", ["starting", "booting"])
def test_an_interrupted_up_can_be_taken_down_beside_another_lab(lab: Lab, other: str, moment: str) -> None:
    """Press Ctrl-C while the lab starts, and while its nodes boot. The other lab does not notice."""
    second = Lab(other)
    process = begin_up(other)
    wait_for("the lab's process", (second.folder / "process.json").exists, 60)
    if moment == "booting":
        wait_for("a node", lambda: any(n["leader"] for n in second.state().get("nodes", {}).values()), 60)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "make down" in said
    ended = command("down", lab=other)
    assert ended.returncode == 0, ended.stderr
    assert traces(other) == []
    assert lab.is_running()


def test_a_lab_whose_process_was_killed_leaves_nothing_after_down(other: str) -> None:
    lab = Lab(other)
    lab.up()
    port = lab.state()["endpoint"].rpartition(":")[2]
    assert traces(other) != []
    process = lab._process()
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_for("its end", lambda: not lab.is_running(), 60)
    ended = command("down", lab=other)
    assert ended.returncode == 0, ended.stderr
    assert traces(other) == []
    assert f":{port} " not in run(["ss", "-lnt"]).stdout


def test_down_where_nothing_runs_is_no_error(other: str) -> None:
    assert command("down", lab=other).returncode == 0
    assert traces(other) == []
