"""Everything that can go wrong on EC2, to be had on purpose: `with Faults(lab).partition(a, b): …`.

Each method begins a fault and returns it; its `undo()`, or the end of its `with` block, puts back exactly what it
changed, and never what the cluster has changed in the meantime. Nodes are named by their instance ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tests.lab.errors import LabError
from tests.lab.faults import addresses, machine, network, services
from tests.lab.faults.core import CLIENT, Fault

if TYPE_CHECKING:
    from tests.lab.lab import Lab

SLOW_S = 3.0
"""What a slow service adds to each answer: more than any step of the agent waits."""

CLOCK_STEP_S = 3600.0
"""How far a wrong clock is ahead: a time zone, as from a guest that takes local time for UTC."""


class Faults:
    """The faults of one lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._begun: list[Fault] = []

    def _begin(self, name: str, effect: AbstractContextManager[None], *nodes: str, **detail: Any) -> Fault:
        told = {"nodes": list(nodes), **({"detail": detail} if detail else {})}
        fault = Fault(name, effect, self._lab.timeline, **told)
        self._begun.append(fault)
        return fault

    def undo_all(self) -> None:
        """End those begun here that are still in force, the last one first. One that can't be ended keeps no
        other from it; raises LabError with all that went wrong."""
        wrong = []
        while self._begun:
            try:
                self._begun.pop().undo()
            except LabError as error:
                wrong.append(str(error))
        if wrong:
            raise LabError("; ".join(wrong))

    # --- the machine ---------------------------------------------------------------------------------------

    def power_loss(self, node: str) -> Fault:
        """The machine is gone between two instructions; EC2 goes on calling it running."""
        return self._begin("power-loss", machine.power_loss(self._lab, node), node)

    def hang(self, node: str) -> Fault:
        """The machine stands still, network included."""
        return self._begin("hang", machine.hang(self._lab, node), node)

    def stall(self, node: str) -> Fault:
        """Its processes stand still, while its kernel goes on answering pings."""
        return self._begin("stall", machine.stall(self._lab, node), node)

    def reboot(self, node: str) -> Fault:
        """EC2 reboots it; `undo()` returns when it is back."""
        return self._begin("reboot", machine.reboot(self._lab, node), node)

    def kill(self, node: str, daemon: str, *, restore: bool = True) -> Fault:
        """SIGKILL for a daemon (see machine.DAEMONS for the cluster's). Without `restore` its end starts nothing:
        what does not come back by itself stays away."""
        return self._begin("kill", machine.kill(self._lab, node, daemon, restore), node, daemon=daemon)

    def storm(self, node: str, programs: Sequence[str]) -> Fault:
        """SIGKILL at once for those of the programs that run; what does not come back by itself stays away."""
        begun = machine.storm(self._lab, node, programs)
        return self._begin("storm", begun, node, programs=" ".join(programs))

    def disk_full(self, node: str, left: int = 64 << 10) -> Fault:
        """Its disk has `left` bytes of room."""
        return self._begin("disk-full", machine.disk_full(self._lab, node, left), node)

    def cpu_starved(self, node: str, cpus: float = 0.05) -> Fault:
        """Its processes have `cpus` of one processor together."""
        return self._begin("cpu-starved", machine.cpu_starved(self._lab, node, cpus), node, cpus=cpus)

    def memory_pressure(self, node: str, spare: int = 8 << 20) -> Fault:
        """It has `spare` bytes of memory beyond what it needs."""
        return self._begin("memory-pressure", machine.memory_pressure(self._lab, node, spare), node)

    def no_processes(self, node: str) -> Fault:
        """It can start no process, as under a fork bomb: fork answers EAGAIN."""
        return self._begin("no-processes", machine.no_processes(self._lab, node), node)

    # --- the network ---------------------------------------------------------------------------------------

    def partition(self, one: str, other: str, *, protocol: str | None = None, one_way: bool = False) -> Fault:
        """No packet passes between two ends, or none of one protocol (see network.PROTOCOLS), or none from
        `one` to `other`. An end is a node or CLIENT."""
        effect = network.partition(self._lab, one, other, protocol, one_way)
        detail = {"protocol": protocol or "all", "one_way": one_way}
        return self._begin("partition", effect, one, other, **detail)

    def isolate(self, node: str) -> Fault:
        """No packet to or from the node, metadata and API included."""
        return self._begin("isolate", network.silence(self._lab, node), node)

    def packet_loss(self, node: str, percent: float = 20) -> Fault:
        """So many of a hundred packets to and from the node get lost."""
        return self._begin("packet-loss", network.loss(self._lab, node, percent), node, percent=percent)

    def dns_down(self, node: str) -> Fault:
        """The name service does not answer the node."""
        return self._begin("dns-down", network.dns_down(self._lab, node), node)

    # --- EC2's services ------------------------------------------------------------------------------------

    def api(self, node: str, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """The EC2 API is `down`, `slow`, hangs (`hang`), has `throttled` or `denied` the node, or takes its
        clock for wrong (`expired`)."""
        return self._begin(f"api-{kind}", services.broken(self._lab, "api", node, kind, seconds), node)

    def imds(self, node: str, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """The metadata service is `down`, `slow`, hangs (`hang`), or answers all with `401`, `404` or `503`."""
        return self._begin(f"imds-{kind}", services.broken(self._lab, "imds", node, kind, seconds), node)

    def clock_step(self, node: str, seconds: float = CLOCK_STEP_S) -> Fault:
        """Its clock is so many seconds ahead of the world's (negative: behind); see the lab's README for what of
        that can be had."""
        effect = services.broken(self._lab, "clock", node, "step", seconds)
        return self._begin("clock-step", effect, node, seconds=seconds)

    # --- the VIP -------------------------------------------------------------------------------------------

    def vip_stolen(self, vip: str) -> Fault:
        """A third interface takes the VIP in EC2."""
        return self._begin("vip-stolen", addresses.stolen(self._lab, vip), vip=vip)

    def os_address_deleted(self, node: str, vip: str) -> Fault:
        """The holder's system loses the VIP."""
        effect = addresses.os_address_deleted(self._lab, node, vip)
        return self._begin("os-address-deleted", effect, node, vip=vip)

    def os_address_added(self, node: str, vip: str) -> Fault:
        """The system of the node that is not the holder has the VIP too."""
        return self._begin(
            "os-address-added", addresses.os_address_added(self._lab, node, vip), node, vip=vip
        )

    def role_detached(self, node: str) -> Fault:
        """The node's instance profile is taken from it."""
        return self._begin("role-detached", addresses.role_detached(self._lab, node), node)


__all__ = ["CLIENT", "Fault", "Faults"]
