"""What a change of each setting does: it affects exactly these resources, in place if AWS can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.pulumi_stack import PulumiStack, Step

from .cloud import REGION, Cloud

NODES = ("a", "b")
DEBIAN = f"image-debian12-x86_64-{REGION}"
INSTALLER = ("installer", "policy-installer")
"""The parts that hold Amazon Linux's package installer, which does not fit in the user data."""
# A new node gets a new interface, which has a tag resource of its own.
ANEW = (*NODES, "a-interface", "b-interface")
TAGGED = (
    "a",
    "apart",
    "b",
    "clients",
    "clients-to-nodes-icmp",
    "clients-to-nodes-tcp-80",
    "from-10.0.0.0-16-icmp",
    "from-10.0.0.0-16-tcp-80",
    "from-clients-icmp",
    "from-clients-tcp-80",
    "from-nodes-corosync",
    "internet",
    "nodes",
    "profile",
    "role",
    "routes",
    "subnet",
    "to-anywhere",
    "vpc",
)
PING = {"protocol": "icmp", "cidr": "10.0.0.0/16"}
WEB = {"protocol": "tcp", "ports": 80, "cidr": "10.0.0.0/16"}
DATABASE = {"protocol": "tcp", "ports": 5432, "cidr": "10.0.3.0/24"}


@dataclass(frozen=True)
class Change:
    """New settings, and which parts they create, update, replace or delete."""

    settings: dict[str, Any]
    create: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


CHANGES = {
    "a tag": Change({"tags": {"team": "payments"}}, update=TAGGED),
    "a client more": Change(
        {"clients": [PING, WEB, DATABASE]},
        create=("from-10.0.3.0-24-tcp-5432", "from-clients-tcp-5432", "clients-to-nodes-tcp-5432"),
    ),
    "a client less": Change(
        {"clients": [WEB]},
        delete=("from-10.0.0.0-16-icmp", "from-clients-icmp", "clients-to-nodes-icmp"),
    ),
    "the token": Change({"tokenMs": 2000}, replace=ANEW),
    "the instance type": Change({"instanceType": "t3.small"}, update=NODES),
    "an image of one's own": Change({"amiId": "ami-0123456789abcdef0"}, replace=ANEW, delete=(DEBIAN,)),
    "the platform": Change(
        {"platform": "al2023"},
        create=(*INSTALLER, f"image-al2023-x86_64-{REGION}"),
        replace=ANEW,
        delete=(DEBIAN,),
    ),
    "the architecture": Change(
        {"platform": "al2023", "instanceType": "t4g.micro"},
        create=(*INSTALLER, f"image-al2023-arm64-{REGION}"),
        replace=ANEW,
        delete=(DEBIAN,),
    ),
    "the VIP": Change(
        {"vip": "10.0.250.200"},
        create=("reservation-10.0.250.200",),
        replace=ANEW,
        delete=("reservation-10.0.250.185",),
    ),
    "a second VIP": Change(
        {"vip": None, "vips": ["10.0.250.185", "10.0.250.190"], "instanceType": "t3.small"},
        create=("reservation-10.0.250.190",),
        replace=ANEW,
    ),
    "a service": Change({"services": [{"unit": "nginx"}]}, replace=ANEW),
    "one node's address": Change(
        {"nodeIps": ["10.0.250.186", "10.0.250.190"]},
        create=("reservation-10.0.250.190",),
        replace=ANEW,
        delete=("reservation-10.0.250.187",),
    ),
    "the nodes' addresses the other way round": Change({"nodeIps": ["10.0.250.187", "10.0.250.186"]}),
    "the subnet": Change(
        {
            "subnetCidr": "10.0.251.0/24",
            "vip": "10.0.251.185",
            "nodeIps": ["10.0.251.186", "10.0.251.187"],
        },
        create=tuple(f"reservation-10.0.251.{number}" for number in (185, 186, 187)),
        replace=("subnet", "routes-subnet", *ANEW),
        delete=tuple(f"reservation-10.0.250.{number}" for number in (185, 186, 187)),
        update=("policy",),
    ),
    "no public addresses": Change(
        {"publicIps": False},
        update=("subnet",),
        replace=ANEW,
        delete=("internet", "routes", "route-internet", "routes-subnet"),
    ),
    "an endpoint": Change({"endpoints": True}, create=("endpoint-group", "from-nodes-https", "endpoint")),
    "Session Manager, and an image with its agent": Change(
        {"ssm": True, "platform": "al2023"},
        create=("policy-ssm", *INSTALLER, f"image-al2023-x86_64-{REGION}"),
        replace=ANEW,
        delete=(DEBIAN,),
    ),
    "gateways in place of servers": Change({"sourceDestCheck": False}, update=NODES),
    "a boundary": Change({"permissionsBoundary": "arn:aws:iam::123456789012:policy/nodes"}, update=("role",)),
    "how long an up waits": Change({"readyTimeoutMinutes": 5}),
    "an SSH key": Change({"keyName": "operators"}, replace=ANEW),
}


@pytest.fixture(scope="module")
def pair(cloud: Cloud) -> PulumiStack:
    cloud.ec2.create_key_pair(KeyName="operators")
    stack = cloud.stack()
    stack.up("--skip-preview")
    return stack


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_touches_exactly_what_it_must(name: str, cloud: Cloud, pair: PulumiStack) -> None:
    change = CHANGES[name]
    changed = cloud.stack(settings=change.settings)
    assert _operations(changed.preview()) == _expected(change)


def test_nodes_that_are_replaced_keep_their_addresses(cloud: Cloud, pair: PulumiStack) -> None:
    before = pair.outputs()["nodeIds"]
    changed = cloud.stack(settings=CHANGES["the token"].settings)
    changed.up("--skip-preview")
    assert not set(before) & set(changed.outputs()["nodeIds"])
    assert {name: node["PrivateIpAddress"] for name, node in cloud.instances().items()} == {
        "ec2vip-a": "10.0.250.186",
        "ec2vip-b": "10.0.250.187",
    }


def test_a_change_of_the_whole_network_can_be_made_and_leaves_nothing_old(
    cloud: Cloud, pair: PulumiStack
) -> None:
    changed = cloud.stack(
        settings={**CHANGES["the subnet"].settings, "instanceType": "t3.small", "publicIps": False}
    )
    changed.up("--skip-preview")
    assert {node["PrivateIpAddress"] for node in cloud.instances().values()} == {
        "10.0.251.186",
        "10.0.251.187",
    }
    assert {node["InstanceType"] for node in cloud.instances().values()} == {"t3.small"}
    left = cloud.leftovers()
    assert (len(left["subnets"]), len(left["reservations"]), len(left["instances"])) == (1, 3, 2)
    assert "gateways" not in left
    assert changed.preview() == []
    changed.destroy()
    assert cloud.leftovers() == {}


def _operations(steps: list[Step]) -> dict[str, str]:
    """What happens to each part; the three steps of a replacement count as one."""
    found: dict[str, str] = {}
    for step in steps:
        part = step.name.removeprefix("ec2vip-")
        found[part] = "replace" if "replace" in step.operation else step.operation
    return found


def _expected(change: Change) -> dict[str, str]:
    return {
        part: operation
        for operation in ("create", "update", "replace", "delete")
        for part in getattr(change, operation)
    }
