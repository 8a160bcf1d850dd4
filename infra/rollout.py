"""One node after the other: in which order an `up` lets Pulumi touch two nodes that serve already.

Pulumi would change both at once, for nothing in the stack makes one wait for the other, and nothing may: at the
first `up` they start side by side. So each node is registered with Pulumi when its turn has come, and that is
where an `up` waits. Whoever serves least goes first; the other one's turn comes when the first, as it is by then,
is a working member of the cluster. Where the other has the VIP and is about to be replaced or stopped, it is
rebooted before its turn: a shutdown that moves the VIP as a planned move does, and that is undone by itself
where the new node cannot take the address. So the old holder is ended only after another has the VIP.

A new node with another key does not hear the old one. Then the first node goes first, which brings the cluster's
settings along: it makes a cluster of its own and takes the VIP, which EC2 gives to one at a time.

Nothing of this is kept anywhere: each `up` asks EC2 how things are, and so takes up what another left half-way.
Pulumi runs the program for a refresh and a destroy as well. They change no node by it, so they wait for none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError

from .operation import Operation
from .watch import OFF, POLL_S, SHUTTING_DOWN, Node, PairError, Watch

# Between the digest in a node's tag and which cluster it is of, by its key.
CLUSTER_MARK = "."
# EC2 cuts the power of a guest that has not shut down for a reboot within four minutes, and then its peer takes
# the VIP: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html
MOVE_LIMIT = timedelta(minutes=5)


def order(nodes: Mapping[str, Node], names: tuple[str, str]) -> tuple[str, str]:
    """The two names, the one that serves less first: gone, not running, running, the VIP's holder."""

    def service(name: str) -> int:
        node = nodes.get(name)
        if node is None:
            return 0
        return 1 if node.state != "running" else 3 if node.holds else 2

    first, second = sorted(names, key=service)  # a stable sort: of two equals the first node goes first
    return first, second


@dataclass(frozen=True)
class Wanted:
    """What a node is to be: `made_from` changes with whatever replaces it, `instance_type` stops and starts it."""

    made_from: pulumi.Output[str]
    instance_type: str

    async def is_met_by(self, node: Node) -> bool:
        """Whether Pulumi will leave the node's machine alone."""
        made_from = await self.made_from.future()
        return (node.made_from, node.instance_type) == (made_from, self.instance_type)


def _cluster(made_from: str) -> str:
    return made_from.partition(CLUSTER_MARK)[2]


@dataclass(frozen=True)
class Begin:
    """How things were before this run changed anything. `settled` says that there is nothing to look after,
    `is_up` that this is known to be an `up` of the whole pair, `doubts` why the picture of the nodes may be wrong.
    """

    nodes: Mapping[str, Node]
    settled: bool
    is_up: bool
    doubts: tuple[str, ...]


