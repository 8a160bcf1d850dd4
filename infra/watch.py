"""The nodes as EC2 shows them to the deployer: which exist, which has the VIP, what a node says of itself.

A node has no permission to tell anybody that it works. But its bootstrap writes to the console, which the deployer
may read. EC2 also knows which interface has the VIP, and only a working node takes it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pulumi
from botocore.exceptions import BotoCoreError, ClientError

from .tags import MADE_FROM, NAME, PAIR

POLL_S = 2.0
# For us as for pulumi-aws, an instance is gone when it is terminated. Until then it keeps its addresses for
# minutes: hashicorp/terraform-provider-aws internal/service/ec2/find.go, findInstanceByID.
TERMINATED, SHUTTING_DOWN = "terminated", "shutting-down"
# The errors that another try does not mend:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
FINAL = ("AccessDenied", "AuthFailure", "ExpiredToken", "InvalidClientTokenId", "UnauthorizedOperation")
# How EC2 refuses the latest output, which it has only for instances of the Nitro system. For others it has what it
# last posted.
NOT_NITRO = ("UnsupportedOperation", "InvalidParameterCombination", "InvalidParameterValue")
SAID = re.compile(r"ec2vip: [^\x00-\x1f\x7f]*")
DONE, FAILED = "ec2vip: bootstrap done", "ec2vip: bootstrap failed"
LAST_WORDS = 5
OFF = "set ec2vip:readyTimeoutMinutes to 0, which changes both nodes at once and watches neither"


class PairError(pulumi.RunError):
    """The pair's state does not let the `up` go on. Pulumi prints the message, with no stack trace."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node at one moment. `made_from` is the tag of that name, `launched` the time of the last start."""

    name: str
    instance_id: str
    state: str
    instance_type: str
    launched: datetime
    made_from: str
    holds: bool

    @property
    def age(self) -> timedelta:
        """The time since its last start."""
        return _now() - self.launched


