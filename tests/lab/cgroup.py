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
V1_CONTROLLERS = ("cpu,cpuacct", "cpu", "cpuacct", "memory", "pids", "systemd", "unified")
DELEGATED = ("systemd", "unified")
"""The version 1 hierarchies in which a systemd makes groups for its services. It only reads the others."""
DELEGATED_FILES = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")
COROSYNC = tuple(f"{top}system.slice/corosync.service" for top in ("", "payload/"))
"""Corosync's group within the node's. In version 2, systemd-nspawn puts the group `payload` between them."""
MEMORY_BYTES = 2 << 30
"""A generous bound: a node with the whole stack uses some 250 MB, and 300 MB for what is on its disk."""
CPUS = 2.0
"""As many as a t3.micro has. The bound keeps one node from taking all of a larger machine."""
PROCESSES = 4096
CPU_PERIOD_US = 100_000

RT_RUNTIME = "cpu.rt_runtime_us"


def name_of(lab: str) -> str:
    """The name of a lab's group. Labs of one name in two folders (EC2VIP_LABS) have different groups."""
    return f"ec2vip-lab-{lab}-{hashlib.sha256(bytes(lab_dir(lab))).hexdigest()[:6]}"


class Cgroup:
    """A node's control group, inside its lab's."""

    def __init__(self, lab: str, node: str) -> None:
        self.folders = [root / name_of(lab) / node for root in _hierarchies()]

    def make(self) -> None:
        """Make the group with its bounds; `remove()` removes all groups of the lab."""
        for folder in self.folders:
            for part in (folder.parent, folder):
                part.mkdir(exist_ok=True)
                _delegate(part)
        self.set_bounds()

    def set_bounds(self) -> None:
        """Set the bounds on memory, processor time and processes that every node has."""
        self.limit_memory(MEMORY_BYTES)
        self.limit_cpu(CPUS)
        self.limit_processes()

    def give(self, owner: int) -> None:
        """Let the node's systemd (`owner` on the machine) make groups in it, but not change the bounds."""
        for folder in self.folders:
            if folder.parent.parent.name in DELEGATED or folder.parent.parent == MOUNT:
                for path in (folder, *(folder / file for file in DELEGATED_FILES)):
                    if path.exists():
                        os.chown(path, owner, owner)

    def give_priority(self) -> None:
        """Give Corosync the real-time priority that it asks for and cannot get itself.

        In a user namespace the kernel grants it only through RLIMIT_RTPRIO. Not every machine can raise that
        limit, and it would let any process of the node have the priority.

        In version 1, Corosync moves from the node's group to the machine's own. A group's share of real time
        is taken from all other groups, so it would be small, and a process that exceeds it waits until the
        period ends. With 12 of 200 ms, which a new membership uses up at once, updates of the CIB were up to
        196 ms late. Then half of the crashes took a second longer (see TRANSITION_DELAY in cloudinit/cib.py);
        with 40 ms, none of ten did.
        """
        most = os.sched_param(os.sched_get_priority_max(os.SCHED_RR))
        for folder in self.folders:
            for within in COROSYNC:
                with contextlib.suppress(OSError):  # Corosync does not run, or is just ending
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
        """The content of the first of these files that the machine's version of control groups has."""
        for folder in self.folders:
            for file in files:
                if (folder / file).exists():
                    return (folder / file).read_text()
        raise LabError(f"no {files[0]} in the node's control groups", "mount that controller")

    def limit_processes(self, most: int = PROCESSES) -> None:
        """Limit the node's processes and threads. If it has more already, they go on, but none can start."""
        self._write("pids.max", str(most))

    def freeze(self, frozen: bool) -> None:
        """Freeze or thaw all processes of the node; returns when they all are. Raises LabError after 5 s.

        Version 2 does it, whatever else the machine has: in version 1, a process that waits in vfork() for a
        frozen child never counts as frozen, so that a node that starts programs may not freeze.
        """
        self._write("cgroup.freeze", "1" if frozen else "0")
        for _ in range(500):
            if self.is_frozen() == frozen:
                return
            time.sleep(0.01)
        raise LabError("the node's processes do not stop", "see the stacks of those in its control group")

    def is_frozen(self) -> bool:
        """Whether `freeze` has stopped all of the node's processes."""
        return "frozen 1" in self._read("cgroup.events")

    def limit_cpu(self, cpus: float) -> None:
        """Limit the node's processor time to that of `cpus` processors.

        The limit does not apply to real-time processes, such as Corosync, which have a budget of their own.
        """
        quota = max(1000, int(cpus * CPU_PERIOD_US))
        self._write("cpu.max", f"{quota} {CPU_PERIOD_US}")
        self._write("cpu.cfs_period_us", str(CPU_PERIOD_US))
        self._write("cpu.cfs_quota_us", str(quota))

    def cpu_limit(self) -> float:
        """The limit that `limit_cpu` has set, in processors."""
        words = self._read("cpu.cfs_quota_us", "cpu.max").split()
        return float(words[0]) / CPU_PERIOD_US

    def limit_memory(self, most: int) -> None:
        """Limit the node's memory to this many bytes, including files in memory and its disk.

        Raises OSError (version 1) if more than that is in use and can't be freed.
        """
        self._write("memory.max", str(most))
        self._write("memory.limit_in_bytes", str(most))

    def memory_limit(self) -> int:
        """The limit that `limit_memory` has set, in bytes."""
        return int(self._read("memory.limit_in_bytes", "memory.max"))

    def memory_needed(self) -> int:
        """Bytes in use that can't be read again from a disk: of processes, the kernel and files in memory."""
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
    """Pass controllers on to the folder's subgroups, as version 2 requires; a controller may be missing."""
    control = folder / "cgroup.subtree_control"
    if control.exists():
        for controller in (folder / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                control.write_text(f"+{controller}")


def remove(lab: str) -> None:
    """Remove every group of the lab. Its processes must have ended."""
    for root in _hierarchies():
        top = root / name_of(lab)
        for folder in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
            _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    """Remove a group's folder, with retries: the kernel releases the last process a moment after its end."""
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