class Rollout:
    """The turns of one pair's nodes in one `up`. Without a `watch` there are none: all go at once."""

    def __init__(self, names: tuple[str, str], watch: Watch | None, operation: Operation) -> None:
        self.names = names
        self._watch = None if pulumi.runtime.is_dry_run() else watch
        self._operation = operation
        self._wanted: dict[str, Wanted] = {}
        self._made: dict[str, aws.ec2.Instance] = {}
        self._begin: asyncio.Task[Begin] | None = None
        self._left: set[str] = set()
        if self._watch is None:
            operation.keep()

    def turn(
        self, name: str, wanted: Wanted, ready: list[pulumi.Resource]
    ) -> pulumi.Input[list[pulumi.Resource]]:
        """`ready`, for a node to depend on, as soon as its turn has come."""
        self._wanted[name] = wanted
        if self._watch is None:
            return ready
        return pulumi.Output.from_input(self._turn(self._watch, name, ready))

    def made(self, name: str, node: aws.ec2.Instance) -> None:
        """Tell which resource is that node's."""
        self._made[name] = node

    @property
    def transforms(self) -> list[pulumi.ResourceTransform]:
        """For the nodes: one whose turn cannot come in this run stays as it is."""
        return [] if self._watch is None else [self._as_it_is]

    def _as_it_is(self, args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if args.name not in self._left:
            return None
        args.opts.ignore_changes = ["*"]
        args.opts.replacement_trigger = None
        return pulumi.ResourceTransformResult(props=args.props, opts=args.opts)

    async def _turn(self, watch: Watch, name: str, ready: list[pulumi.Resource]) -> list[pulumi.Resource]:
        begin = await self._at_begin(watch)
        if begin.doubts:
            self._leave(name, begin)
            return ready
        keyed = await self._another_key(begin.nodes)
        first, second = self.names if keyed else order(begin.nodes, self.names)
        if name == second and (node := begin.nodes.get(name)) is not None:
            await self._second_turn(watch, node, first, begin)
        return ready

    def _leave(self, name: str, begin: Begin) -> None:
        """Leave the node as it is, for nobody knows that this is an `up`, and nobody cared for its turn."""
        self._left.add(name)
        if name in begin.nodes:
            pulumi.log.warn(
                f"an up with --target leaves {name} ({begin.nodes[name].instance_id}) as it is, for it does not "
                f"care for the nodes' order; to change it, run `pulumi up` without --target, or {OFF}"
            )

    async def _another_key(self, before: Mapping[str, Node]) -> bool:
        """Whether a node that runs will not be heard by those to come."""
        for node in (before[name] for name in self.names if name in before):
            made_from = await self._wanted[node.name].made_from.future() or ""
            if node.state == "running" and _cluster(node.made_from) not in ("", _cluster(made_from)):
                return True
        return False

    def _at_begin(self, watch: Watch) -> asyncio.Task[Begin]:
        """How things were before this run; looked at once."""
        if self._begin is None:
            self._begin = asyncio.ensure_future(self._look(watch))
        return self._begin

    async def _look(self, watch: Watch) -> Begin:
        nodes, doubts = await watch.begin()
        settled = not doubts and await self._is_settled(watch, nodes)
        is_up = await self._operation.is_up(pending=not settled)
        if is_up and doubts:
            raise PairError(
                f"the nodes of {watch.pair} are not known for certain: {'; '.join(doubts)}; then run "
                "`pulumi up --refresh`"
            )
        return Begin(nodes, settled, is_up, tuple(doubts))

    async def _is_settled(self, watch: Watch, nodes: Mapping[str, Node]) -> bool:
        """Whether both nodes are what they are to be, and the pair works as far as an `up` would look after it."""
        if not any(node.holds for node in nodes.values()):
            return False
        for name in self.names:
            node = nodes.get(name)
            if node is None or node.state != "running" or not await self._wanted[name].is_met_by(node):
                return False
            if not await self._is_proven(watch, node) and not await watch.has_joined(node):
                return False
        return True

    async def _second_turn(self, watch: Watch, node: Node, first: str, begin: Begin) -> None:
        """Return when `node` may go: the first's turn is over, it works, and it has the VIP if `node` had it."""
        before = begin.nodes.get(first)
        first_id = await self._made[first].id.future()
        stays = await self._wanted[node.name].is_met_by(node)
        renewed = before is not None and first_id is not None and before.instance_id != first_id
        touched = before is None or renewed or (before.instance_type != self._wanted[first].instance_type)
        if node.state != "running" or (stays and not touched):
            return
        if not (begin.is_up or renewed):
            self._leave(node.name, begin)
            return
        if first_id is None:
            raise PairError(
                f"{node.name} ({node.instance_id}) is to be changed, and there is no {first} to take over; run "
                f"`pulumi up` without --target, or {OFF}"
            )
        pulumi.log.info(f"waiting until {first} ({first_id}) is a working member", self._made[first])
        await watch.works(first, first_id, again=not touched, resource=self._made[first])
        now = await watch.look()
        successor, node = now.get(first), now.get(node.name, node)
        # One that is not what it is to be is left out of this `up` by --target, and then so may `node` be.
        if successor and node.holds and not stays and await self._wanted[first].is_met_by(successor):
            await self._hand_over(watch, node, successor)

    async def _hand_over(self, watch: Watch, node: Node, successor: Node) -> None:
        """Have `successor` take the VIP from `node`, which has it and goes on having it if that does not work."""
        # Beside the successor, for the node's own line is not there before its turn.
        resource = self._made[successor.name]
        # A node that lost its tag is of the successor's cluster: with another key it would not have come to this.
        if _cluster(node.made_from) in ("", _cluster(successor.made_from)):
            pulumi.log.info(
                f"{node.name} ({node.instance_id}) reboots, for {successor.name} to take the VIP", resource
            )
            await watch.reboot(node.name, node.instance_id)
        began = datetime.now(timezone.utc)
        while datetime.now(timezone.utc) - began < MOVE_LIMIT:
            try:
                holders = [seen.name for seen in (await watch.nodes()).values() if seen.holds]
            except (BotoCoreError, ClientError):
                holders = []
            if successor.name in holders:
                pulumi.log.info(
                    f"{successor.name} ({successor.instance_id}) has the VIP {watch.vip}", resource
                )
                return
            await asyncio.sleep(POLL_S / 4)
        raise PairError(
            f"{successor.name} ({successor.instance_id}) did not take the VIP {watch.vip} from {node.name} "
            f"({node.instance_id}) within {MOVE_LIMIT.total_seconds() / 60:g} minutes; "
            f"{node.name} was not replaced, and has the VIP where {successor.name} does not get it; look at the "
            f"journal of {successor.name}, then run `pulumi up` again"
        )

    async def works(self) -> bool:
        """True when the pair works: what is new in it is a member of the cluster, and a node has the VIP. False
        where it did not come to be asked for. Only an `up` waits.

        A node that has run for longer than the limit is not waited for: it is not this `up`'s doing if it is
        down. Raises PairError where a new one does not come to work.
        """
        watch = self._watch
        if watch is None:
            return False
        begin = await self._at_begin(watch)
        ids = {name: await resource.id.future() for name, resource in self._made.items()}
        if begin.settled and all(node.instance_id == ids.get(name) for name, node in begin.nodes.items()):
            return True
        young = []
        for name, instance_id in ids.items():
            node = begin.nodes.get(name)
            old = node is not None and node.instance_id == instance_id
            if instance_id and not (old and node is not None and await self._is_proven(watch, node)):
                young.append((name, instance_id, old))
        if not begin.is_up:
            now = {node.instance_id for node in (await watch.look()).values()}
            young = [(name, key, old) for name, key, old in young if not old and key in now]
        if not young and (not begin.is_up or any(node.holds for node in begin.nodes.values())):
            return True
        for name, instance_id, old in young:
            await watch.works(name, instance_id, again=old, resource=self._made[name])
        return await self._held(watch, bool(young))

    async def _is_proven(self, watch: Watch, node: Node) -> bool:
        """Whether a node that this `up` has found is none that it has to wait for."""
        if node.state == SHUTTING_DOWN:
            return False
        serves = node.holds and node.state == "running"
        return node.age > watch.limit or (serves and await self._wanted[node.name].is_met_by(node))

    async def _held(self, watch: Watch, expected: bool) -> bool:
        began = datetime.now(timezone.utc)
        while True:
            now = (await watch.look()).values()
            if any(node.holds for node in now):
                return True
            if not expected:
                pulumi.log.warn(f"no node has the VIP {watch.vip}, and none is new; see the nodes' consoles")
                return False
            if datetime.now(timezone.utc) - began > watch.limit:
                ends = [f"{node.name}: {(await watch.console(node)).last_words}" for node in now]
                raise PairError(
                    f"no node has the VIP {watch.vip}, though both are members of the cluster; their consoles' "
                    f"last words: {'; '.join(ends)}; look at the nodes' journals"
                )
            await asyncio.sleep(POLL_S)
