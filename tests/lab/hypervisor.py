"""Nodes: the image under an overlay, booted by systemd-nspawn in the network namespace of its interface.

A thread for each node waits for its machine to end, and then does what EC2 does. After a reboot it starts the
machine again, after a shutdown it stops the instance, and after a crash the machine stays off until somebody
starts it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.aws.emulator import Emulator, Interface
from tests.lab import cache, cgroup, image, journal, leaders, serial, ssm_agent, userns
from tests.lab.amis import image_of
from tests.lab.disk import Disk
from tests.lab.errors import LabError
from tests.lab.fabric import Fabric, namespace_of
from tests.lab.network_plan import node_words
from tests.lab.timeline import Timeline
from tests.lab.trust import trust

RESTART_STATUS = 133
"""The exit status of systemd-nspawn --keep-unit when the guest reboots (EXIT_FORCE_RESTART)."""

SHUTDOWN_GRACE_S = 120.0
"""EC2 cuts the power of a guest that ignores the power button for a few minutes.

For a reboot it waits four (RebootInstances).
"""

POWER_LIMIT_S = 20.0
"""A machine whose power is cut is gone in some 0.1 s."""

LAST_WORDS_S = 2.0
"""Limit for reading the last of what a machine wrote to its console before it was off."""

PRIORITY_S = 0.1
"""Interval at which we check that Corosync has its priority; it takes longer than that to join."""

CAPABILITIES = "CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_NICE,CAP_IPC_LOCK"
"""What IPaddr2, ping's raw sockets, and corosync's priority and locked memory need beyond the default.

In the node's user namespace, the last two have no effect on the machine.
"""

ENTER_GROUPS = 'for file in "$@"; do [ "$file" = -- ] && break; echo $$ > "$file"; done'
ENTER_GROUPS += '; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
"""The shell enters the node's control groups before it becomes the machine, so all of it is inside."""

MACHINE = "/run/machine"
OWN_MOUNTS = f"""
mount -t tmpfs -o mode=755 nspawn /run
mkdir {MACHINE}
mount --no-canonicalize --bind . {MACHINE}
touch /run/network
mount --bind /proc/$$/ns/net /run/network
cd {MACHINE}
exec unshare --net "$@"
"""
"""Prepares the mounts for systemd-nspawn, which is a user without rights on the machine: /run and the disk.

It gets a /run of its own. The disk (the working folder) is mounted again at MACHINE, because a mount from
outside the user namespace could not become the root. /sys is made in an empty network namespace: if
cloud-init saw an interface, it would wait a minute for DHCP.
"""

KILL_AGAIN_S = 0.2
POWER_BUTTON = {"reboot": signal.SIGRTMIN + 5, "poweroff": signal.SIGRTMIN + 4}
"""Signals that start reboot.target and poweroff.target in systemd as process 1 (systemd(1))."""


