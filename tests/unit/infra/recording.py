"""A miniature of Pulumi's engine: it accepts everything and records the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from unittest import mock

import pulumi
from pulumi.runtime import mocks, rpc

from cloudinit.spec import NodeSpec
from cloudinit.userdata import render
from infra import nodes
from infra.clients import ClientRule
from infra.pair import FloatingIpPair, FloatingIpPairArgs
from infra.sites import ExistingSubnet, NewVpc

ACCOUNT, REGION = "123456789012", "us-east-1"
IMAGE = "ami-0123456789abcdef0"
VPC, SUBNET = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
SERVICE = "aws:ec2/getVpcEndpointService:getVpcEndpointService"
VIP = IPv4Address("10.0.250.185")
KEY = bytes(range(256))
EVERYTHING: dict[str, Any] = {"endpoints": True, "ssm": True, "encryption_key": KEY}
EXISTING = ExistingSubnet(
    vpc_id=VPC,
    subnet_id=SUBNET,
    subnet_arn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{SUBNET}",
    subnet_cidr=IPv4Network("10.0.250.0/24"),
)
Answer = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]
"""The answer to a look-up, or a function of its arguments that returns it or raises LookupError."""


def nothing(what: str) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    """The answer to a look-up that finds nothing, in the provider's words."""

    def look_up(_: dict[str, Any]) -> Mapping[str, Any]:
        raise LookupError(f"no matching {what} found")

    return look_up


ANSWERS: dict[str, Answer] = {
    "aws:index/getRegion:getRegion": {"region": REGION},
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
    "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": ["us-east-1a", "us-east-1b"]},
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {"locations": ["us-east-1b", "us-east-1a"]},
    SERVICE: lambda args: {"serviceName": args["serviceName"]},
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": nothing("EC2 VPC Endpoint"),
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": {"ids": []},
    "aws:ec2/getInternetGateway:getInternetGateway": {"internetGatewayId": "igw-0123456789abcdef0"},
    "aws:ec2/getSubnet:getSubnet": {
        "id": SUBNET,
        "arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{SUBNET}",
        "vpcId": VPC,
        "cidrBlock": "10.0.250.0/24",
        "mapPublicIpOnLaunch": True,
        "ownerId": ACCOUNT,
        "availabilityZone": "us-east-1a",
    },
    "aws:ec2/getVpc:getVpc": {
        "id": VPC,
        "cidrBlockAssociations": [{"cidrBlock": "10.0.0.0/16"}],
        "enableDnsSupport": True,
        "enableDnsHostnames": True,
        "ownerId": ACCOUNT,
    },
    "aws:index/getPartition:getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
    "aws:ec2/getInstanceType:getInstanceType": {
        "supportedArchitectures": ["x86_64"],
        "maximumIpv4AddressesPerInterface": 2,
    },
    "aws:ssm/getParameter:getParameter": {"insecureValue": IMAGE},
}


@dataclass(frozen=True)
class Resource:
    """One registered resource: its inputs and options, and its parent."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    ignored: tuple[str, ...]
    delete_before_replace: bool
    replacing: tuple[str, ...]
    depends_on: tuple[str, ...]
    has_trigger: bool
    retain_on_delete: bool


@dataclass
class Recorder(mocks.Mocks):
    """Answers look-ups from a table and makes up the outputs that the program reads."""

    answers: dict[str, Answer] = field(default_factory=lambda: dict(ANSWERS))
    calls: list[mocks.MockCallArgs] = field(default_factory=list)
    kept: Mapping[str, Any] = field(default_factory=dict)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """The inputs with an id and an ARN; a stash outputs its kept value, or else its input."""
        outputs = dict(args.inputs)
        if args.typ == "pulumi:index:Stash":
            outputs["output"] = self.kept.get(args.name, outputs["input"])
        if args.typ == "aws:ec2/subnet:Subnet":
            outputs["arn"] = f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{args.name}-id"
        if args.typ == "aws:ssm/parameter:Parameter":
            name = outputs.get("name", args.name)
            outputs["arn"] = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name.lstrip('/')}"
        if args.typ == "aws:iam/role:Role":
            outputs["arn"] = f"arn:aws:iam::{ACCOUNT}:role{outputs['path']}{args.name}"
        if args.typ == "aws:ec2/instance:Instance":
            outputs["primaryNetworkInterfaceId"] = f"{args.name}-eni"
        outputs.setdefault("arn", f"arn:aws:made-up:::{args.name}")
        outputs.setdefault("name", args.name)
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """The table's answer. Raises KeyError if the table lacks the look-up: the test is wrong."""
        self.calls.append(args)
        answer = self.answers[args.token]
        try:
            return dict(answer(args.args) if callable(answer) else answer), []
        except LookupError as e:
            return {}, [("", str(e))]


