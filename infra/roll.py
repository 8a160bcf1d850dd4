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
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError

from .watch import OFF, POLL_S, Node, PairError, Watch

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


class Roll:
    """The turns of one pair's nodes in one `up`. Without a `watch` there are none: all go at once."""

    def __init__(self, names: tuple[str, str], watch: Watch | None) -> None:
        self.names = names
        self._watch = None if pulumi.runtime.is_dry_run() else watch
        self._wanted: dict[str, Wanted] = {}
        self._made: dict[str, aws.ec2.Instance] = {}
        self._begin: asyncio.Task[dict[str, Node]] | None = None

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

    async def _turn(self, watch: Watch, name: str, ready: list[pulumi.Resource]) -> list[pulumi.Resource]:
        before = await self._at_begin(watch)
        keyed = await self._another_key(before)
        first, second = self.names if keyed else order(before, self.names)
        if name == second and (node := before.get(name)) is not None:
            await self._second_turn(watch, node, first, before.get(first))
        return ready

    async def _another_key(self, before: Mapping[str, Node]) -> bool:
        """Whether a node that runs will not be heard by those to come."""
        for node in (before[name] for name in self.names if name in before):
            made_from = await self._wanted[node.name].made_from.future() or ""
            if node.state == "running" and _cluster(node.made_from) not in ("", _cluster(made_from)):
                return True
        return False

    def _at_begin(self, watch: Watch) -> asyncio.Task[dict[str, Node]]:
        """The nodes as they were before this `up` touched any; looked at once."""
        if self._begin is None:
            self._begin = asyncio.ensure_future(watch.look())
        return self._begin

    async def _second_turn(self, watch: Watch, node: Node, first: str, before: Node | None) -> None:
        """Return when `node` may go: the first's turn is over, it works, and it has the VIP if `node` had it."""
        first_id = await self._made[first].id.future()
        stays = await self._wanted[node.name].is_met_by(node)
        touched = (
            before is None
            or before.instance_id != first_id
            or (before.instance_type != self._wanted[first].instance_type)
        )
        if node.state != "running" or (stays and not touched):
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
        if _cluster(node.made_from) == _cluster(successor.made_from):
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
        where it did not come to be asked for.

        A node that has run for longer than the limit is not waited for: it is not this `up`'s doing if it is
        down. Raises PairError where a new one does not come to work.
        """
        watch = self._watch
        if watch is None:
            return False
        before = await self._at_begin(watch)
        young = []
        for name, resource in self._made.items():
            instance_id = await resource.id.future()
            node = before.get(name)
            old = node is not None and node.instance_id == instance_id
            if instance_id and not (old and node is not None and await self._is_proven(watch, node)):
                young.append((name, instance_id, old, resource))
        if not young and any(node.holds for node in before.values()):
            return True
        for name, instance_id, old, resource in young:
            await watch.works(name, instance_id, again=old, resource=resource)
        return await self._held(watch, bool(young))

    async def _is_proven(self, watch: Watch, node: Node) -> bool:
        """Whether a node that this `up` has found is none that it has to wait for."""
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
