"""Nodes: the image under an overlay, booted by systemd-nspawn in the network namespace of its interface.

One thread a node waits for its machine to end and does what EC2 does then: a reboot starts it again, a shutdown
stops the instance, a crash leaves it dead until somebody starts it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import cgroup
from tests.lab.emulator import Emulator, Interface
from tests.lab.errors import LabError
from tests.lab.fabric import Fabric, namespace_of
from tests.lab.process import run

RESTART_STATUS = 133
"""How systemd-nspawn --keep-unit ends when the guest reboots (EXIT_FORCE_RESTART)."""

SHUTDOWN_GRACE_S = 120.0
"""EC2 powers a guest off that ignores the power button for a few minutes; four for a reboot (RebootInstances)."""

CAPABILITIES = "CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_NICE,CAP_IPC_LOCK"
"""What IPaddr2, the raw sockets of ping, and corosync's priority and locked memory want beyond the default."""

POWER_BUTTON = {"reboot": signal.SIGRTMIN + 5, "poweroff": signal.SIGRTMIN + 4}
"""Signals that start reboot.target and poweroff.target in systemd as process 1 (systemd(1))."""

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")


@dataclass
class Node:
    """One instance's machine: its disk, its control group, and its process while it has power."""

    instance_id: str
    folder: Path
    group: cgroup.Cgroup
    process: subprocess.Popen[bytes] | None = None
    leader: int | None = None
    intent: str = "run"
    """What is to follow the end of the machine: `run` (a crash stays down), `reboot`, `stop`, `terminate`."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


class Hypervisor:
    """Implements the emulator's `Machines`. Methods return at once; the work goes on in a node's own thread."""

    def __init__(
        self,
        lab: str,
        folder: Path,
        image: Path,
        certificate: bytes,
        fabric: Fabric,
        changed: Callable[[], None],
    ) -> None:
        """`folder` holds the nodes' disks, `image` the root to boot, `certificate` the API's authority (PEM);
        `changed` is called after every change of a node's process."""
        self.emulator: Emulator | None = None
        self.nodes: dict[str, Node] = {}
        self._lab, self._folder, self._image = lab, folder, image
        self._certificate, self._fabric, self._changed = certificate, fabric, changed

    # --- what the EC2 API asks for -------------------------------------------------------------------------

    def launch(self, instance_id: str) -> None:
        """Give the instance its disk and interface, and boot it."""
        node = Node(instance_id, self._folder / instance_id, cgroup.Cgroup(self._lab, instance_id))
        self.nodes[instance_id] = node
        threading.Thread(target=self._live, args=(node, True), name=instance_id, daemon=True).start()

    def start(self, instance_id: str) -> None:
        """Boot a stopped instance from the disk it has."""
        node = self.nodes[instance_id]
        threading.Thread(target=self._live, args=(node, False), name=instance_id, daemon=True).start()

    def reboot(self, instance_id: str) -> None:
        """Ask the guest to reboot; cut the power and boot where it does not in its time."""
        self._press(self.nodes[instance_id], "reboot", "reboot")

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        """Power button, grace, then power off. `force` still asks the guest first; `skip_os_shutdown` does not."""
        del force  # EC2 tries a graceful shutdown all the same (StopInstances)
        self._press(self.nodes[instance_id], "poweroff", "stop", cut=skip_os_shutdown)

    def terminate(self, instance_id: str) -> None:
        """Power button, grace, power off, and the disk is gone."""
        self._press(self.nodes[instance_id], "poweroff", "terminate")

    def console_output(self, instance_id: str) -> str:
        """Everything the guest wrote to its console since launch."""
        node = self.nodes.get(instance_id)
        return node.console.read_text(errors="replace") if node and node.console.exists() else ""

    # --- what only a lab can do ----------------------------------------------------------------------------

    def power_loss(self, instance_id: str) -> None:
        """The machine is gone between two instructions; EC2 goes on calling the instance running."""
        node = self.nodes[instance_id]
        with node.lock:
            node.intent = "run"
            self._kill(node)

    # --- the machine ---------------------------------------------------------------------------------------

    def _live(self, node: Node, first: bool) -> None:
        """Boot, and boot again after each reboot, until the machine is to stay off."""
        assert self.emulator is not None
        interface = self._interface(node)
        try:
            if first:
                self._make_disk(node)
                self._fabric.plug(interface)
            while True:
                self._fabric.lease(interface)
                self._boot(node, interface)
                self.emulator.set_instance_state(node.instance_id, "running")
                status = node.process.wait() if node.process else 1
                with node.lock:
                    node.process = node.leader = None
                    self._fabric.unlease(interface)
                    again = node.intent == "reboot" or (node.intent == "run" and status == RESTART_STATUS)
                    shut_down = status == 0
                self._changed()
                if not again:
                    break
        except (LabError, OSError) as error:
            with node.console.open("a") as console:
                console.write(f"lab: the node did not boot: {error}\n")
            self.emulator.set_instance_state(node.instance_id, "stopped")
            return
        if node.intent == "terminate" or node.intent == "stop" or shut_down:
            self._settle(node, "terminate" if node.intent == "terminate" else "stop")

    def _make_disk(self, node: Node) -> None:
        """An overlay on the image, with the API's certificate authority trusted as an image of AWS trusts its."""
        disk = node.folder / "disk"
        for part in ("upper", "work", "root"):
            (disk / part).mkdir(parents=True, mode=0o755)
        authorities = disk / "upper" / BUNDLE
        authorities.parent.mkdir(parents=True)
        authorities.write_bytes((self._image / BUNDLE).read_bytes() + self._certificate)
        local = disk / "upper/usr/local/share/ca-certificates/region.crt"
        local.parent.mkdir(parents=True)
        local.write_bytes(self._certificate)
        layers = f"lowerdir={self._image},upperdir={disk / 'upper'},workdir={disk / 'work'}"
        run(["mount", "-t", "overlay", "-o", layers, f"lab-{node.instance_id}", str(disk / "root")])

    def _settle(self, node: Node, intent: str) -> None:
        """What is left of a machine that is off for good or for now, and what EC2 calls it then."""
        assert self.emulator is not None
        if intent == "terminate":
            self._fabric.unplug(self._interface(node))
            run(["umount", "--lazy", str(node.folder / "disk/root")], check=False)
            shutil.rmtree(node.folder / "disk", ignore_errors=True)
        self.emulator.set_instance_state(
            node.instance_id, "terminated" if intent == "terminate" else "stopped"
        )
        self._changed()

    def _interface(self, node: Node) -> Interface:
        assert self.emulator is not None
        interface = self.emulator.instance(node.instance_id).interface
        if interface is None:
            raise LabError(f"{node.instance_id} has no interface", "launch instances into a subnet")
        return interface

    def _boot(self, node: Node, interface: Interface) -> None:
        with node.lock:
            node.intent = "run"
            machine = [
                "systemd-nspawn",
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                f"--machine={node.instance_id}",
                f"--directory={node.folder / 'disk/root'}",
                f"--network-namespace-path=/run/netns/{namespace_of(interface)}",
                f"--capability={CAPABILITIES}",
                "--console=read-only",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
            ]
            # The shell enters the node's control groups before it becomes the machine, so that all is inside.
            enter = 'for file in "$@"; do [ "$file" = -- ] && break; echo $$ > "$file"; done'
            enter += '; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
            with node.console.open("ab") as console:
                node.process = subprocess.Popen(
                    ["sh", "-c", enter, "sh", *node.group.procs(), "--", *machine],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            node.leader = _leader(node.process)
        self._changed()

    def _press(self, node: Node, button: str, intent: str, *, cut: bool = False) -> None:
        """Ask the guest by signal; where it is still there after the grace, cut its power."""
        with node.lock:
            if node.process is None or node.leader is None:
                # No guest to ask: it crashed, or is stopped already.
                if intent == "reboot":
                    self.start(node.instance_id)
                else:
                    self._settle(node, intent)
                return
            node.intent = intent
            pressed = node.process
            if cut:
                self._kill(node)
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.leader, POWER_BUTTON[button])
        threading.Thread(target=self._cut_after_grace, args=(node, pressed), daemon=True).start()

    def _cut_after_grace(self, node: Node, pressed: subprocess.Popen[bytes]) -> None:
        try:
            pressed.wait(SHUTDOWN_GRACE_S)
        except subprocess.TimeoutExpired:
            with node.lock:
                if node.process is pressed:
                    self._kill(node)

    @staticmethod
    def _kill(node: Node) -> None:
        if node.leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.leader, signal.SIGKILL)


def _leader(machine: subprocess.Popen[bytes]) -> int:
    """The guest's process 1 as seen from here: the child of systemd-nspawn that has its own pid namespace."""
    children = Path(f"/proc/{machine.pid}/task/{machine.pid}/children")
    own = Path("/proc/self/ns/pid").readlink()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and machine.poll() is None:
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/ns/pid").readlink() != own and _comm(child) in ("systemd", "init"):
                    return int(child)
        time.sleep(0.02)
    raise LabError("the guest's process 1 did not start", "look at the end of its console.log")


def _comm(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