class RecordingMonitor(mocks.MockMonitor):
    """Records every registration with its options, by the resource's name."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.made: dict[str, Resource] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Record the resource, and register it."""
        if request.type != "pulumi:pulumi:Stack":
            assert request.name not in self.made, f"two resources are called {request.name}"
            self.made[request.name] = Resource(
                type=request.type,
                name=request.name,
                inputs=rpc.deserialize_properties(request.object),
                parent=request.parent,
                ignored=tuple(request.ignoreChanges),
                delete_before_replace=request.deleteBeforeReplace,
                replacing=tuple(request.replaceOnChanges),
                depends_on=tuple(urn.rsplit("::", 1)[1] for urn in request.dependencies),
                has_trigger=request.HasField("replacement_trigger"),
                retain_on_delete=request.retainOnDelete,
            )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def pair_args(**changes: Any) -> FloatingIpPairArgs:
    """The arguments of an ordinary pair, with changes."""
    ordinary: dict[str, Any] = {
        "vips": (VIP,),
        "node_ips": (IPv4Address("10.0.250.186"), IPv4Address("10.0.250.187")),
        "site": NewVpc(vpc_cidr=IPv4Network("10.0.0.0/16"), subnet_cidr=IPv4Network("10.0.250.0/24")),
        "clients": (ClientRule(protocol="tcp", from_port=443, to_port=443, cidr=IPv4Network("10.0.0.0/16")),),
        "platform": "debian12",
        "ready_timeout_minutes": 0,
    }
    return FloatingIpPairArgs(**ordinary | changes)


def program(**changes: Any) -> Callable[[], Any]:
    """A program for an ordinary pair with changed arguments; it returns the pair's outputs."""
    return lambda: FloatingIpPair("ec2vip", pair_args(**changes)).outputs()


_rendered: dict[tuple[str, int], bytes] = {}


def _render_once(spec: NodeSpec, *, spare: int = 0) -> bytes:
    """Render a node's user data once: a node always gets the same data, and to compress them is slow."""
    key = (repr(spec), spare)
    if key not in _rendered:
        _rendered[key] = render(spec, spare=spare)
    return _rendered[key]


def record(
    program: Callable[[], Any],
    answers: Mapping[str, Answer] | None = None,
    calls: list[mocks.MockCallArgs] | None = None,
    kept: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Resource], Any]:
    """Run a program; returns its resources by name, and its return value with outputs resolved.

    Its look-ups are added to `calls`. `kept` has the values of stashes from an earlier `up`, by name.
    """
    monitor = RecordingMonitor(recorder := Recorder(calls=[] if calls is None else calls, kept=kept or {}))
    recorder.answers.update(answers or {})
    # pulumi.runtime.test needs a current event loop, but an earlier asyncio.run in this process leaves none.
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorder, project="ec2vip", stack="test", monitor=monitor)
    returned: list[Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[Any]:
        return pulumi.Output.from_input(program()).apply(returned.append)

    with mock.patch.object(nodes, "render", _render_once):
        run()
    return monitor.made, returned[0]


def record_pair(
    name: str = "ec2vip", answers: dict[str, dict[str, Any]] | None = None, **changes: Any
) -> tuple[dict[str, Resource], dict[str, Any]]:
    """The resources of a pair by name, and its outputs."""
    return record(lambda: FloatingIpPair(name, pair_args(**changes)).outputs(), answers)


def of_type(made: dict[str, Resource], kind: str) -> Iterator[Resource]:
    """The resources whose type ends with that text, such as `:Instance`."""
    return (resource for resource in made.values() if resource.type.endswith(kind))
