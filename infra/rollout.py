"""One node after the other: the order in which an `up` lets Pulumi touch two nodes that already serve.

By itself, Pulumi would change both at once, because in the stack neither depends on the other. Neither may: at the
first `up` they start side by side. So we register each node with Pulumi only when its turn has come, and that is
where an `up` waits. The node that serves less goes first. The other one's turn comes when the first, changed by
then, is a working member of the cluster. If the other has the VIP and will be replaced or stopped, we reboot it
before its turn. Its shutdown moves the VIP as a planned move does. If the new node cannot take the VIP, the other
takes it back by itself. So the old holder ends only after another node has the VIP.

A new node with another key does not hear the old one. Then node a goes first, because it brings the cluster's
settings along. It makes a cluster of its own and takes the VIP, which EC2 gives to one node at a time.

We keep no state: each `up` asks EC2 how things are, and so resumes what another left half-way. Pulumi also runs
the program for a refresh and a destroy. The program then changes no node, so it waits for none.
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

# In a node's tag, separates the digest from the mark of its cluster, which depends on the key.
CLUSTER_MARK = "."
# If a guest does not shut down for a reboot within four minutes, EC2 cuts its power, and its peer takes the VIP:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html
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
    """What a node must be. Another `made_from` replaces it; another `instance_type` stops and starts it."""

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
    """How things were before this run changed anything.

    `settled` says that there is nothing to look after. `is_up` says that this is certainly an `up` of the whole
    pair. `doubts` are the reasons why the picture of the nodes may be wrong.
    """

    nodes: Mapping[str, Node]
    settled: bool
    is_up: bool
    doubts: tuple[str, ...]


class Rollout:
    """The turns of one pair's nodes in one `up`. Without a `watch` there are none: both go at once."""

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
        """The resources `ready`, for the node to depend on, as soon as its turn has come."""
        self._wanted[name] = wanted
        if self._watch is None:
            return ready
        return pulumi.Output.from_input(self._turn(self._watch, name, ready))

    def made(self, name: str, node: aws.ec2.Instance) -> None:
        """Note which resource is that node's."""
        self._made[name] = node

    @property
    def transforms(self) -> list[pulumi.ResourceTransform]:
        """The nodes' transforms, which leave a node as it is if its turn cannot come in this run."""
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
        """Leave the node as it is, because this may be no `up`, and so nothing has prepared its turn."""
        self._left.add(name)
        if name in begin.nodes:
            pulumi.log.warn(
                f"an up with --target leaves {name} ({begin.nodes[name].instance_id}) unchanged, because it "
                f"ignores the nodes' order; to change it, run `pulumi up` without --target, or {OFF}"
            )

    async def _another_key(self, before: Mapping[str, Node]) -> bool:
        """Whether a running node has another key, so that the nodes to come will not hear it."""
        for node in (before[name] for name in self.names if name in before):
            made_from = await self._wanted[node.name].made_from.future() or ""
            if node.state == "running" and _cluster(node.made_from) not in ("", _cluster(made_from)):
                return True
        return False

    def _at_begin(self, watch: Watch) -> asyncio.Task[Begin]:
        """How things were before this run. We look only once."""
        if self._begin is None:
            self._begin = asyncio.ensure_future(self._look(watch))
        return self._begin

    async def _look(self, watch: Watch) -> Begin:
        nodes, doubts = await watch.begin()
        settled = not doubts and await self._is_settled(watch, nodes)
        is_up = await self._operation.is_up(pending=not settled)
        if is_up and doubts:
            raise PairError(
                f"cannot tell for certain which nodes {watch.pair} has: {'; '.join(doubts)}; then run `pulumi "
                "up --refresh`"
            )
        return Begin(nodes, settled, is_up, tuple(doubts))

    async def _is_settled(self, watch: Watch, nodes: Mapping[str, Node]) -> bool:
        """Whether both nodes are as wanted, and the pair works as far as an `up` would look after it."""
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
        """Return when `node` may go: the first is done and works, and it has the VIP if `node` had it."""
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
                f"{node.name} ({node.instance_id}) cannot be changed, because there is no {first} to take "
                f"over; run `pulumi up` without --target, or {OFF}"
            )
        pulumi.log.info(f"waiting until {first} ({first_id}) has joined the cluster", self._made[first])
        await watch.works(first, first_id, again=not touched, resource=self._made[first])
        now = await watch.look()
        successor, node = now.get(first), now.get(node.name, node)
        # If the first is not as wanted, --target leaves it out of this `up`, and may leave out `node` too.
        if successor and node.holds and not stays and await self._wanted[first].is_met_by(successor):
            await self._hand_over(watch, node, successor)

    async def _hand_over(self, watch: Watch, node: Node, successor: Node) -> None:
        """Have `successor` take the VIP from `node`, which keeps it if that fails."""
        # We show progress beside the successor, because the node's own line appears only at its turn.
        resource = self._made[successor.name]
        # A node that lost its tag is of the successor's cluster: with another key we would not have come this far.
        if _cluster(node.made_from) in ("", _cluster(successor.made_from)):
            pulumi.log.info(
                f"rebooting {node.name} ({node.instance_id}), so that {successor.name} takes the VIP",
                resource,
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
            f"({node.instance_id}) within {MOVE_LIMIT.total_seconds() / 60:g} minutes; {node.name} was not "
            f"replaced, and serves the VIP unless {successor.name} takes it; look at the journal of "
            f"{successor.name}, then run `pulumi up` again"
        )

    async def works(self) -> bool:
        """True when the pair works: its new nodes are members of the cluster, and a node has the VIP.

        False without a watch, and if no node has the VIP and none is new. Only an `up` waits, and not for a node
        that has run for longer than the limit: if that is down, this `up` is not the cause. Raises PairError if a
        new node does not come to work.
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
        """Whether we can skip waiting for this node, which was there before this `up`."""
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
