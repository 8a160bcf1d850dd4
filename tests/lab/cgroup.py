"""One control group per node, in whichever hierarchies this machine has (version 1, 2 or both).

Without it the nodes' init systems would share one group and end each other's services. It bounds a node's memory
and lets a fault freeze it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from tests.lab.errors import LabError

MOUNT = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpu,cpuacct", "cpu", "cpuacct", "freezer", "memory", "pids", "systemd", "unified")
MEMORY_BYTES = 2 << 30
"""A bound, not a need: a node with the whole stack uses some 250 MB."""

RT_BUDGET = "cpu.rt_runtime_us"
RT_BUDGET_US = 50_000
"""Of every second, per node: several times what Corosync needs, and nine labs fit into the machine's 950 000."""


class Cgroup:
    """The control group `ec2vip-lab-LAB/NODE`, made at once, removed by `remove()`."""

    def __init__(self, lab: str, node: str) -> None:
        self.folders = [root / f"ec2vip-lab-{lab}" / node for root in _hierarchies()]
        for folder in self.folders:
            for part in (folder.parent, folder):
                part.mkdir(exist_ok=True)
                _delegate(part)
        self._write("memory.max", str(MEMORY_BYTES))
        self._write("memory.limit_in_bytes", str(MEMORY_BYTES))
        # Version 1 gives a new group no real-time budget, and Corosync could not have its priority.
        for folder in self.folders:
            if (folder / RT_BUDGET).exists():
                # Where many labs have taken all there is, Corosync goes on without priority, and says so.
                with contextlib.suppress(OSError):
                    (folder.parent / RT_BUDGET).write_text(str(2 * RT_BUDGET_US))
                    (folder / RT_BUDGET).write_text(str(RT_BUDGET_US))

    def procs(self) -> list[str]:
        """The files into which a process writes its id to enter the group."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def _write(self, file: str, value: str) -> None:
        for folder in self.folders:
            if (folder / file).exists():
                (folder / file).write_text(value)

    def freeze(self, frozen: bool) -> None:
        """Stop or resume every process of the node where it stands."""
        self._write("cgroup.freeze", "1" if frozen else "0")
        self._write("freezer.state", "FROZEN" if frozen else "THAWED")


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
        top = root / f"ec2vip-lab-{lab}"
        for folder in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
            _remove_folder(folder)


def thaw(lab: str) -> None:
    """Let the lab's frozen processes run, without which version 1 does not let them die."""
    for root in _hierarchies():
        for state in (root / f"ec2vip-lab-{lab}").rglob("freezer.state"):
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
