"""Two nodes and one VIP: any order of actions and faults, and a partition that does not end."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent import cluster, metadata, outcome, record, rules
from cloudinit import corosync
from tests.unit.cloudinit.conftest import make_spec

from .clock import Clock, tick
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
    """EC2: which interface has the VIP. One place, so never two owners."""

    owner: str = ""
    moves: list[str] = field(default_factory=list)
    up: bool = True
    asked: int = 0
    changes: int = 0


class Client:
    """EC2 as one node reaches it."""

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
    """A node's IMDS: the truth, or an old picture, or nothing."""

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
    """A node, its Corosync ring and what it keeps."""

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
        """An action as a process of its own: nothing is left of it but the record."""
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


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order, no node is wrong about the VIP or takes it but by a start."""

    nodes = st.sampled_from([0, 1])

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        tick(self.patch, self.clock)
        for module in (rules, record):
            self.patch.setattr(module, "log", lambda *_: None)
        self.world, *self.pair = pair(Path(self.folder.name))
        self.guarded = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            self.folder.cleanup()

    @rule(n=nodes)
    def start(self, n: int) -> None:
        node, before, moves = self.pair[n], self.world.owner, len(self.world.moves)
        kept = node.record()
        code = node.act("start")
        assert code in (RUNNING, FAILED)
        assert len(self.world.moves) <= moves + 1
        if code == RUNNING:
            assert node.holds()
        elif self.world.up and (node.imds.up or node.path.exists()):
            lost = (kept.taker, kept.ring, "1") == (before, node.ring, node.nodes) and before != THIEF
            assert node.imds.up is False or lost
        if code == FAILED:
            assert self.world.owner == before

    @rule(n=nodes)
    def stop(self, n: int) -> None:
        node, before, handed = self.pair[n], self.world.owner, self.pair[n].record().handed
        trusted = bool(handed) and self.clock.now - handed < rules.HANDOVER_TIME
        asked = self.world.asked
        assert node.act("stop") == RUNNING
        assert self.world.owner == ("" if before == node.eni and self.world.owner == "" else before)
        if trusted:
            assert (self.world.owner, self.world.asked) == (before, asked)
        elif self.world.up and node.imds.up:
            assert not node.holds()
        assert node.record().handed == 0

    @rule(n=nodes)
    def migrate_to(self, n: int) -> None:
        node, before, asked = self.pair[n], self.world.owner, self.world.asked
        assert node.act("migrate_to") == RUNNING
        assert (self.world.owner, self.world.asked) == (before, asked)

    @rule(n=nodes)
    def migrate_from(self, n: int) -> None:
        node, before = self.pair[n], self.world.owner
        code = node.act("migrate_from")
        assert code in (RUNNING, FAILED)
        assert self.world.owner == (node.eni if code == RUNNING else before)

    @rule(n=nodes, goes=st.integers(0, 3), recovers=nodes)
    def move(self, n: int, goes: int, recovers: int) -> None:
        """Pacemaker's planned move from a holder, `goes` steps far, and what it does where a step failed or never
        came: a stop on both nodes and a start on one."""
        old, new = self.pair[n], self.pair[1 - n]
        if not old.holds() or goes == 0:
            return
        changes, codes = self.world.changes, []
        for node, action in ((old, "migrate_to"), (new, "migrate_from"), (old, "stop"))[:goes]:
            codes.append(node.act(action))
        if codes == [RUNNING] * 3:
            assert new.holds()
            assert self.world.changes == changes + 1, "one call"
        elif goes < 3 or FAILED in codes:
            for node in self.pair:
                assert node.act("stop") == RUNNING
            again = self.pair[recovers]
            if again.act("start") == RUNNING:
                assert again.holds()

    @rule(n=nodes)
    def monitor(self, n: int) -> None:
        node, record = self.pair[n], self.pair[n].record()
        changes, asked = self.world.changes, self.world.asked
        shown = node.imds.up and node.imds.shows()
        code = node.act("monitor")
        assert self.world.changes == changes, "a monitor changes nothing"
        if record.held and shown:
            assert (code, self.world.asked) == (RUNNING, asked), "what is there costs no call"
        settling = record.held and self.clock.now - record.since < rules.SETTLE_TIME
        known = self.world.up and (node.imds.up or record.keys_last(0))
        if code == STOPPED:
            assert known, "no answer is no absence"
            assert not node.holds()
            assert not settling
        if known and not settling and not (record.held and shown):
            assert code == (RUNNING if node.holds() else STOPPED)

    @rule(n=nodes)
    def probe(self, n: int) -> None:
        node, record, changes = self.pair[n], self.pair[n].record(), self.world.changes
        code = node.act("probe")
        assert self.world.changes == changes
        settling = record.held and self.clock.now - record.since < rules.SETTLE_TIME
        if self.world.up and (node.imds.up or record.keys_last(0)) and not settling:
            assert code == (RUNNING if node.holds() else STOPPED)
        assert code in (RUNNING, STOPPED), "anything else is a second holder, to Pacemaker"
        if not self.world.up and not record.held:
            assert code == STOPPED

    @rule(n=nodes, up=st.booleans())
    def imds(self, n: int, up: bool) -> None:
        self.pair[n].imds.up = up

    @rule(n=nodes)
    def imds_gets_old(self, n: int) -> None:
        self.pair[n].imds.old = self.pair[n].imds.shows()

    @rule(n=nodes)
    def imds_catches_up(self, n: int) -> None:
        self.pair[n].imds.old = None

    @rule(up=st.booleans())
    def api(self, up: bool) -> None:
        self.world.up = up

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0, 4000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(n=nodes)
    def reboot(self, n: int) -> None:
        self.pair[n].path.unlink(missing_ok=True)

    @rule(ring=st.sampled_from(["1.1", "1.2", ""]), nodes=st.sampled_from(["1", "2"]))
    def membership(self, ring: str, nodes: str) -> None:
        for node in self.pair:
            node.ring, node.nodes = ring, nodes if ring else ""

    @rule()
    def theft(self) -> None:
        self.world.owner = THIEF

    @precondition(lambda self: not self.world.up or not all(node.imds.up for node in self.pair))
    @rule()
    def all_heals(self) -> None:
        self.world.up = True
        for node in self.pair:
            node.imds.up, node.imds.old = True, None

    @invariant()
    def what_moves_the_vip_is_a_start(self) -> None:
        if hasattr(self, "world"):
            assert self.world.owner in ("", "eni-a", "eni-b", THIEF)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=200, deadline=None)
@given(
    addresses=st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=6),
    vip=st.sampled_from([VIP, "10.0.250.1", "0.0.250.18"]),
)
def test_only_the_very_address_is_the_vip(addresses: list[str], vip: str) -> None:
    class Told(metadata.Metadata):
        def _interface(self, *_: object) -> str:
            return "\n".join([*addresses, "10.0.250.185", "110.0.250.18", "10.0.250.181"])

    told = Told(outcome.Deadline(1)).addresses()
    assert (vip in told) == (vip in addresses)


def partition(a: Peer, b: Peer, clock: Clock, seconds: int, failure_timeout: int = 60) -> None:
    """Both nodes alone, each with a Pacemaker that monitors each 10 s, bans after a failure and tries again
    when the ban is over, as migration-threshold=1 and failure-timeout have it."""
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


@pytest.fixture
def peers(tmp_path: Path) -> tuple[World, Peer, Peer]:
    world, a, b = pair(tmp_path)
    assert a.act("start") == RUNNING
    world.moves.clear()
    apart(a, b)
    return world, a, b


def test_a_partition_costs_one_move(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    world, a, b = peers
    partition(a, b, clock, seconds=50 * 60)
    assert world.moves == ["eni-b"]


def test_a_holder_whose_imds_is_stale_does_not_fight_either(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    world, a, b = peers
    a.imds.old = True
    partition(a, b, clock, seconds=30 * 60)
    assert world.moves == ["eni-b"]
    assert a.act("stop") == RUNNING
    assert b.holds()


def test_after_the_partition_the_loser_takes_over_when_the_taker_dies(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("start") == FAILED
    together(a, b)
    a.ring, a.nodes = "1.4", "1"  # the taker has died: the ring is a new one again
    assert a.act("start") == RUNNING
    assert a.holds()


def test_a_taker_that_gave_the_vip_up_is_no_hindrance(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    b.act("stop")
    assert a.act("start") == RUNNING


def test_a_cleanup_and_a_migration_override(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("migrate_from") == RUNNING
    b.act("monitor")
    clock.now += rules.SETTLE_TIME
    b.act("monitor")
    assert b.act("start") == FAILED
    b.act("probe")  # pcs resource cleanup makes the cluster probe
    assert b.act("start") == RUNNING


def test_a_loss_is_forgotten_once_the_vip_is_back(peers: tuple[World, Peer, Peer], clock: Clock) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    assert a.act("migrate_from") == RUNNING
    assert b.act("migrate_from") == RUNNING
    a.act("stop")
    assert a.act("start") == RUNNING


def test_a_taker_that_died_in_the_partition_does_not_keep_the_vip_for_good(
    peers: tuple[World, Peer, Peer], clock: Clock
) -> None:
    _, a, b = peers
    partition(a, b, clock, seconds=120)
    clock.now += rules.LOST_HOLD + 1
    assert a.act("start") == RUNNING


def test_without_corosync_nothing_is_held_back(tmp_path: Path, clock: Clock) -> None:
    _, a, b = pair(tmp_path)
    a.ring = b.ring = a.nodes = b.nodes = ""
    a.act("start")
    clock.now += 60
    b.act("start")
    assert a.act("monitor") == STOPPED
    assert a.act("start") == RUNNING


@pytest.mark.parametrize(
    ("shown", "ring", "members"),
    [
        (
            "Quorum information\n------\nNodes:            2\nNode ID:          1\nRing ID:          1.1a4\n",
            "1.1a4",
            "2",
        ),
        ("Cannot initialize QUORUM service\n", "", ""),
        (None, "", ""),
    ],
)
def test_what_is_known_of_the_membership_is_corosyncs_own(
    monkeypatch: pytest.MonkeyPatch, shown: str | None, ring: str, members: str
) -> None:
    import subprocess

    def run(words: list[str], **_: object) -> object:
        assert words == ["/usr/sbin/corosync-quorumtool", "-s"]
        if shown is None:
            raise FileNotFoundError(words[0])
        return subprocess.CompletedProcess(words, 1, shown, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert cluster.membership() == (members, ring)


def test_a_thief_gets_it_as_often_as_it_likes_and_never_keeps_it(tmp_path: Path, clock: Clock) -> None:
    """From each node in turn, the peer seen or not: it has no member's address."""
    world, a, b = pair(tmp_path)
    for nodes in ("2", "1"):
        a.nodes = b.nodes = nodes
        for node in (a, b, a, b, b, a):
            assert node.act("start") == RUNNING
            clock.now += rules.SETTLE_TIME
            world.owner = THIEF
            assert node.act("monitor") == STOPPED
            assert node.act("stop") == RUNNING
            assert node.act("start") == RUNNING
            assert node.holds()
            node.act("stop")


