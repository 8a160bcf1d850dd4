"""The nodes of an emulated account. No guest boots, but each says and does what a pair's node would.

A node that joins its cluster says so on its console. It takes the VIP unless a member that it hears has it. It
does not hear members with another key. A node that shuts down passes the VIP to the other one. With
`Guests.fate`, a test makes a node fail or stay silent. If `takes` is False, only the test moves the VIP.
"""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.aws.emulator import Emulator
from tests.aws.emulator.model import RUNNING, STOPPED, TERMINATED, Instance

WORKS, SILENT = "works", "silent"
"""The fates of a node. Any other text is the reason why its bootstrap fails."""

VIP = re.compile(r"ec2_vip=(\d+\.\d+\.\d+\.\d+)")
KEY = re.compile(r"KEY_DIGEST=(\w*)")


@dataclass
class Guest:
    """One node: its VIP and key, whether it is a member, whether its bootstrap is done, and its console."""

    instance_id: str
    name: str
    vip: str
    key: str
    member: bool = False
    done: bool = False
    console: list[str] = field(default_factory=list)


class Guests:
    """The emulator's machines. `give(vip, instance_id)` assigns the address as an agent would.

    `fate` returns what becomes of an instance's bootstrap. `takes` says whether nodes take the VIP. `events` lists
    what happened, in order: ("launch", name), ("holder", name), …. `lost` names the holders that shut down while
    no other member could take the VIP.
    """

    def __init__(self, give: Callable[[str, str], None]) -> None:
        self.emulator: Emulator
        self.fate: Callable[[Instance], str] = lambda instance: WORKS
        self.takes = True
        self.events: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.guests: dict[str, Guest] = {}
        self._give = give
        self._lock = threading.RLock()

    def launch(self, instance_id: str) -> None:
        instance = self.emulator.instance(instance_id)
        self.emulator.set_instance_state(instance_id, RUNNING)
        if (told := _told(instance.user_data)) is None:
            return
        with self._lock:
            guest = self.guests[instance_id] = Guest(instance_id, instance.name or "", *told)
            self.events.append(("launch", guest.name))
            self._boot(guest)

    def reboot(self, instance_id: str) -> None:
        self._shut_down("reboot", instance_id)
        self._start(instance_id)

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        self._shut_down("stop", instance_id)
        with self._lock:
            if guest := self.guests.get(instance_id):
                guest.console.clear()
        self.emulator.set_instance_state(instance_id, STOPPED)

    def start(self, instance_id: str) -> None:
        self.emulator.set_instance_state(instance_id, RUNNING)
        self._start(instance_id)

    def terminate(self, instance_id: str) -> None:
        self._shut_down("terminate", instance_id)
        with self._lock:
            self.guests.pop(instance_id, None)
        self.emulator.set_instance_state(instance_id, TERMINATED)

    def console_output(self, instance_id: str) -> str:
        guest = self.guests.get(instance_id)
        return "\r\n".join(["[    0.000000] Linux", *(guest.console if guest else [])])

    def boot_again(self) -> None:
        """Continue the bootstrap of every node that has not finished it."""
        with self._lock:
            for guest in list(self.guests.values()):
                if not guest.done:
                    self._boot(guest)

    def holder(self, vip: str) -> Guest | None:
        """The guest whose interface has the VIP, or None."""
        for interface in self.emulator.interfaces():
            if vip in interface.secondaries:
                return self.guests.get(interface.instance_id or "")
        return None

    def _start(self, instance_id: str) -> None:
        with self._lock:
            if guest := self.guests.get(instance_id):
                self._boot(guest)

    def _boot(self, guest: Guest) -> None:
        instance = self.emulator.instance(guest.instance_id)
        if guest.done:
            guest.console.append("ec2vip: bootstrap done before; in the cluster again (5 s)")
        else:
            fate = self.fate(instance)
            if fate == SILENT:
                return
            guest.console.append(f"ec2vip: bootstrap of {guest.name} begins")
            if fate != WORKS:
                guest.console.append(f"ec2vip: bootstrap failed: {fate}")
                return
            guest.done = True
            guest.console.append("ec2vip: bootstrap done (23 s)")
        guest.member = True
        holder = self.holder(guest.vip)
        if holder is None or not holder.member or holder.key != guest.key:
            self._take(guest)

    def _shut_down(self, how: str, instance_id: str) -> None:
        with self._lock:
            guest = self.guests.get(instance_id)
            if guest is None:
                return
            self.events.append((how, guest.name))
            guest.member = False
            if self.holder(guest.vip) is guest:
                other = next(self._heard_by(guest), None)
                if other is None:
                    self.lost.append(guest.name)
                else:
                    self._take(other)

    def _heard_by(self, guest: Guest) -> Iterator[Guest]:
        told = (guest.vip, guest.key)
        return (each for each in list(self.guests.values()) if each.member and (each.vip, each.key) == told)

    def _take(self, guest: Guest) -> None:
        if self.takes:
            self._give(guest.vip, guest.instance_id)
            self.events.append(("holder", guest.name))


def _told(user_data: bytes) -> tuple[str, str] | None:
    """The VIP and the key digest in a node's user data, or None if the user data are not a node's."""
    if user_data[:2] != b"\x1f\x8b":
        return None
    text = gzip.decompress(user_data).decode()
    vip, key = VIP.search(text), KEY.search(text)
    return (vip[1], key[1]) if vip and key else None
