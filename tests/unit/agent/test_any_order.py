"""Two nodes and one VIP, with actions and faults in any order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent import record, rules

from .clock import Clock, tick
from .peers import FAILED, RUNNING, STOPPED, THIEF, pair


class AnyOrder(RuleBasedStateMachine):
    """In any order, no node is wrong about the VIP, and only a start or a migrate_from takes it."""

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
        """Run the first `goes` steps of Pacemaker's planned move from a holder.

        If a step fails or never comes, Pacemaker stops both nodes and starts one.
        """
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
