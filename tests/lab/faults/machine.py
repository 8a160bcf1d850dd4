"""Faults of one machine: its power, its processes, its disk, its processor and its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab import disk
from tests.lab.cgroup import Cgroup
from tests.lab.errors import LabError
from tests.lab.faults.core import described
from tests.lab.faults.network import silence
from tests.lab.process import CommandError

if TYPE_CHECKING:
    from tests.lab.lab import Lab

BOOT_LIMIT_S = 120.0
NOTICE_LIMIT_S = 10.0
UNITS = ("corosync.service", "pacemaker.service")
DAEMONS = (
    "corosync",
    "pacemakerd",
    "pacemaker-attrd",
    "pacemaker-based",
    "pacemaker-controld",
    "pacemaker-execd",
    "pacemaker-fenced",
    "pacemaker-schedulerd",
)
GUARD = "ec2vip-guard"


@contextmanager
def power_loss(lab: Lab, node: str) -> Iterator[None]:
    """The machine is gone between two instructions; at the end it has power again, unless EC2 has it stopped."""
    lab.ask("power-loss", instance_id=node)
    yield
    if described(lab, node)["State"]["Name"] == "running":
        lab.ask("power-on", instance_id=node)


@contextmanager
def hang(lab: Lab, node: str) -> Iterator[None]:
    """The machine stands still, kernel and all: it runs nothing, and answers nothing on the network."""
    with silence(lab, node), stall(lab, node):
        yield


@contextmanager
def stall(lab: Lab, node: str) -> Iterator[None]:
    """The processes stand still while the kernel goes on answering pings, as when a disk hangs."""
    group = Cgroup(lab.name, node)
    lab.leader(node)
    group.freeze(True)
    yield
    group.freeze(False)


@contextmanager
def reboot(lab: Lab, node: str) -> Iterator[None]:
    """EC2 reboots it. It comes back by itself; the end is when it has."""
    before = lab.leader(node)
    lab.client().reboot_instances(InstanceIds=[node])
    yield
    deadline = time.monotonic() + BOOT_LIMIT_S
    while lab.state()["nodes"][node]["leader"] in (None, before):
        if time.monotonic() > deadline:
            raise LabError(f"{node} did not come back in {BOOT_LIMIT_S:.0f} s", "see its console.log")
        time.sleep(0.1)


@contextmanager
def kill(lab: Lab, node: str, daemon: str, restore: bool = True) -> Iterator[None]:
    """SIGKILL for one daemon, which may start again by itself; at the end the cluster's units run if they did,
    unless that is not to be restored."""
    before = _active(lab, node)
    pids = lab.try_in(node, ["pidof", daemon])
    if not pids:
        raise LabError(f"no {daemon} runs on {node}", f"the cluster's daemons are {', '.join(DAEMONS)}")
    lab.run_in(node, ["kill", "-KILL", *pids.split()])
    deadline = time.monotonic() + NOTICE_LIMIT_S
    while set(pids.split()) & _main_pids(lab, node):
        if time.monotonic() > deadline:
            raise LabError(f"systemd did not notice the end of {daemon} on {node}", "see the node's journal")
        time.sleep(0.02)
    yield
    if restore and (missing := sorted(before - _active(lab, node))):
        lab.run_in(node, ["systemctl", "reset-failed", *missing], check=False)
        lab.run_in(node, ["systemctl", "start", *missing])


@contextmanager
def storm(lab: Lab, node: str, programs: Sequence[str]) -> Iterator[None]:
    """SIGKILL at once for those of the programs that run at this moment, as an out-of-memory killer would: nobody
    looks whether systemd has noticed, and nothing is started at the end. Raises LabError if none runs."""
    script = 'pids=$(pidof -x "$@") && kill -KILL $pids && echo $pids'
    if not lab.try_in(node, ["sh", "-c", script, "sh", *programs]):
        raise LabError(f"none of {', '.join(programs)} runs on {node}")
    yield


def _main_pids(lab: Lab, node: str) -> set[str]:
    """The first processes of the cluster's units, as systemd knows them."""
    shown = lab.run_in(node, ["systemctl", "show", "--property=MainPID", "--value", *UNITS]).stdout
    return set(shown.split())


def _active(lab: Lab, node: str) -> set[str]:
    """The cluster's units that run."""
    states = lab.run_in(node, ["systemctl", "is-active", *UNITS], check=False).stdout.split()
    if len(states) != len(UNITS):
        raise LabError(
            f"systemd of {node} does not tell whether the cluster's units run", "it may be booting"
        )
    return {unit for unit, state in zip(UNITS, states, strict=True) if state in ("active", "activating")}


@contextmanager
def disk_full(lab: Lab, node: str, left: int) -> Iterator[None]:
    """The disk has `left` bytes of room; nothing on it is touched."""
    prefix, layer = lab.enter(), disk.layers(lab.folder / "nodes" / node / "disk")[-1]
    for attempt in range(20):
        try:
            disk.fill_up(prefix, layer, left)
        except CommandError:
            # The node wrote between the two.
            if attempt == 19:
                raise
        else:
            break
    yield
    disk.free_up(prefix, layer)


@contextmanager
def cpu_starved(lab: Lab, node: str, cpus: float) -> Iterator[None]:
    """The processes get `cpus` of a processor together, as when the credits of a burstable type are spent.

    Real-time processes, Corosync among them, are not held back: that would be `hang`.
    """
    group = Cgroup(lab.name, node)
    before = group.cpu_limit()
    group.limit_cpu(cpus)
    yield
    group.limit_cpu(before)


@contextmanager
def memory_pressure(lab: Lab, node: str, spare: int) -> Iterator[None]:
    """The node's memory shrinks to what it needs and `spare` bytes more.

    Programs' own code no longer stays in memory and is read again and again; whatever wants more memory meets
    the out-of-memory killer.
    """
    group = Cgroup(lab.name, node)
    before = group.memory_limit()
    most = group.memory_needed() + spare
    while most < before:
        try:
            group.limit_memory(most)
            break
        except OSError:
            # More is in use than can be freed at the moment.
            most += spare
    yield
    group.limit_memory(before)


@contextmanager
def no_processes(lab: Lab, node: str) -> Iterator[None]:
    """No room is left for another process or thread: what forks is told EAGAIN."""
    group = Cgroup(lab.name, node)
    lab.leader(node)
    group.limit_processes(1)
    yield
    group.limit_processes()