@dataclass(frozen=True)
class Said:
    """A node's console: the lines of its bootstrap, and the last lines of any kind."""

    lines: tuple[str, ...] = ()
    end: tuple[str, ...] = ()

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else ""

    @property
    def last_words(self) -> str:
        return " | ".join(self.end[-LAST_WORDS:]) or "nothing"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What tells whether an instance is one of the pair's, or in the way of one.

    `profile` is the name of the pair's instance profile, which no other stack's nodes have. `addresses` has the
    nodes' own addresses, in the subnet `subnet_id`, by name. `known` returns the ids that Pulumi's state has, by
    name.
    """

    profile: pulumi.Output[str]
    addresses: Mapping[str, str]
    subnet_id: pulumi.Input[str]
    known: Callable[[], Awaitable[Mapping[str, str]]]


class Watch:
    """Looks at the nodes of one pair. `make_client` makes a boto3 client for EC2 when it is first needed.

    `limit` is how long a node may take from its start until it is a working member.
    """

    def __init__(
        self,
        pair: str,
        vip: str,
        expected: Expected,
        limit: timedelta,
        make_client: Callable[[], Any],
    ) -> None:
        self.pair, self.vip, self.limit = pair, vip, limit
        self._expected, self._make_client = expected, make_client
        self._client: Any = None
        self._making = asyncio.Lock()
        self._known: dict[str, str] = {}  # name by instance id
        self._seen: list[Node] = []  # at the last look, also several of one name

    async def begin(self) -> tuple[dict[str, Node], list[str]]:
        """The nodes before this run changes any, and the reasons, if any, to doubt that picture.

        A node counts if it has the pair's tag, or if Pulumi knows it, so a removed tag does not hide it. Raises
        PairError as `look` does.
        """
        # Without a profile this is an `up` of other targets only, which makes nothing of the pair.
        known = await self._expected.known() if await self._expected.profile.future() else {}
        self._known = {instance_id: name for name, instance_id in known.items()}
        found = await self.look()
        return found, [*self._of_one_name(), *await self._in_the_way()]

    def _of_one_name(self) -> Iterator[str]:
        for name in self._expected.addresses:
            ids = [n.instance_id for n in self._seen if n.name == name and n.state != SHUTTING_DOWN]
            if len(ids) > 1:
                yield f"{' and '.join(ids)} are both called {name}; terminate the one that does not belong here"

    async def _in_the_way(self) -> list[str]:
        """Doubts about instances that have a node's address but do not count as nodes."""
        subnet_id = await pulumi.Output.from_input(self._expected.subnet_id).future()
        if not subnet_id:
            return []
        addresses = self._expected.addresses
        seen = {node.instance_id for node in self._seen}
        return [
            f"{instance['InstanceId']} has {instance['PrivateIpAddress']}, a node's address, but is not tagged "
            f"as a node; if it is a node, restore its tags ({NAME}, and {PAIR} with {self.pair}); else "
            "terminate it"
            for instance in await self._asked(
                {"subnet-id": [str(subnet_id)], "private-ip-address": [*addresses.values()]}
            )
            if instance["State"]["Name"] != TERMINATED and instance["InstanceId"] not in seen
        ]

    async def call(self, operation: str, **request: Any) -> Any:
        """The answer to one API call, made in another thread. Raises PairError if it is not allowed."""
        try:
            async with self._making:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._make_client)
            return await asyncio.to_thread(getattr(self._client, operation), **request)
        except ClientError as error:
            if error.response["Error"]["Code"] not in FINAL:
                raise
            raise PairError(
                f"the nodes of {self.pair} cannot be watched: {error}; attach the policies that "
                f"`python -m infra.deployer` prints to the deploying user, or {OFF}"
            ) from error

    async def look(self) -> dict[str, Node]:
        """The nodes by name, terminated ones left out. Raises PairError if we cannot ask EC2."""
        try:
            return await self.nodes()
        except (BotoCoreError, ClientError) as error:
            raise PairError(
                f"the nodes of {self.pair} cannot be watched: {error}; give Pulumi's program a Region and "
                f"credentials by the stack's aws: settings or the environment, or {OFF}"
            ) from error

    async def nodes(self) -> dict[str, Node]:
        """The same, but raises botocore's errors if another try may help, and PairError if it cannot."""
        profile = await self._expected.profile.future()
        tagged = await self._asked({f"tag:{PAIR}": [self.pair]})
        listed = {instance["InstanceId"]: instance for instance in tagged}
        if hidden := [instance_id for instance_id in self._known if instance_id not in listed]:
            listed |= {i["InstanceId"]: i for i in await self._asked({"instance-id": hidden})}
        own = [
            self._node(instance)
            for key, instance in listed.items()
            if instance["State"]["Name"] != TERMINATED
            and (key in self._known or _profile_of(instance).endswith(f"/{profile}"))
        ]
        self._seen = [node for node in own if node.name in self._expected.addresses]
        # The last of one name counts: rather a successor than the one that shuts down.
        ordered = sorted(
            self._seen, key=lambda node: (node.state != SHUTTING_DOWN, node.instance_id in self._known)
        )
        return {node.name: node for node in ordered}

    async def _asked(self, filters: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
        """The instances that pass the filters, terminated ones included as long as EC2 shows them."""
        wanted = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        found: list[dict[str, Any]] = []
        request: dict[str, str] = {}
        while True:
            answer = await self.call("describe_instances", Filters=wanted, **request)
            found += [i for reservation in answer["Reservations"] for i in reservation["Instances"]]
            if not answer.get("NextToken"):
                return found
            request = {"NextToken": answer["NextToken"]}

    def _node(self, instance: dict[str, Any]) -> Node:
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        addresses = [
            address["PrivateIpAddress"]
            for interface in instance.get("NetworkInterfaces", [])
            for address in interface.get("PrivateIpAddresses", [])
        ]
        return Node(
            name=self._known.get(instance["InstanceId"]) or tags.get(NAME, ""),
            instance_id=instance["InstanceId"],
            state=instance["State"]["Name"],
            instance_type=instance["InstanceType"],
            launched=instance["LaunchTime"],
            made_from=tags.get(MADE_FROM, ""),
            holds=self.vip in addresses,
        )

    async def console(self, node: Node) -> Said:
        """What the node has said since its last start."""
        try:
            answer = await self.call("get_console_output", InstanceId=node.instance_id, Latest=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_NITRO:
                raise
            answer = await self.call("get_console_output", InstanceId=node.instance_id)
        written = answer.get("Timestamp")
        if written is not None and written < node.launched:
            return Said()  # from before a stop
        text = answer.get("Output") or ""  # boto3 has decoded it
        end = [line for line in re.split(r"[\x00-\x1f\x7f]+", text[-4096:]) if line.strip()]
        return Said(tuple(SAID.findall(text)), tuple(end))

    async def has_joined(self, node: Node) -> bool:
        """Whether the node's console says that it is a member; False if it cannot be read just now."""
        try:
            return (await self.console(node)).last.startswith(DONE)
        except (BotoCoreError, ClientError):
            return False

    async def reboot(self, name: str, instance_id: str) -> None:
        """Have the node shut down cleanly and boot again. Raises PairError if EC2 refuses."""
        try:
            await self.call("reboot_instances", InstanceIds=[instance_id])
        except (BotoCoreError, ClientError) as error:
            raise PairError(
                f"{name} ({instance_id}) cannot be rebooted: {error}; run `pulumi up` again"
            ) from error

    async def works(self, name: str, instance_id: str, *, again: bool, resource: pulumi.Resource) -> None:
        """Return when that instance is a working member of the cluster, at once if it has the VIP.

        `again` says that it was there before this `up`: if its bootstrap failed, we then reboot it for another
        try. Progress is shown beside `resource`. Raises PairError if the node says that it failed, is not
        running, is gone, or has not joined the cluster within the limit; the console's words are in the message.
        """
        who = f"{name} ({instance_id})"
        since = _now()  # until EC2 shows its launch, which may take a moment
        seen = False
        outlived: tuple[str, ...] = ()  # what the console said before another try
        said, told, trouble = Said(), "", ""
        while True:
            try:
                node = (await self.nodes()).get(name)
                if node is not None and node.instance_id == instance_id:
                    _check_runs(who, node)
                    since, seen = (since if seen else node.launched), True
                    if node.holds and node.state == "running":
                        return
                    said = await self.console(node)
                elif seen or await self._is_over(instance_id):
                    raise PairError(f"{who} is gone; run `pulumi up --refresh` for a new one")
            except (BotoCoreError, ClientError) as error:
                trouble = f"; EC2's last answer: {error}"
            if said.lines != outlived:
                if said.last.startswith(DONE):
                    return
                if said.last != told:
                    pulumi.log.info(f"{name}: {said.last}", resource)
                    told = said.last
                if said.last.startswith(FAILED):
                    if not again:
                        raise PairError(
                            f"{who} has not joined the cluster; its console says: {said.last}; fix the cause "
                            "and run `pulumi up` again, which lets it try again"
                        )
                    pulumi.log.info(f"rebooting {name}, so that its bootstrap tries again", resource)
                    again, outlived, since = False, said.lines, _now()
                    await self.reboot(name, instance_id)
            if _now() - since > self.limit:
                raise PairError(
                    f"{who} has not reported that it joined the cluster {self.limit.total_seconds() / 60:g} "
                    f"minutes after its start (readyTimeoutMinutes){trouble}; its console's last words: "
                    f"{said.last_words}; fix the cause, then reboot it (its console says when it has joined) "
                    "or run `pulumi up` again"
                )
            await asyncio.sleep(POLL_S)

    async def _is_over(self, instance_id: str) -> bool:
        """Whether the instance is gone. If EC2 does not show it, it may be new, unless the state has it."""
        found = await self._asked({"instance-id": [instance_id]})
        return found[0]["State"]["Name"] == TERMINATED if found else instance_id in self._known


def _profile_of(instance: Mapping[str, Any]) -> str:
    return str(instance.get("IamInstanceProfile", {}).get("Arn", ""))


def _check_runs(who: str, node: Node) -> None:
    if node.state == SHUTTING_DOWN:
        raise PairError(
            f"{who} is {SHUTTING_DOWN}; wait until it is {TERMINATED}, then run `pulumi up --refresh`"
        )
    if node.state in ("stopping", "stopped"):
        raise PairError(
            f"{who} is {node.state}, so it is not in the cluster; start it, or terminate it and run `pulumi up "
            "--refresh`"
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)
