"""Two nodes that each see an EC2 with one VIP in their own way, and what a partition does to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent import metadata, outcome, record, rules

from .clock import Clock
from .cloud import VIP

if TYPE_CHECKING:
    from types import ModuleType

    from agent.ec2 import Ec2

CIDR = "10.0.250.0/24"
THIEF = "eni-thief"
ADDRESSES = {"eni-a": "10.0.250.10", "eni-b": "10.0.250.11", THIEF: "10.0.250.99"}
MEMBERS = {"10.0.250.10", "10.0.250.11"}
RUNNING, STOPPED, FAILED = outcome.SUCCESS, outcome.NOT_RUNNING, outcome.ERR_GENERIC


@dataclass
class World:
    """EC2's view: which interface has the VIP. There is one entry, so there are never two owners."""

    owner: str = ""
    moves: list[str] = field(default_factory=list)
    up: bool = True
    asked: int = 0
    changes: int = 0


class Client:
    """EC2 as one node sees it."""

    def __init__(self, world: World, eni: str, primary: str) -> None:
        self.world, self.eni, self.primary = world, eni, primary

    def _reach(self) -> None:
        self.world.asked += 1
        if not self.world.up:
            raise outcome.UnansweredError("throttled")

    def assign(self, _: str) -> None:
        self._reach()
        self.world.changes += 1
        if self.world.owner != self.eni:
            self.world.moves.append(self.eni)
        self.world.owner = self.eni

    def unassign(self, _: str) -> None:
        self._reach()
        self.world.changes += 1
        if self.world.owner != self.eni:
            raise outcome.RefusedError("not assigned")
        self.world.owner = ""

    def owner(self, _: str) -> tuple[str, str]:
        self._reach()
        return self.world.owner, ADDRESSES.get(self.world.owner, "")


class Service:
    """A node's IMDS: it shows the truth or old data, or does not answer."""

    def __init__(self, world: World, eni: str, primary: str) -> None:
        self.world, self.eni, self.primary = world, eni, primary
        self.old: bool | None = None
        self.up = True
        self.until: object = None

    def shows(self) -> bool:
        return self.world.owner == self.eni if self.old is None else self.old

    def addresses(self) -> list[str]:
        if not self.up:
            raise outcome.UnansweredError("IMDS is down")
        return [self.primary, VIP] if self.shows() else [self.primary]

    def identity(self) -> dict[str, str]:
        self.addresses()
        return {"eni": self.eni, "primary": self.primary, "cidr": CIDR, "mac": "02:00:00:00:00:01"}

    def credentials(self, role: str = "") -> tuple[dict[str, str], float]:
        self.addresses()
        return {}, 1e9


@dataclass
class Peer:
    """A node, its Corosync ring and its record."""

    world: World
    eni: str
    primary: str
    folder: Path
    ring: str = "1.1"
    nodes: str = "2"

    def __post_init__(self) -> None:
        self.imds = Service(self.world, self.eni, self.primary)

    def membership(self) -> tuple[str, str]:
        return self.nodes, self.ring

    def members(self) -> set[str]:
        return MEMBERS

    @property
    def path(self) -> Path:
        return self.folder / self.eni

    def record(self) -> record.Record:
        return record.Record(str(self.path), VIP)

    def agent(self, probe: bool = False) -> rules.Agent:
        client = cast("Ec2", Client(self.world, self.eni, self.primary))
        imds = cast("metadata.Metadata", self.imds)
        corosync = cast("ModuleType", self)
        kept = self.record()
        return rules.Agent(VIP, imds, lambda _: client, kept, outcome.Deadline(20), probe, corosync)

    def act(self, action: str) -> int:
        """Run an action as a process of its own would: only the record remains afterwards."""
        probe = action == "probe"
        try:
            return self.agent(probe).act("monitor" if probe else action)
        except outcome.AgentError as error:
            return error.code

    def holds(self) -> bool:
        return self.world.owner == self.eni


def pair(folder: Path) -> tuple[World, Peer, Peer]:
    world = World()
    return world, Peer(world, "eni-a", "10.0.250.10", folder), Peer(world, "eni-b", "10.0.250.11", folder)


def partition(a: Peer, b: Peer, clock: Clock, seconds: int, failure_timeout: int = 60) -> None:
    """Run both nodes alone for that many seconds of the clock, each with its own Pacemaker.

    Pacemaker monitors every 10 s, bans a node after a failure and tries again when the ban is over, as with
    migration-threshold=1 and failure-timeout.
    """
    wants = {a.eni: True, b.eni: True}
    banned = {a.eni: 0.0, b.eni: 0.0}
    runs = {a.eni: a.holds(), b.eni: b.holds()}
    end = clock.now + seconds
    while clock.now < end:
        for node in (b, a):
            if runs[node.eni]:
                if node.act("monitor") != RUNNING:
                    node.act("stop")
                    runs[node.eni], banned[node.eni] = False, clock.now + failure_timeout
            elif wants[node.eni] and clock.now >= banned[node.eni]:
                runs[node.eni] = node.act("start") == RUNNING
                if not runs[node.eni]:
                    node.act("stop")
                    banned[node.eni] = clock.now + failure_timeout
        clock.now += 10


def apart(a: Peer, b: Peer) -> None:
    a.ring, b.ring = "1.2", "2.2"
    a.nodes = b.nodes = "1"


def together(a: Peer, b: Peer) -> None:
    a.ring = b.ring = "1.3"
    a.nodes = b.nodes = "2"
