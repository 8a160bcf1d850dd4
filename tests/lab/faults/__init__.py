"""Causes, on purpose, everything that can go wrong on EC2: `with Faults(lab).partition(a, b): …`.

Each method begins a fault and returns it. Its `undo()`, or the end of its `with` block, puts back exactly
what the fault changed, and leaves what the cluster has changed in the meantime. Nodes are named by their
instance ids.
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
"""The delay that a slow service adds to each answer: longer than any step of the agent waits."""

CLOCK_STEP_S = 3600.0
"""How far a wrong clock is ahead: a time zone, as in a guest that takes local time for UTC."""


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
        """End the faults begun here that are still in force, the latest first.

        If one can't be ended, the others still are. Raises LabError with all that went wrong.
        """
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
        """The machine loses power between two instructions; EC2 still calls it running."""
        return self._begin("power-loss", machine.power_loss(self._lab, node), node)

    def hang(self, node: str) -> Fault:
        """The machine stands still, network included."""
        return self._begin("hang", machine.hang(self._lab, node), node)

    def stall(self, node: str) -> Fault:
        """Its processes stand still, but its kernel still answers pings."""
        return self._begin("stall", machine.stall(self._lab, node), node)

    def reboot(self, node: str) -> Fault:
        """EC2 reboots it; `undo()` returns when it is back."""
        return self._begin("reboot", machine.reboot(self._lab, node), node)

    def kill(self, node: str, daemon: str, *, restore: bool = True) -> Fault:
        """SIGKILL for a daemon (see machine.DAEMONS for the cluster's).

        Without `restore`, the fault's end starts nothing: what does not come back by itself stays down.
        """
        return self._begin("kill", machine.kill(self._lab, node, daemon, restore), node, daemon=daemon)

    def storm(self, node: str, programs: Sequence[str]) -> Fault:
        """SIGKILL at once for those of the programs that run; what does not restart by itself stays down."""
        begun = machine.storm(self._lab, node, programs)
        return self._begin("storm", begun, node, programs=" ".join(programs))

    def disk_full(self, node: str, left: int = 64 << 10) -> Fault:
        """Its disk has only `left` bytes of room."""
        return self._begin("disk-full", machine.disk_full(self._lab, node, left), node)

    def cpu_starved(self, node: str, cpus: float = 0.05) -> Fault:
        """All its processes together have `cpus` of one processor."""
        return self._begin("cpu-starved", machine.cpu_starved(self._lab, node, cpus), node, cpus=cpus)

    def memory_pressure(self, node: str, spare: int = 8 << 20) -> Fault:
        """It has only `spare` bytes of memory beyond what it needs."""
        return self._begin("memory-pressure", machine.memory_pressure(self._lab, node, spare), node)

    def no_processes(self, node: str) -> Fault:
        """It cannot start a process, as under a fork bomb: fork fails with EAGAIN."""
        return self._begin("no-processes", machine.no_processes(self._lab, node), node)

    # --- the network ---------------------------------------------------------------------------------------

    def partition(self, one: str, other: str, *, protocol: str | None = None, one_way: bool = False) -> Fault:
        """No packet passes between two ends, each of them a node or CLIENT.

        With `protocol`, only packets of that protocol are dropped (see network.PROTOCOLS); with `one_way`,
        only those from `one` to `other`.
        """
        effect = network.partition(self._lab, one, other, protocol, one_way)
        detail = {"protocol": protocol or "all", "one_way": one_way}
        return self._begin("partition", effect, one, other, **detail)

    def isolate(self, node: str) -> Fault:
        """No packet to or from the node, metadata and API included."""
        return self._begin("isolate", network.silence(self._lab, node), node)

    def packet_loss(self, node: str, percent: float = 20) -> Fault:
        """`percent` of the packets to and from the node get lost."""
        return self._begin("packet-loss", network.loss(self._lab, node, percent), node, percent=percent)

    def dns_down(self, node: str) -> Fault:
        """The name service does not answer the node."""
        return self._begin("dns-down", network.dns_down(self._lab, node), node)

    # --- EC2's services ------------------------------------------------------------------------------------

    def api(self, node: str, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """The EC2 API fails the node in one of these ways.

        It is `down`, `slow` (by `seconds`), hangs (`hang`), throttles the node (`throttled`), refuses its
        requests (`denied`), or takes its clock for wrong (`expired`).
        """
        return self._begin(f"api-{kind}", services.broken(self._lab, "api", node, kind, seconds), node)

    def imds(self, node: str, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """The metadata service is `down`, `slow`, hangs (`hang`), or only answers `401`, `404` or `503`."""
        return self._begin(f"imds-{kind}", services.broken(self._lab, "imds", node, kind, seconds), node)

    def clock_step(self, node: str, seconds: float = CLOCK_STEP_S) -> Fault:
        """Its clock is `seconds` ahead of the world's (negative: behind).

        The lab's README says which effects of that the lab can show.
        """
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
        """The standby's system has the VIP too."""
        return self._begin(
            "os-address-added", addresses.os_address_added(self._lab, node, vip), node, vip=vip
        )

    def role_detached(self, node: str) -> Fault:
        """The node loses its instance profile."""
        return self._begin("role-detached", addresses.role_detached(self._lab, node), node)


__all__ = ["CLIENT", "Fault", "Faults"]