def test_a_restart_after_a_theft_is_one_call(tmp_path: Path, clock: Clock) -> None:
    world, a, _ = pair(tmp_path)
    a.act("start")
    clock.now += rules.SETTLE_TIME
    world.owner = THIEF
    a.act("monitor")
    asked = world.asked
    assert (a.act("stop"), a.act("start")) == (RUNNING, RUNNING)
    assert world.asked == asked + 1


def test_without_known_members_any_taker_may_be_the_peer(
    peers: tuple[World, Peer, Peer], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, a, b = peers
    monkeypatch.setattr(Peer, "members", lambda _: set())
    partition(a, b, clock, seconds=120)
    assert a.act("start") == FAILED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (corosync.conf(make_spec()), {"10.0.250.186", "10.0.250.187"}),
        ("nodelist {\n node {\n  ring0_addr: node-a\n }\n}\n", set()),
        ("ring0_addr : 10.0.0.1\n\tring1_addr:10.0.1.1\n", {"10.0.0.1", "10.0.1.1"}),
        (None, set()),
    ],
)
def test_the_members_are_those_of_corosyncs_configuration(
    tmp_path: Path, text: str | None, found: set[str]
) -> None:
    file = tmp_path / "corosync.conf"
    if text is not None:
        file.write_text(text)
    assert cluster.members(str(file)) == found
