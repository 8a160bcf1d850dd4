"""One control group per node, in whichever hierarchies this machine has (version 1, 2 or both).

Without it the nodes' init systems would share one group and end each other's services. It bounds a node's memory,
processor time and processes, and lets a fault freeze or starve it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.paths import lab_dir

MOUNT = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpu,cpuacct", "cpu", "cpuacct", "freezer", "memory", "pids", "systemd", "unified")
DELEGATED = ("systemd", "unified")
"""The hierarchies of version 1 in which a systemd keeps its services; in the others it only looks."""
DELEGATED_FILES = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")
COROSYNC = tuple(f"{top}system.slice/corosync.service" for top in ("", "payload/"))
"""Its group within the node's, without and with the one that systemd-nspawn puts between (version 2)."""
MEMORY_BYTES = 2 << 30
"""A bound, not a need: a node with the whole stack uses some 250 MB, and 300 MB for what its disk holds."""
CPUS = 2.0
"""As many as a t3.micro has; the bound is there so that one node can't take a larger machine."""
PROCESSES = 4096
CPU_PERIOD_US = 100_000

RT_RUNTIME = "cpu.rt_runtime_us"


def name_of(lab: str) -> str:
    """The name of a lab's group. Labs of one name in different folders are different labs (see EC2VIP_LABS)."""
    return f"ec2vip-lab-{lab}-{hashlib.sha256(bytes(lab_dir(lab))).hexdigest()[:6]}"