@dataclass
class Node:
    """One instance's machine: its disk, its control group, and its process while it has power."""

    instance_id: str
    folder: Path
    group: cgroup.Cgroup
    disk: Disk
    process: subprocess.Popen[bytes] | None = None
    words: threading.Thread | None = None
    """The thread that stores what the machine writes to its console."""
    leader: int | None = None
    intent: str = "run"
    """What happens after the machine's end: `run` (a crash stays down), `reboot`, `stop`, or `terminate`."""
    cut: bool = False
    """Whether its power was cut, so that it loses what it has not synced."""
    off: threading.Event = field(default_factory=threading.Event)
    """Set while the machine neither runs nor is about to."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


class Hypervisor:
    """Implements the emulator's `Machines`. Those methods return at once; a node's thread does the work."""

    def __init__(
        self,
        lab: str,
        folder: Path,
        certificate: bytes,
        fabric: Fabric,
        changed: Callable[[], None],
        timeline: Timeline,
        hollow: bool = False,
    ) -> None:
        """`folder` holds the nodes' consoles and disks, `certificate` is the API's authority (PEM).

        We call `changed` after every change of a node's process. If `hollow`, the machines have a power
        switch, an interface and control groups, but boot nothing: that is for tests of the lab itself.
        """
        self.emulator: Emulator | None = None
        self.nodes: dict[str, Node] = {}
        self._lab, self._folder, self._hollow = lab, folder, hollow
        self._certificate, self._fabric, self._changed = certificate, fabric, changed
        self._timeline = timeline
        self.shutdown_grace_s = SHUTDOWN_GRACE_S
        if not hollow:
            threading.Thread(target=self._give_priority, name="priority", daemon=True).start()

    # --- what the EC2 API asks for -------------------------------------------------------------------------

    def launch(self, instance_id: str) -> None:
        """Give the instance its disk and interface, and boot it."""
        folder = self._folder / instance_id
        folder.mkdir()
        disk = Disk(folder / "disk", instance_id)
        node = self.nodes[instance_id] = Node(
            instance_id, folder, cgroup.Cgroup(self._lab, instance_id), disk
        )
        self._begin(node, first=True)

    def start(self, instance_id: str) -> None:
        """Boot a stopped instance from the disk it has."""
        self._begin(self.nodes[instance_id])

    def reboot(self, instance_id: str) -> None:
        """Ask the guest to reboot; if it takes too long, cut its power and boot it."""
        self._press(self.nodes[instance_id], "reboot", "reboot")

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        """Press the power button, and cut the power after the grace.

        With `force` it still asks the guest first, with `skip_os_shutdown` it does not.
        """
        del force  # EC2 tries a graceful shutdown all the same (StopInstances)
        self._press(self.nodes[instance_id], "poweroff", "stop", cut=skip_os_shutdown)

    def terminate(self, instance_id: str) -> None:
        """Press the power button, cut the power after the grace, and remove the disk."""
        self._press(self.nodes[instance_id], "poweroff", "terminate")

    def console_output(self, instance_id: str) -> str:
        """Everything the guest wrote to its console since launch."""
        node = self.nodes.get(instance_id)
        return node.console.read_text(errors="replace") if node and node.console.exists() else ""

    def run_command(self, instance_id: str, lines: list[str], limit_s: float) -> tuple[int, str] | None:
        """Run what SSM Run Command sends to the guest; see the emulator's `CommandedMachines`."""
        node = self.nodes.get(instance_id)
        return ssm_agent.run(node, lines, limit_s, hollow=self._hollow) if node else None

    # --- what only a lab can do ----------------------------------------------------------------------------

    def power_loss(self, instance_id: str) -> None:
        """Cut the machine's power between two instructions; EC2 still calls the instance running.

        Returns when nothing of the machine runs any more. Raises KeyError for an unknown instance, and
        LabError if something still runs after POWER_LIMIT_S.
        """
        node = self.nodes[instance_id]
        until = time.monotonic() + POWER_LIMIT_S
        while time.monotonic() < until:
            with node.lock:
                node.intent = "run"
                self._kill(node)
            # A machine that has just got power has no process yet: then we kill it in a later round.
            if node.off.wait(KILL_AGAIN_S):
                return
        raise LabError(f"{instance_id} is still there after {POWER_LIMIT_S:.0f} s", "see its console.log")

    def power_on(self, instance_id: str) -> None:
        """Boot a machine that is off, and tell EC2 that it runs."""
        self._begin(self.nodes[instance_id])

    def keep_disk(self, instance_id: str) -> None:
        """Keep what the node has written so far: `reset_disk` will come back to it. The node must be off."""
        self._off(instance_id).disk.add_layer()

    def reset_disk(self, instance_id: str) -> None:
        """Forget what the node has written since `keep_disk`. The node must be off."""
        self._off(instance_id).disk.reset()

    def _off(self, instance_id: str) -> Node:
        node = self.nodes[instance_id]
        if not node.off.is_set():
            raise LabError(f"{instance_id} has power", "cut it first")
        return node

    # --- the machine ---------------------------------------------------------------------------------------

    def _begin(self, node: Node, *, first: bool = False) -> None:
        """Give the machine power unless it has it: two callers may ask at once."""
        with node.lock:
            if not first and not node.off.is_set():
                return
            node.off.clear()
        threading.Thread(target=self._live, args=(node, first), name=node.instance_id, daemon=True).start()

    def _live(self, node: Node, first: bool) -> None:
        """Boot the machine, and boot it again after each reboot, until it has to stay off."""
        assert self.emulator is not None
        interface = self._interface(node)
        try:
            if first:
                node.group.make()
                self._fabric.plug(interface)
                lower = self._layers(node)
                node.disk.make(lower, lambda upper: trust(self._certificate, lower, upper))
                node.group.give(userns.root_of(node.instance_id))
            while True:
                self._fabric.lease(interface)
                self._boot(node, interface)
                self.emulator.set_instance_state(node.instance_id, "running")
                status = node.process.wait() if node.process else 1
                if node.words:
                    node.words.join(LAST_WORDS_S)
                if node.cut:
                    node.cut = False
                    node.disk.lose_unwritten()
                with node.lock:
                    node.process = node.leader = None
                    self._fabric.unlease(interface)
                    again = node.intent == "reboot" or (node.intent == "run" and status == RESTART_STATUS)
                    shut_down = status == 0
                self._timeline.append("power", instance_id=node.instance_id, on=False)
                self._changed()
                if not again:
                    break
        except (LabError, OSError) as error:
            with node.console.open("a") as console:
                console.write(f"lab: the node did not boot: {error}\n")
            node.off.set()
            self.emulator.set_instance_state(node.instance_id, "stopped")
            return
        node.off.set()
        if node.intent == "terminate" or node.intent == "stop" or shut_down:
            self._settle(node, "terminate" if node.intent == "terminate" else "stop")

    def _layers(self, node: Node) -> list[Path]:
        """The layers of the instance's image, the uppermost first."""
        if not self._hollow:
            assert self.emulator is not None
            layers = image.layers(image_of(self.emulator.instance(node.instance_id).image_id))
            for layer in layers:
                cache.hold(layer.parent)
            return layers
        # A machine that boots nothing has an empty image, whatever its AMI.
        for name in ("etc", "var"):
            (node.folder / "image" / name).mkdir(parents=True)
        return [node.folder / "image"]

    def _settle(self, node: Node, intent: str) -> None:
        """Tell EC2 that the machine, which is off, is stopped or terminated.

        A terminated one loses its interface and its disk first.
        """
        assert self.emulator is not None
        node.off.set()
        if intent == "terminate":
            self._fabric.unplug(self._interface(node))
            node.disk.remove()
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
            machine = self._machine(node, interface)
            node.process = subprocess.Popen(
                ["sh", "-c", ENTER_GROUPS, "sh", *node.group.procs(), "--", *machine],
                cwd=node.disk.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            assert node.process.stdout
            node.words = serial.keep(node.process.stdout, node.console)
            node.leader = leaders.find(
                node.process, leaders.in_own_network if self._hollow else leaders.process_1
            )
            leader = node.leader
        self._timeline.append("power", instance_id=node.instance_id, on=True)
        if not self._hollow:
            journal.follow(
                node_words(leader), node.instance_id, self._timeline.append, lambda: node.leader == leader
            )
        self._changed()

    def _machine(self, node: Node, interface: Interface) -> list[str]:
        """The command line of the program that is the machine."""
        namespace = namespace_of(interface)
        if self._hollow:
            buttons = (str(int(each)) for each in POWER_BUTTON.values())
            return ["ip", "netns", "exec", namespace, sys.executable, "-ISc", leaders.HOLLOW_GUEST, *buttons]
        users, network = (f"{folder}/{namespace}" for folder in (userns.NAMES, userns.NETWORKS))
        # Otherwise systemd-nspawn would take these two limits from the machine's process 1, which it may not.
        limits = {
            name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
            for name in ("NPROC", "SIGPENDING")
        }
        return [
            *("nsenter", f"--user={users}", f"--net={network}", "--setuid=0", "--setgid=0"),
            *("unshare", "--mount", "--propagation=private", "sh", "-euc", OWN_MOUNTS, "sh"),
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            f"--machine={node.instance_id}",
            f"--directory={MACHINE}",
            "--network-namespace-path=/run/network",
            f"--capability={CAPABILITIES}",
            "--drop-capability=CAP_MKNOD",
            *(f"--rlimit={name}={'infinity' if most < 0 else most}" for name, most in limits.items()),
            "--console=read-only",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]

    def _give_priority(self) -> None:
        """Give Corosync its priority, wherever it starts, as long as the lab lives."""
        while True:
            for node in list(self.nodes.values()):
                if node.leader is not None:
                    node.group.give_priority()
            time.sleep(PRIORITY_S)

    def _press(self, node: Node, button: str, intent: str, *, cut: bool = False) -> None:
        """Ask the guest by a signal; if it is still there after the grace, cut its power."""
        with node.lock:
            if node.process is None or node.leader is None:
                # There is no guest to ask: it has crashed, or has stopped already.
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
            pressed.wait(self.shutdown_grace_s)
        except subprocess.TimeoutExpired:
            with node.lock:
                if node.process is pressed:
                    self._kill(node)

    @staticmethod
    def _kill(node: Node) -> None:
        node.cut = node.process is not None
        if node.leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.leader, signal.SIGKILL)
        # Else what boots next in this group would be frozen, too.
        node.group.freeze(False)
