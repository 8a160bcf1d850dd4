"""The AWS provider's stand-in agrees with pulumi_aws's types, and refuses what it does not know."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi._types import input_type_py_to_pulumi_names
from pulumi.runtime.proto import provider_pb2 as pb

from tests.aws.provider.changes import differences
from tests.aws.provider.messages import to_struct, to_values
from tests.aws.provider.registry import FUNCTIONS, TYPES
from tests.aws.provider.schema import UNKNOWN, Property
from tests.aws.provider.service import Provider

from .cloud import REGION, Cloud
from .provider_life import URN, RefusedError, context, provider_of

FORCES_NEW = r"forces? (a )?new resource|forces replacement"


def sdk(token: str) -> Any:
    """The class or function of pulumi_aws with that token."""
    _, module, name = token.split(":")
    folder, member = module.split("/")[0], name
    if member.startswith("get"):
        member = re.sub(r"(?<!^)(?=[A-Z])", "_", member).lower()
    return getattr(aws if folder == "index" else getattr(aws, folder), member)


def arguments(token: str) -> dict[str, str]:
    """The inputs that pulumi_aws declares for the resource: Pulumi's names, keyed by Python's."""
    _, module, name = token.split(":")
    arguments_class = getattr(getattr(aws, module.split("/")[0]), f"{name}Args")
    return dict(input_type_py_to_pulumi_names(arguments_class))


@pytest.mark.parametrize("token", TYPES)
def test_its_inputs_are_among_those_of_pulumi_aws(token: str) -> None:
    assert set(TYPES[token].inputs) <= set(arguments(token).values())


@pytest.mark.parametrize("token", TYPES)
def test_it_requires_what_pulumi_aws_requires(token: str) -> None:
    names = arguments(token)
    _, module, name = token.split(":")
    arguments_class = getattr(getattr(aws, module.split("/")[0]), f"{name}Args")
    parameters = inspect.signature(arguments_class.__init__).parameters
    required = {
        names[p.name] for p in parameters.values() if p.name in names and p.default is inspect.Parameter.empty
    }
    assert {name for name, p in TYPES[token].inputs.items() if p.required} == required


@pytest.mark.parametrize("token", TYPES)
def test_it_replaces_where_the_documentation_says_so(token: str) -> None:
    _, module, name = token.split(":")
    arguments_class = getattr(getattr(aws, module.split("/")[0]), f"{name}Args")
    for python_name, pulumi_name in arguments(token).items():
        prop = TYPES[token].inputs.get(pulumi_name)
        text = inspect.getdoc(getattr(arguments_class, python_name)) or ""
        # Some inputs force a replacement only for kinds of the resource that the stand-in refuses.
        conditional = "anything other than" in text
        if prop is not None and not conditional and re.search(FORCES_NEW, text, re.IGNORECASE):
            assert prop.replaces, f"{token} {pulumi_name}: {text}"


@pytest.mark.parametrize("token", FUNCTIONS)
def test_its_functions_take_what_those_of_pulumi_aws_take(token: str) -> None:
    parameters = inspect.signature(sdk(token)).parameters
    camel = {re.sub(r"_(\w)", lambda m: m[1].upper(), name) for name in parameters}
    assert set(FUNCTIONS[token].arguments) <= camel


@pytest.fixture(scope="module")
def provider(cloud: Cloud) -> Provider:
    return provider_of(cloud)


def check(
    provider: Provider, token: str, inputs: dict[str, Any], before: dict[str, Any] | None = None
) -> Any:
    request = pb.CheckRequest(
        urn=URN.format(token=token), type=token, news=to_struct(inputs), olds=to_struct(before or {})
    )
    return provider.Check(request, context())


def reasons(response: Any) -> dict[str, str]:
    return {failure.property: failure.reason for failure in response.failures}


REFUSALS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "an unknown input": (
        "aws:ec2/vpc:Vpc",
        {"cidrBlock": "10.0.0.0/16", "ipv6CidrBlock": "::/56"},
        {"ipv6CidrBlock": "does not implement the input ipv6CidrBlock of aws:ec2/vpc:Vpc"},
    ),
    "an unknown input of a block": (
        "aws:ec2/instance:Instance",
        {"ami": "ami-1", "instanceType": "t3.micro", "metadataOptions": {"httpProtocolIpv6": "enabled"}},
        {"metadataOptions.httpProtocolIpv6": "does not implement the input metadataOptions.httpProtocol"},
    ),
    "a missing input": (
        "aws:ec2/subnet:Subnet",
        {"cidrBlock": "10.0.0.0/24"},
        {"vpcId": 'The argument "vpcId" is required'},
    ),
    "two sources of one rule": (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {
            "securityGroupId": "sg-1",
            "ipProtocol": "-1",
            "cidrIpv4": "10.0.0.0/8",
            "referencedSecurityGroupId": "sg-2",
        },
        {
            "cidrIpv4": "Exactly one of these",
            "referencedSecurityGroupId": "Exactly one of these",
        },
    ),
    "tags of the root volume and of all volumes": (
        "aws:ec2/instance:Instance",
        {
            "ami": "ami-1",
            "instanceType": "t3.micro",
            "rootBlockDevice": {"tags": {"a": "1"}},
            "volumeTags": {"a": "1"},
        },
        {"rootBlockDevice.tags": "conflicts with volumeTags"},
    ),
    "an impossible reservation": (
        "aws:ec2/subnetCidrReservation:SubnetCidrReservation",
        {"subnetId": "subnet-1", "cidrBlock": "10.0.0.1/32", "reservationType": "mine"},
        {"reservationType": "expected reservation_type to be one of"},
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses_by_name(name: str, provider: Provider) -> None:
    token, inputs, expected = REFUSALS[name]
    found = reasons(check(provider, token, inputs))
    assert set(found) == set(expected)
    for path, text in expected.items():
        assert text in found[path]


def test_it_refuses_types_and_functions_that_it_does_not_have(provider: Provider) -> None:
    with pytest.raises(RefusedError, match="has no type aws:s3/bucket:Bucket"):
        check(provider, "aws:s3/bucket:Bucket", {})
    request = pb.InvokeRequest(tok="aws:ec2/getVpcs:getVpcs")
    with pytest.raises(RefusedError, match="has no function aws:ec2/getVpcs:getVpcs"):
        provider.Invoke(request, context())
    request = pb.InvokeRequest(tok="aws:ec2/getVpc:getVpc", args=to_struct({"cidrBlock": "10.0.0.0/16"}))
    assert "cidrBlock" in reasons(provider.Invoke(request, context()))


def test_it_refuses_settings_that_it_does_not_have(provider: Provider) -> None:
    request = pb.CheckRequest(news=to_struct({"region": REGION, "profile": "mine"}))
    assert set(reasons(provider.CheckConfig(request, context()))) == {"profile"}


def test_it_makes_up_a_name_once(provider: Provider) -> None:
    token = "aws:iam/role:Role"
    inputs = {"assumeRolePolicy": "{}"}
    first = to_values(check(provider, token, inputs).inputs)
    assert re.fullmatch(r"thing-[0-9a-f]{7}", first["name"])
    again = to_values(check(provider, token, inputs, {**first, "name": "thing-0000000"}).inputs)
    assert again["name"] == "thing-0000000"


@pytest.mark.parametrize("token", [t for t in TYPES if hasattr(sdk(t), "get")])
def test_what_it_reads_are_properties_of_pulumi_aws(token: str) -> None:
    """Checks the source of `read`: pulumi_aws must have every key that it returns."""
    known = {_camel(name) for name, member in inspect.getmembers(sdk(token)) if isinstance(member, property)}
    source = inspect.getsource(type(TYPES[token]).read)
    told = set(re.findall(r'^ {12,20}"([a-zA-Z0-9]+)": ', source, re.MULTILINE))
    nested = {"httpEndpoint", "httpTokens", "httpPutResponseHopLimit", "instanceMetadataTags"}
    nested |= {"policy"} if token == "aws:iam/role:Role" else set()
    assert told - nested <= known


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda m: m[1].upper(), name)


Kind = pb.PropertyDiff
CASES: dict[str, tuple[Property, Any, Any, dict[str, Any]]] = {
    "the same": (Property(), "a", "a", {}),
    "another value": (Property(), "a", "b", {"x": Kind.UPDATE}),
    "a first value": (Property(), None, "b", {"x": Kind.ADD}),
    "a value taken away": (Property(), "a", None, {"x": Kind.DELETE}),
    "a value left to AWS again": (Property(computed=True), "a", None, {}),
    "a value that cannot change": (Property(replaces=True), "a", "b", {"x": Kind.UPDATE_REPLACE}),
    "a value that is not known yet": (Property(replaces=True), "a", UNKNOWN, {"x": Kind.UPDATE_REPLACE}),
    "a set in another order": (Property(kind="set"), ["a", "b"], ["b", "a"], {}),
    "a list in another order": (Property(), ["a", "b"], ["b", "a"], {"x": Kind.UPDATE}),
    "a document in another dress": (Property(kind="json"), '{"a": 1, "b": 2}', '{"b":2,"a":1}', {}),
    "a tag more": (Property(kind="map"), {"a": "1"}, {"a": "1", "b": "2"}, {"x.b": Kind.ADD}),
    "a tag less": (Property(kind="map"), {"a": "1", "b": "2"}, {"a": "1"}, {"x.b": Kind.DELETE}),
    "a block's own replacement": (
        Property(kind="block", block={"y": Property(replaces=True), "z": Property()}),
        {"y": 1, "z": 1, "id": "vol-1"},
        {"y": 2, "z": 2},
        {"x.y": Kind.UPDATE_REPLACE, "x.z": Kind.UPDATE},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_changes_are_told_as_the_bridge_tells_them(name: str) -> None:
    prop, live, wanted, expected = CASES[name]
    state = {} if live is None else {"x": live}
    after = {} if wanted is None else {"x": wanted}
    assert differences({"x": prop}, state, {"x": live}, after) == expected
    assert differences({"x": prop}, state, {"x": live}, after, ignored=["x"]) == {}


def test_an_object_that_fails_after_its_creation_is_not_lost(provider: Provider, cloud: Cloud) -> None:
    inputs = {"vpcId": "vpc-0123456789abcdef0", "region": REGION}
    call = context()
    request = pb.CreateRequest(
        urn=URN.format(token="aws:ec2/internetGateway:InternetGateway"),
        type="aws:ec2/internetGateway:InternetGateway",
        properties=to_struct(inputs),
    )
    with pytest.raises(
        RefusedError, match=r"FAILED_PRECONDITION: creating EC2 Internet Gateway \(igw-.*InvalidVpcID"
    ):
        provider.Create(request, call)
    ((name, detail),) = call.trailing
    assert name == "grpc-status-details-bin"
    (made,) = cloud.leftovers()["gateways"]
    assert made.encode() in detail
    cloud.ec2.delete_internet_gateway(InternetGatewayId=made)


def test_reading_what_is_gone_says_that_it_is_gone(provider: Provider) -> None:
    gone = {
        "aws:ec2/vpc:Vpc": "vpc-0123456789abcdef0",
        "aws:ec2/subnet:Subnet": "subnet-0123456789abcdef0",
        "aws:ec2/instance:Instance": "i-0123456789abcdef0",
        "aws:ec2/securityGroup:SecurityGroup": "sg-0123456789abcdef0",
        "aws:iam/role:Role": "nobody",
        "aws:iam/rolePolicy:RolePolicy": "nobody:nothing",
        "aws:iam/instanceProfile:InstanceProfile": "nobody",
        "aws:ec2/placementGroup:PlacementGroup": "nowhere",
        "aws:ec2/internetGateway:InternetGateway": "igw-0123456789abcdef0",
        "aws:ec2/routeTable:RouteTable": "rtb-0123456789abcdef0",
        "aws:ec2/route:Route": "rtb-0123456789abcdef0_0.0.0.0/0",
        "aws:ec2/vpcEndpoint:VpcEndpoint": "vpce-0123456789abcdef0",
    }
    route = {"routeTableId": "rtb-0123456789abcdef0", "destinationCidrBlock": "0.0.0.0/0"}
    for token, object_id in gone.items():
        known = to_struct(route if token == "aws:ec2/route:Route" else {})
        request = pb.ReadRequest(id=object_id, urn=URN.format(token=token), type=token, properties=known)
        assert provider.Read(request, context()).id == "", token
        deletion = pb.DeleteRequest(id=object_id, urn=URN.format(token=token), type=token, properties=known)
        provider.Delete(deletion, context())
