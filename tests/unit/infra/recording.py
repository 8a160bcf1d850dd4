"""Pulumi's engine in miniature: it says yes to everything and keeps what it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from infra.clients import ClientRule
from infra.pair import FloatingIpPair, FloatingIpPairArgs
from infra.sites import NewVpc

ACCOUNT, REGION = "123456789012", "us-east-1"
IMAGE = "ami-0123456789abcdef0"
ANSWERS: dict[str, dict[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
    "aws:index/getRegion:getRegion": {"region": REGION},
    "aws:ec2/getInstanceType:getInstanceType": {
        "supportedArchitectures": ["x86_64"],
        "maximumIpv4AddressesPerInterface": 2,
    },
    "aws:ssm/getParameter:getParameter": {"insecureValue": IMAGE},
}


@dataclass(frozen=True)
class Resource:
    """One registered resource: what the program gave, and under whom."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    ignored: tuple[str, ...]
    delete_before_replace: bool
    depends_on: tuple[str, ...]
    has_trigger: bool


@dataclass
class Recorder(mocks.Mocks):
    """Answers look-ups from a table and makes up the outputs that the program reads."""

    answers: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(ANSWERS))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """The inputs come back, with an id and an ARN; a stash gives what it was given."""
        outputs = dict(args.inputs)
        if args.typ == "pulumi:index:Stash":
            outputs["output"] = outputs["input"]
        if args.typ == "aws:ec2/subnet:Subnet":
            outputs["arn"] = f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{args.name}-id"
        if args.typ == "aws:ssm/parameter:Parameter":
            outputs["arn"] = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{args.name}"
        outputs.setdefault("arn", f"arn:aws:made-up:::{args.name}")
        outputs.setdefault("name", args.name)
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """The table's answer; a look-up that is not in it is an error of the test."""
        return self.answers[args.token], []


class RecordingMonitor(mocks.MockMonitor):
    """Keeps every registration, options included, by the resource's name."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.made: dict[str, Resource] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Keep it, and register it."""
        if request.type != "pulumi:pulumi:Stack":
            assert request.name not in self.made, f"two resources are called {request.name}"
            self.made[request.name] = Resource(
                type=request.type,
                name=request.name,
                inputs=rpc.deserialize_properties(request.object),
                parent=request.parent,
                ignored=tuple(request.ignoreChanges),
                delete_before_replace=request.deleteBeforeReplace,
                depends_on=tuple(urn.rsplit("::", 1)[1] for urn in request.dependencies),
                has_trigger=request.HasField("replacement_trigger"),
            )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def pair_args(**changes: Any) -> FloatingIpPairArgs:
    """The arguments of an ordinary pair, with changes."""
    ordinary: dict[str, Any] = {
        "vip": IPv4Address("10.0.250.185"),
        "node_ips": (IPv4Address("10.0.250.186"), IPv4Address("10.0.250.187")),
        "site": NewVpc(vpc_cidr=IPv4Network("10.0.0.0/16"), subnet_cidr=IPv4Network("10.0.250.0/24")),
        "clients": (ClientRule(protocol="tcp", from_port=443, to_port=443, cidr=IPv4Network("10.0.0.0/16")),),
        "platform": "debian12",
        "ready_timeout_minutes": 0,
    }
    return FloatingIpPairArgs(**ordinary | changes)


def record(
    program: Callable[[], Any], answers: dict[str, dict[str, Any]] | None = None
) -> tuple[dict[str, Resource], Any]:
    """Run a program; the resources that it made by name, and what it returned, outputs resolved."""
    monitor = RecordingMonitor(recorder := Recorder())
    recorder.answers.update(answers or {})
    # pulumi.runtime.test wants a current loop, and an asyncio.run in the same process leaves none.
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorder, project="ec2vip", stack="test", monitor=monitor)
    returned: list[Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[Any]:
        return pulumi.Output.from_input(program()).apply(returned.append)

    run()
    return monitor.made, returned[0]


def record_pair(name: str = "ec2vip", **changes: Any) -> tuple[dict[str, Resource], dict[str, Any]]:
    """The resources of a pair, and its outputs."""
    return record(lambda: FloatingIpPair(name, pair_args(**changes)).outputs())


def of_type(made: dict[str, Resource], kind: str) -> Iterator[Resource]:
    """The resources of a type, given by the end of its token: `:Instance`."""
    return (resource for resource in made.values() if resource.type.endswith(kind))
