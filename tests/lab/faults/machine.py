"""Faults of one machine: its power, its processes, its disk, its processor and its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab import disk
from tests.lab.cgroup import Cgroup
from tests.lab.errors import LabError
from tests.lab.faults.core import state_of
from tests.lab.faults.network import silence
from tests.lab.waiting import wait_for

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
    """The machine loses power between two instructions; at the end it gets it back if EC2 says `running`."""
    lab.ask("power-loss", instance_id=node)
    yield
    if state_of(lab, node) == "running":
        lab.ask("power-on", instance_id=node)


@contextmanager
def hang(lab: Lab, node: str) -> Iterator[None]:
    """The machine stands still, kernel and all: it runs nothing, and answers nothing on the network."""
    with silence(lab, node), stall(lab, node):
        yield


@contextmanager
def stall(lab: Lab, node: str) -> Iterator[None]:
    """The processes stand still, but the kernel still answers pings, as when a disk hangs."""
    group = Cgroup(lab.name, node)
    lab.leader(node)
    group.freeze(True)
    yield
    group.freeze(False)


@contextmanager
def reboot(lab: Lab, node: str) -> Iterator[None]:
    """EC2 reboots the node. It comes back by itself; the fault's end waits for that.

    Raises LabError if it does not come back within BOOT_LIMIT_S.
    """
    before = lab.leader(node)
    lab.client().reboot_instances(InstanceIds=[node])
    yield
    wait_for(
        f"{node} comes back",
        lambda: lab.state()["nodes"][node]["leader"] not in (None, before),
        BOOT_LIMIT_S,
        remedy="see its console.log",
    )


@contextmanager
def kill(lab: Lab, node: str, daemon: str, restore: bool = True) -> Iterator[None]:
    """SIGKILL for one daemon, which may start again by itself.

    With `restore`, the fault's end starts those of the cluster's units that ran before and no longer do.
    """
    before = _active(lab, node)
    pids = lab.try_in(node, ["pidof", daemon])
    if not pids:
        raise LabError(f"no {daemon} runs on {node}", f"the cluster's daemons are {', '.join(DAEMONS)}")
    lab.run_in(node, ["kill", "-KILL", *pids.split()])
    wait_for(
        f"systemd notices the end of {daemon} on {node}",
        lambda: not set(pids.split()) & _main_pids(lab, node),
        NOTICE_LIMIT_S,
        pause_s=0.02,
        remedy="see the node's journal",
    )
    yield
    if restore and (missing := sorted(before - _active(lab, node))):
        lab.run_in(node, ["systemctl", "reset-failed", *missing], check=False)
        lab.run_in(node, ["systemctl", "start", *missing])


@contextmanager
def storm(lab: Lab, node: str, programs: Sequence[str]) -> Iterator[None]:
    """SIGKILL at once for those of the programs that run at this moment, as from an out-of-memory killer.

    It does not wait until systemd has noticed, and starts nothing at the end. Raises LabError if none runs.
    """
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
        raise LabError(f"systemd of {node} does not say whether the cluster's units run", "it may be booting")
    return {unit for unit, state in zip(UNITS, states, strict=True) if state in ("active", "activating")}


@contextmanager
def disk_full(lab: Lab, node: str, left: int) -> Iterator[None]:
    """The disk has only `left` bytes of room; what is on it stays as it is."""
    prefix, layer = lab.enter(), disk.layers(lab.folder / "nodes" / node / "disk")[-1]
    disk.fill_up(prefix, layer, left)
    yield
    disk.free_up(prefix, layer)


@contextmanager
def cpu_starved(lab: Lab, node: str, cpus: float) -> Iterator[None]:
    """All processes together get `cpus` of a processor, as when the credits of a burstable type are spent.

    Real-time processes, Corosync among them, run as before: to stop them too would be `hang`.
    """
    group = Cgroup(lab.name, node)
    before = group.cpu_limit()
    group.limit_cpu(cpus)
    yield
    group.limit_cpu(before)


@contextmanager
def memory_pressure(lab: Lab, node: str, spare: int) -> Iterator[None]:
    """The node's memory shrinks to what it needs plus `spare` bytes.

    The code of programs no longer stays in memory, but is read again and again. A process that wants more
    memory meets the out-of-memory killer.
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
    """The node cannot have another process or thread: fork fails with EAGAIN."""
    group = Cgroup(lab.name, node)
    lab.leader(node)
    group.limit_processes(1)
    yield
    group.limit_processes()