class Cgroup:
    """The control group of a node, in its lab's."""

    def __init__(self, lab: str, node: str) -> None:
        self.folders = [root / name_of(lab) / node for root in _hierarchies()]

    def make(self) -> None:
        """Make it with its bounds; `remove()` removes it with the whole lab."""
        for folder in self.folders:
            for part in (folder.parent, folder):
                part.mkdir(exist_ok=True)
                _delegate(part)
        self.set_bounds()

    def set_bounds(self) -> None:
        """Memory, processor time and processes as every node has them."""
        self.limit_memory(MEMORY_BYTES)
        self.limit_cpu(CPUS)
        self.limit_processes()

    def give(self, owner: int) -> None:
        """Let the node's systemd, which is `owner` on the machine, make groups in it; the bounds stay ours."""
        for folder in self.folders:
            if folder.parent.parent.name in DELEGATED or folder.parent.parent == MOUNT:
                for path in (folder, *(folder / file for file in DELEGATED_FILES)):
                    if path.exists():
                        os.chown(path, owner, owner)

    def give_priority(self) -> None:
        """Give Corosync the real-time priority that it asks for in vain.

        In a user namespace the kernel grants it by RLIMIT_RTPRIO alone. Not every machine can raise that, and it
        would let any process of the node have it.

        In version 1 it leaves the node's group for the machine's own. A group's share of real time is taken from
        all others, so it would be small, and whoever exceeds it waits out the period: with 12 of 200 ms, which a
        new membership takes at once, updates of the CIB were late by up to 196 ms, and half of the crashes took a
        second longer (see TRANSITION_DELAY in cloudinit/cib.py); with 40 none of ten did.
        """
        most = os.sched_param(os.sched_get_priority_max(os.SCHED_RR))
        for folder in self.folders:
            for within in COROSYNC:
                with contextlib.suppress(OSError):  # it does not run, or ends just now
                    for pid in (folder / within / "cgroup.procs").read_text().split():
                        if Path(f"/proc/{pid}/comm").read_text() != "corosync\n":
                            continue  # what systemd runs before and after it
                        for task in Path(f"/proc/{pid}/task").iterdir():
                            if os.sched_getscheduler(int(task.name)) == os.SCHED_OTHER:
                                self._leave_for_real_time(pid)
                                os.sched_setscheduler(int(task.name), os.SCHED_RR, most)

    def _leave_for_real_time(self, pid: str) -> None:
        for folder in self.folders:
            if (folder / RT_RUNTIME).exists():
                (folder.parent.parent / "cgroup.procs").write_text(pid)

    def procs(self) -> list[str]:
        """The files into which a process writes its id to enter the group."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def _write(self, file: str, value: str) -> None:
        for folder in self.folders:
            if (folder / file).exists():
                (folder / file).write_text(value)

    def _read(self, *files: str) -> str:
        """The first of these files that the machine's version of control groups has."""
        for folder in self.folders:
            for file in files:
                if (folder / file).exists():
                    return (folder / file).read_text()
        raise LabError(f"no {files[0]} in the node's control groups", "mount that controller")

    def limit_processes(self, most: int = PROCESSES) -> None:
        """Let the node have so many processes and threads. With more than that nothing ends, but none begins."""
        self._write("pids.max", str(most))

    def freeze(self, frozen: bool) -> None:
        """Stop or resume every process of the node where it stands; returns when they all have."""
        self._write("cgroup.freeze", "1" if frozen else "0")
        self._write("freezer.state", "FROZEN" if frozen else "THAWED")
        for _ in range(500):
            if self.is_frozen() == frozen:
                return
            time.sleep(0.01)
        raise LabError("the node's processes do not stop", "see the stacks of those in its control group")

    def is_frozen(self) -> bool:
        """Whether all of its processes are stopped by `freeze`."""
        state = self._read("freezer.state", "cgroup.events")
        return state.strip() == "FROZEN" or "frozen 1" in state

    def limit_cpu(self, cpus: float) -> None:
        """Let the node have this much processor time at most, in processors.

        Real-time processes, such as Corosync, are not counted: the kernel has another budget for them.
        """
        quota = max(1000, int(cpus * CPU_PERIOD_US))
        self._write("cpu.max", f"{quota} {CPU_PERIOD_US}")
        self._write("cpu.cfs_period_us", str(CPU_PERIOD_US))
        self._write("cpu.cfs_quota_us", str(quota))

    def cpu_limit(self) -> float:
        """What `limit_cpu` has set."""
        words = self._read("cpu.cfs_quota_us", "cpu.max").split()
        return float(words[0]) / CPU_PERIOD_US

    def limit_memory(self, most: int) -> None:
        """Let the node have this many bytes at most, files in memory and its disk included.

        Raises OSError (version 1) where more than that is in use and can't be freed.
        """
        self._write("memory.max", str(most))
        self._write("memory.limit_in_bytes", str(most))

    def memory_limit(self) -> int:
        """What `limit_memory` has set."""
        return int(self._read("memory.limit_in_bytes", "memory.max"))

    def memory_needed(self) -> int:
        """Bytes in use that can't be read again from a disk: processes', the kernel's, and of files in memory."""
        stat = dict(line.split() for line in self._read("memory.stat").splitlines())
        if "anon" in stat:
            return sum(int(stat.get(name, 0)) for name in ("anon", "kernel", "shmem", "unevictable"))
        kernel = int(self._read("memory.kmem.usage_in_bytes"))
        return kernel + sum(int(stat[f"total_{name}"]) for name in ("rss", "shmem", "unevictable"))


def _hierarchies() -> list[Path]:
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    found = {(MOUNT / name).resolve() for name in V1_CONTROLLERS if (MOUNT / name / "cgroup.procs").exists()}
    if not found:
        raise LabError(
            f"no control groups are mounted at {MOUNT}", "mount them: the nodes' systemd needs them"
        )
    return sorted(found)


def _delegate(folder: Path) -> None:
    """Version 2 hands controllers down only where the parent says so; a controller may be missing."""
    control = folder / "cgroup.subtree_control"
    if control.exists():
        for controller in (folder / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                control.write_text(f"+{controller}")


def remove(lab: str) -> None:
    """Remove every group of the lab; its processes must have ended (a frozen one is thawed so that it can)."""
    for root in _hierarchies():
        top = root / name_of(lab)
        for folder in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
            _remove_folder(folder)


def thaw(lab: str) -> None:
    """Let the lab's frozen processes run, without which version 1 does not let them die."""
    for root in _hierarchies():
        for state in (root / name_of(lab)).rglob("freezer.state"):
            state.write_text("THAWED")


def _remove_folder(folder: Path) -> None:
    """The kernel lets go of the last process a moment after it ended."""
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise LabError(f"control group {folder} still has processes", f"look in {folder}/cgroup.procs")
