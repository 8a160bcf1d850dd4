"""The stand-in makes terraform-provider-aws's calls, in the same order, over the whole life of each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2 as pb

from tests.aws.provider.call_table import Call, condense, flat, polled, when
from tests.aws.provider.calls import RESOURCES
from tests.aws.provider.calls_of_functions import LOOK_UPS
from tests.aws.provider.messages import to_struct, to_values
from tests.aws.provider.registry import FUNCTIONS, TYPES
from tests.aws.provider.schema import ResourceType
from tests.aws.provider.service import Provider

from .cloud import Cloud
from .provider_life import Life, context
from .provider_lives import SCENARIOS, World


def test_every_type_and_look_up_has_its_calls_and_its_life_written_down() -> None:
    assert set(RESOURCES) == set(TYPES) == set(SCENARIOS)
    assert set(LOOK_UPS) == set(FUNCTIONS) == set(ARGUMENTS)
    for token, resource in RESOURCES.items():
        kind = TYPES[token]
        assert resource.framework == kind.framework, token
        in_place = {name for name, prop in kind.inputs.items() if prop.replaces is False and not prop.unread}
        if in_place - {"tags"}:
            assert type(kind).update is not ResourceType.update, token


@pytest.mark.parametrize("token", SCENARIOS)
def test_its_whole_life_makes_the_calls_of_the_table_and_uses_every_row(
    token: str, provider: Provider, cloud: Cloud, world: World
) -> None:
    life = Life(provider, cloud, token)
    SCENARIOS[token](life, world)
    assert life.idle() == []


ARGUMENTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda w: {},
    "aws:index/getRegion:getRegion": lambda w: {},
    "aws:index/getPartition:getPartition": lambda w: {},
    "aws:index/getAvailabilityZones:getAvailabilityZones": lambda w: {"state": "available"},
    "aws:ec2/getAmi:getAmi": lambda w: {"filters": [{"name": "image-id", "values": [w.image]}]},
    "aws:ec2/getInstances:getInstances": lambda w: {"instanceTags": {"a": "1"}},
    "aws:ec2/getInstanceType:getInstanceType": lambda w: {"instanceType": "t3.micro"},
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": lambda w: {
        "locationType": "availability-zone",
        "filters": [{"name": "instance-type", "values": ["t3.micro"]}],
    },
    "aws:ec2/getNetworkInterface:getNetworkInterface": lambda w: {
        "id": w.cloud.ec2.create_network_interface(SubnetId=w.subnet)["NetworkInterface"][
            "NetworkInterfaceId"
        ]
    },
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": lambda w: {
        "filters": [{"name": "subnet-id", "values": [w.subnet]}]
    },
    "aws:ec2/getSubnet:getSubnet": lambda w: {"id": w.subnet},
    "aws:ec2/getVpc:getVpc": lambda w: {"id": w.vpc},
    "aws:ec2/getInternetGateway:getInternetGateway": lambda w: {
        "filters": [{"name": "attachment.vpc-id", "values": [w.vpc]}]
    },
    "aws:ec2/getSecurityGroup:getSecurityGroup": lambda w: {"id": w.group()},
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": lambda w: {
        "id": w.cloud.ec2.create_vpc_endpoint(
            VpcId=w.vpc,
            ServiceName="com.amazonaws.us-east-1.ssm",
            VpcEndpointType="Interface",
            SubnetIds=[w.subnet],
            PrivateDnsEnabled=False,
        )["VpcEndpoint"]["VpcEndpointId"]
    },
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": lambda w: {
        "service": "ec2",
        "serviceType": "Interface",
    },
    "aws:ssm/getParameter:getParameter": lambda w: {"name": "/aws/service/debian/release/12/latest/amd64"},
}


@pytest.mark.parametrize("token", ARGUMENTS)
def test_a_look_up_makes_the_calls_of_the_table(
    token: str, provider: Provider, cloud: Cloud, world: World
) -> None:
    arguments = to_struct(ARGUMENTS[token](world))
    already = len(cloud.calls)
    answer = provider.Invoke(pb.InvokeRequest(tok=token, args=arguments), context())
    assert not answer.failures
    assert to_values(getattr(answer, "return"))["id"]
    rows = LOOK_UPS[token].calls
    assert condense(rows, cloud.calls[already:]) == set(range(len(flat(rows))))


ROWS = (Call("a"), when("x", Call("b"), polled("c")), Call("a"))


@pytest.mark.parametrize(
    ("calls", "used"),
    [
        (["a", "a"], {0, 3}),
        (["a", "b", "c", "c", "a"], {0, 1, 2, 3}),
        (["a", "b", "a"], None),  # c must follow b
        (["a", "c", "b", "a"], None),
        (["a"], None),
        (["a", "a", "d"], None),
    ],
)
def test_calls_are_held_against_the_table(calls: list[str], used: set[int] | None) -> None:
    assert condense(ROWS, calls) == used
