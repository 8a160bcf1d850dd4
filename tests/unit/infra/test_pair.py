"""The component, as the engine sees it: what it asks for, and under whom."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi.runtime import mocks, rpc

from cloudinit import userdata
from cloudinit.spec import Service
from infra import pair as outputs
from infra.clients import ClientRule
from infra.errors import ConfigError
from infra.pair import FloatingIpPair
from infra.sites import ExistingSubnet, NewSubnet, NewVpc

from .recording import ACCOUNT, IMAGE, REGION, Answer, of_type, pair_args, record, record_pair

UNTAGGABLE = {
    "ec2vip:index:FloatingIpPair",
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:ec2/tag:Tag",
    "pulumi:index:Stash",
}
KEY = bytes(range(256))
EVERYTHING: dict[str, Any] = {"endpoints": True, "ssm": True, "encryption_key": KEY}
EXISTING = ExistingSubnet(
    vpc_id="vpc-0123456789abcdef0",
    subnet_id="subnet-0123456789abcdef0",
    subnet_arn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-0123456789abcdef0",
    subnet_cidr=IPv4Network("10.0.250.0/24"),
)


def test_no_resource_is_an_orphan() -> None:
    made, _ = record_pair(**EVERYTHING)
    pair = made.pop("ec2vip")
    assert "pulumi:pulumi:Stack" in pair.parent or pair.parent == ""
    assert made
    assert {
        r.name for r in made.values() if not r.parent.endswith("ec2vip:index:FloatingIpPair::ec2vip")
    } == set()


def test_everything_that_can_have_tags_has_the_stacks_and_the_users() -> None:
    made, _ = record_pair(tags={"team": "payments"}, **EVERYTHING)
    for resource in made.values():
        if resource.type in UNTAGGABLE:
            assert "tags" not in resource.inputs
            continue
        tags = dict(resource.inputs["tags"])
        assert (tags.pop("ec2vip:made-from", None) is not None) == resource.type.endswith(":Instance")
        assert tags == {
            "team": "payments",
            "Name": resource.name,
            "ec2vip:pair": "ec2vip/test/ec2vip",
        }, resource.name


def test_root_volumes_are_tagged_like_their_instances() -> None:
    made, _ = record_pair(tags={"team": "payments"})
    tags = made["ec2vip-b"].inputs["volumeTags"]
    assert tags == {"team": "payments", "Name": "ec2vip-b-root", "ec2vip:pair": "ec2vip/test/ec2vip"}


def test_nodes_are_made_as_a_floating_address_needs_them() -> None:
    made, _ = record_pair()
    for role, address in (("a", "10.0.250.186"), ("b", "10.0.250.187")):
        node = made[f"ec2vip-{role}"]
        told = dict(node.inputs)
        user_data = base64.b64decode(told.pop("userDataBase64"))
        assert user_data[:2] == b"\x1f\x8b"
        assert re.fullmatch(r"[0-9a-f]{16}\.open", told["tags"].pop("ec2vip:made-from"))
        assert told == {
            "ami": IMAGE,
            "instanceType": "t3.micro",
            "privateIp": address,
            "subnetId": "ec2vip-subnet-id",
            "vpcSecurityGroupIds": ["ec2vip-nodes-id"],
            "iamInstanceProfile": "ec2vip-profile",
            "placementGroup": "ec2vip-apart",
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 1,
                "instanceMetadataTags": "disabled",
            },
            "sourceDestCheck": True,
            "rootBlockDevice": {
                "encrypted": True,
                "volumeType": "gp3",
            },
            "volumeTags": {"Name": f"ec2vip-{role}-root", "ec2vip:pair": "ec2vip/test/ec2vip"},
            "userDataReplaceOnChange": True,
            "tags": {"Name": f"ec2vip-{role}", "ec2vip:pair": "ec2vip/test/ec2vip"},
        }
        assert node.delete_before_replace
        assert node.ignored == ("secondaryPrivateIps", "volumeTags")
    assert made["ec2vip-apart"].inputs["strategy"] == "spread"


def test_the_nodes_interfaces_get_the_pairs_tag_which_ends_with_them() -> None:
    made, _ = record_pair()
    for role in ("a", "b"):
        tag = made[f"ec2vip-{role}-interface"]
        assert tag.inputs == {
            "resourceId": f"ec2vip-{role}-eni",
            "key": "ec2vip:pair",
            "value": "ec2vip/test/ec2vip",
        }
        assert tag.retain_on_delete


def test_the_vip_is_declared_to_no_interface() -> None:
    made, _ = record_pair(**EVERYTHING)
    holding = {
        resource.name
        for resource in made.values()
        if "10.0.250.185" in json.dumps({k: v for k, v in resource.inputs.items() if k != "userDataBase64"})
    }
    assert holding == {"ec2vip-reservation-10.0.250.185"}


def test_user_data_fits_with_everything_on() -> None:
    made, _ = record_pair(**EVERYTHING)
    for node in of_type(made, ":Instance"):
        assert len(base64.b64decode(node.inputs["userDataBase64"])) <= 15_700  # of 16,384


def text_of(node: Any) -> str:
    """A node's user data as the node reads it."""
    return gzip.decompress(base64.b64decode(node.inputs["userDataBase64"])).decode()


def test_the_key_goes_to_a_parameter_as_a_secret_and_the_nodes_are_told_where_it_is() -> None:
    made, _ = record_pair(encryption_key=KEY)
    parameter = made["ec2vip-corosync-key"].inputs
    assert parameter["type"] == "SecureString"
    value = parameter["value"]
    assert rpc.is_rpc_secret(value)
    assert base64.b64decode(value["value"]) == KEY
    for node in of_type(made, ":Instance"):
        text = text_of(node)
        assert "crypto_cipher: aes256" in text
        assert (
            f"KEY_PARAMETER=arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ec2vip/ec2vip/test/ec2vip/corosync-key\n"
            in text
        )
        for hidden in (value["value"], KEY.hex(), str(KEY)):
            assert hidden not in text


def installer_of(made: Any) -> bytes:
    """What the nodes fetch. The provider's package calls every parameter's value a secret."""
    return base64.b64decode(made["ec2vip-installer"].inputs["value"]["value"])


def test_the_installer_goes_to_a_parameter_and_the_nodes_are_told_where_it_is() -> None:
    made, _ = record_pair(platform="al2023", encryption_key=KEY)
    script = installer_of(made)
    assert (made["ec2vip-installer"].inputs["type"], script) == ("String", userdata.installer("al2023"))
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ec2vip/ec2vip/test/ec2vip/installer"
    (statement,) = json.loads(made["ec2vip-policy-installer"].inputs["policy"])["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("ssm:GetParameter", arn)
    for node in of_type(made, ":Instance"):
        text = text_of(node)
        assert f"INSTALLER_PARAMETER={arn}\n" in text
        assert f"INSTALLER_DIGEST={hashlib.sha256(script).hexdigest()}\n" in text
    assert "ec2vip-installer" not in record_pair()[0]


def test_an_owners_repository_is_in_the_installer() -> None:
    address, key = "https://mirror.example/9-stream", f"https://mirror.example/KEY#{'0' * 40}"
    made, _ = record_pair(platform="al2023", package_repository=address, package_repository_key=key)
    assert installer_of(made) == userdata.installer("al2023", address, key)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            ["github.com and snapshot.debian.org", "NAT gateway", "ec2vip:amiId", "ec2vip:packageRepository"],
        ),
        ({"public_ips": True}, []),
        ({"platform": "debian12"}, []),
        ({"ami_id": IMAGE}, []),
        (
            {
                "package_repository": "https://m.example/9",
                "package_repository_key": f"https://m.example/K#{'0' * 40}",
            },
            [],
        ),
    ],
)
def test_a_pair_that_may_have_no_way_to_what_it_builds_from_is_told(
    settings: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, **_: warnings.append(text))
    record_pair(**{"platform": "al2023", "public_ips": False, **settings})
    assert len(warnings) == bool(said)
    assert all(word in warnings[0] for word in said)


def test_another_key_is_other_user_data() -> None:
    first, second = (
        record_pair(encryption_key=key)[0]["ec2vip-a"].inputs["userDataBase64"] for key in (KEY, KEY[::-1])
    )
    assert first != second


def test_the_digest_of_what_a_node_is_made_from_changes_with_what_replaces_it_alone() -> None:
    def digests(**changes: Any) -> set[str]:
        made, _ = record_pair(**changes)
        return {node.inputs["tags"]["ec2vip:made-from"] for node in of_type(made, ":Instance")}

    ordinary = digests()
    assert len(ordinary) == 2
    in_place = {"instance_type": "t3.small", "tags": {"team": "payments"}, "ssm": True, "clients": ()}
    assert digests(**in_place) == ordinary
    for replacing in ({"ami_id": "ami-1"}, {"key_name": "k"}, {"token_ms": 2000}, {"public_ips": False}):
        assert not digests(**replacing) & ordinary, replacing


def test_nodes_wait_for_their_network_and_their_permissions() -> None:
    made, _ = record_pair(**EVERYTHING)
    needed = {
        "ec2vip-route-internet",
        "ec2vip-routes-subnet",
        "ec2vip-from-nodes-corosync",
        "ec2vip-to-anywhere",
        "ec2vip-policy",
        "ec2vip-policy-ssm",
        "ec2vip-policy-key",
        "ec2vip-endpoint",
        "ec2vip-from-nodes-https",
        "ec2vip-reservation-10.0.250.185",
        "ec2vip-reservation-10.0.250.186",
        "ec2vip-reservation-10.0.250.187",
    }
    for node in of_type(made, ":Instance"):
        assert needed <= set(node.depends_on)


def test_the_three_addresses_are_reserved_one_by_one() -> None:
    made, _ = record_pair()
    reserved = {r.name: r.inputs["cidrBlock"] for r in of_type(made, ":SubnetCidrReservation")}
    assert reserved == {
        "ec2vip-reservation-10.0.250.185": "10.0.250.185/32",
        "ec2vip-reservation-10.0.250.186": "10.0.250.186/32",
        "ec2vip-reservation-10.0.250.187": "10.0.250.187/32",
    }
    assert all(r.inputs["reservationType"] == "explicit" for r in of_type(made, ":SubnetCidrReservation"))


def rule(inputs: dict[str, Any]) -> tuple[Any, ...]:
    """A security group rule in short."""
    source = inputs.get("cidrIpv4") or inputs.get("referencedSecurityGroupId")
    return (
        inputs["securityGroupId"],
        inputs["ipProtocol"],
        inputs.get("fromPort"),
        inputs.get("toPort"),
        source,
    )


def test_nobody_gets_in_but_members_and_clients() -> None:
    made, _ = record_pair(
        clients=(
            ClientRule(protocol="tcp", from_port=443, to_port=443, cidr=IPv4Network("10.0.0.0/16")),
            ClientRule(protocol="udp", from_port=5000, to_port=5010, security_group="sg-0123456789abcdef0"),
            ClientRule(protocol="icmp", from_port=8, to_port=-1),
        )
    )
    assert {rule(r.inputs) for r in of_type(made, ":SecurityGroupIngressRule")} == {
        ("ec2vip-nodes-id", "udp", 5405, 5405, "ec2vip-nodes-id"),
        ("ec2vip-nodes-id", "tcp", 443, 443, "10.0.0.0/16"),
        ("ec2vip-nodes-id", "udp", 5000, 5010, "sg-0123456789abcdef0"),
        ("ec2vip-nodes-id", "tcp", 443, 443, "ec2vip-clients-id"),
        ("ec2vip-nodes-id", "udp", 5000, 5010, "ec2vip-clients-id"),
        ("ec2vip-nodes-id", "icmp", 8, -1, "ec2vip-clients-id"),
    }
    assert {rule(r.inputs) for r in of_type(made, ":SecurityGroupEgressRule")} == {
        ("ec2vip-nodes-id", "-1", None, None, "0.0.0.0/0"),
        ("ec2vip-clients-id", "tcp", 443, 443, "ec2vip-nodes-id"),
        ("ec2vip-clients-id", "udp", 5000, 5010, "ec2vip-nodes-id"),
        ("ec2vip-clients-id", "icmp", 8, -1, "ec2vip-nodes-id"),
    }


def test_the_way_to_the_internet_is_there_only_for_public_addresses() -> None:
    internet = (":InternetGateway", ":RouteTable", ":Route", ":RouteTableAssociation")
    made, _ = record_pair(public_ips=True)
    assert all(len(list(of_type(made, kind))) == 1 for kind in internet)
    assert made["ec2vip-subnet"].inputs["mapPublicIpOnLaunch"] is True
    made, _ = record_pair(public_ips=False)
    assert not any(list(of_type(made, kind)) for kind in internet)
    assert made["ec2vip-subnet"].inputs["mapPublicIpOnLaunch"] is False


def test_a_subnet_that_is_there_gets_no_route_and_no_vpc() -> None:
    made, given = record_pair(site=EXISTING)
    for kind in (":Vpc", ":Subnet", ":InternetGateway", ":RouteTable", ":Route"):
        assert not list(of_type(made, kind)), kind
    assert given[outputs.SUBNET_ID] == EXISTING.subnet_id
    assert given[outputs.VPC_ID] == EXISTING.vpc_id


def test_a_subnet_in_a_vpc_that_is_there_uses_its_gateway() -> None:
    site = NewSubnet(vpc_id="vpc-1", subnet_cidr=IPv4Network("10.0.250.0/24"), internet_gateway_id="igw-1")
    made, _ = record_pair(site=site)
    assert made["ec2vip-route-internet"].inputs["gatewayId"] == "igw-1"
    assert not list(of_type(made, ":InternetGateway"))
    assert made["ec2vip-subnet"].inputs["vpcId"] == "vpc-1"


def test_the_endpoint_is_for_the_nodes_alone() -> None:
    made, _ = record_pair(endpoints=True)
    endpoint = made["ec2vip-endpoint"].inputs
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.ec2"
    assert endpoint["privateDnsEnabled"] is True
    assert rule(made["ec2vip-from-nodes-https"].inputs) == (
        "ec2vip-endpoint-group-id",
        "tcp",
        443,
        443,
        "ec2vip-nodes-id",
    )


@pytest.mark.parametrize(
    ("settings", "services"),
    [
        ({}, ["ec2"]),
        ({"encryption_key": KEY}, ["ec2", "ssm"]),
        ({"ssm": True}, ["ec2", "ssm", "ssmmessages"]),
        ({"ssm": True, "encryption_key": KEY}, ["ec2", "ssm", "ssmmessages"]),
    ],
)
def test_there_is_an_endpoint_for_each_service_that_the_nodes_call(
    settings: dict[str, Any], services: list[str]
) -> None:
    made, _ = record_pair(endpoints=True, public_ips=False, **settings)
    endpoints = list(of_type(made, ":VpcEndpoint"))
    assert [e.inputs["serviceName"] for e in endpoints] == [f"com.amazonaws.us-east-1.{s}" for s in services]
    assert all(e.inputs["privateDnsEnabled"] is True for e in endpoints)
    for node in of_type(made, ":Instance"):
        assert {endpoint.name for endpoint in endpoints} <= set(node.depends_on)


def test_outputs_are_complete_and_registered() -> None:
    _, given = record_pair()
    assert given == {
        "vip": "10.0.250.185",
        "vips": ["10.0.250.185"],
        "vipCidr": "10.0.250.185/32",
        "vpcId": "ec2vip-vpc-id",
        "subnetId": "ec2vip-subnet-id",
        "nodeIds": ["ec2vip-a-id", "ec2vip-b-id"],
        "nodePrivateIps": ["10.0.250.186", "10.0.250.187"],
        "securityGroupId": "ec2vip-nodes-id",
        "clientSecurityGroupId": "ec2vip-clients-id",
        "roleArn": "arn:aws:iam::123456789012:role/ec2vip/test/ec2vip/ec2vip-role",
        "instanceProfileName": "ec2vip-profile",
    }


def test_two_pairs_in_one_program_do_not_collide() -> None:
    def program() -> list[pulumi.Output[str]]:
        first = FloatingIpPair("one", pair_args())
        second = FloatingIpPair(
            "two",
            pair_args(
                vip=IPv4Address("10.0.251.10"),
                node_ips=(IPv4Address("10.0.251.11"), IPv4Address("10.0.251.12")),
                site=NewVpc(vpc_cidr=IPv4Network("10.0.0.0/16"), subnet_cidr=IPv4Network("10.0.251.0/24")),
            ),
        )
        return [first.vip, second.vip]

    made, vips = record(program)
    assert vips == ["10.0.250.185", "10.0.251.10"]
    assert len(list(of_type(made, ":Instance"))) == 4
    assert made["two-a"].inputs["userDataBase64"] != made["one-a"].inputs["userDataBase64"]


def test_the_image_follows_platform_architecture_and_region_and_else_stays() -> None:
    made, _ = record_pair()
    kept = made["ec2vip-image-debian12-x86_64-us-east-1"]
    assert kept.ignored == ("input",)
    made, _ = record_pair(ami_id="ami-0fedcba9876543210")
    assert made["ec2vip-a"].inputs["ami"] == "ami-0fedcba9876543210"
    assert {stash.name for stash in of_type(made, ":Stash")} == {
        "ec2vip-zone-us-east-1",
        "ec2vip-last-roll",
    }
    made, _ = record(program(), {"aws:index/getRegion:getRegion": {"region": "eu-west-1"}})
    assert {stash.name for stash in of_type(made, ":Stash")} == {
        "ec2vip-image-debian12-x86_64-eu-west-1",
        "ec2vip-zone-eu-west-1",
        "ec2vip-last-roll",
    }


def test_a_gateway_may_pass_on_packets_of_others() -> None:
    made, _ = record_pair(source_dest_check=False)
    assert [node.inputs["sourceDestCheck"] for node in of_type(made, ":Instance")] == [False, False]


def test_every_look_up_goes_to_the_pairs_own_provider() -> None:
    calls: list[mocks.MockCallArgs] = []

    def elsewhere() -> Any:
        provider = aws.Provider("elsewhere", region="eu-west-1")
        opts = pulumi.ResourceOptions(providers=[provider])
        return FloatingIpPair("ec2vip", pair_args(**EVERYTHING), opts).outputs()

    record(elsewhere, calls=calls)
    assert {call.token.rpartition(":")[2] for call in calls} == {
        "getAvailabilityZones",
        "getInstanceType",
        "getInstanceTypeOfferings",
        "getParameter",
        "getPartition",
        "getRegion",
        "getVpcEndpointService",
    }
    assert [call.token for call in calls if "::elsewhere::" not in call.provider] == []


OFFERINGS = "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings"
ZONES = "aws:index/getAvailabilityZones:getAvailabilityZones"
SERVICE = "aws:ec2/getVpcEndpointService:getVpcEndpointService"


def program(**changes: Any) -> Callable[[], Any]:
    return lambda: FloatingIpPair("ec2vip", pair_args(**changes)).outputs()


def test_a_zone_is_chosen_that_has_the_type_and_is_kept() -> None:
    offered = {"locations": ["us-east-1d", "us-east-1-bos-1a", "us-east-1c"]}
    made, _ = record(program(), {OFFERINGS: offered, ZONES: {"names": [f"us-east-1{z}" for z in "abcd"]}})
    kept = made["ec2vip-zone-us-east-1"]
    assert (kept.inputs["input"], kept.ignored) == ("us-east-1c", ("input",))
    assert made["ec2vip-subnet"].inputs["availabilityZone"] == "us-east-1c"


def test_a_zone_is_chosen_that_has_the_endpoints_services_too() -> None:
    served = {"serviceName": "com.amazonaws.us-east-1.ec2", "availabilityZones": ["us-east-1b", "us-east-1c"]}
    made, _ = record(program(endpoints=True), {SERVICE: served})
    assert made["ec2vip-subnet"].inputs["availabilityZone"] == "us-east-1b"


def test_a_zone_without_the_type_is_refused_with_those_that_have_it() -> None:
    site = NewVpc(
        vpc_cidr=IPv4Network("10.0.0.0/16"),
        subnet_cidr=IPv4Network("10.0.250.0/24"),
        availability_zone="us-east-1e",
    )
    said = (
        "availabilityZone us-east-1e does not offer t3.micro (zones that do: us-east-1a, us-east-1b); set "
        "ec2vip:availabilityZone to another, or ec2vip:instanceType to a type that it offers"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        record(program(site=site))
    existing = dataclasses.replace(EXISTING, availability_zone="us-east-1e")
    with pytest.raises(ConfigError, match=r"subnet-0123456789abcdef0 in us-east-1e does not offer t3\.micro"):
        record(program(site=existing))
    with pytest.raises(
        ConfigError, match=r"t3\.micro is offered in no zone of this Region; set ec2vip:instanceType"
    ):
        record(program(), {OFFERINGS: {"locations": []}})


def test_a_kept_zone_is_refused_for_a_type_that_it_lacks() -> None:
    with pytest.raises(ConfigError, match=r"us-east-1z \(chosen at the first up\) does not offer t3\.micro"):
        record(program(), kept={"ec2vip-zone-us-east-1": "us-east-1z"})


def test_addresses_that_a_reservation_covers_get_none() -> None:
    site = dataclasses.replace(EXISTING, reserved=frozenset({IPv4Address("10.0.250.186")}))
    made, _ = record_pair(site=site)
    assert {r.inputs["cidrBlock"] for r in of_type(made, ":SubnetCidrReservation")} == {
        "10.0.250.185/32",
        "10.0.250.187/32",
    }
    described = {r.inputs["description"] for r in of_type(made, ":SubnetCidrReservation")}
    assert described == {"ec2vip/test/ec2vip: assigned by name alone"}


@pytest.mark.parametrize("key", [None, KEY], ids=["in the clear", "encrypted"])
def test_user_data_that_is_too_large_is_refused_with_what_makes_it_so(key: bytes | None) -> None:
    noise = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(200))
    service = Service(name="x", agent="ocf:heartbeat:Dummy", parameters={"state": noise})
    with pytest.raises(ConfigError) as caught:
        record(program(services=(service,), encryption_key=key))
    (problem,) = caught.value.problems
    assert problem.startswith("services makes the nodes' user data too large: its 1 entries take some ")
    assert "of 16384; shorten the packages and parameters in ec2vip:services" in problem


def only(*known: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Endpoint services, of which there are these."""

    def look_up(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["serviceName"] not in known:
            raise LookupError(f"api error InvalidServiceName: {arguments['serviceName']} does not exist")
        return {"serviceName": arguments["serviceName"]}

    return look_up


def test_endpoints_have_the_names_that_their_region_gives_them() -> None:
    answers: dict[str, Answer] = {
        "aws:index/getRegion:getRegion": {"region": "cn-north-1"},
        SERVICE: only("cn.com.amazonaws.cn-north-1.ec2", "com.amazonaws.cn-north-1.ssm"),
    }
    made, _ = record(program(endpoints=True, encryption_key=KEY), answers)
    assert [e.inputs["serviceName"] for e in of_type(made, ":VpcEndpoint")] == [
        "cn.com.amazonaws.cn-north-1.ec2",
        "com.amazonaws.cn-north-1.ssm",
    ]


def test_a_region_without_an_endpoint_is_named() -> None:
    said = (
        "endpoints true needs an endpoint of ec2, and us-east-1 has none (com.amazonaws.us-east-1.ec2); set"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        record(program(endpoints=True), {SERVICE: only()})


def test_an_endpoint_is_made_anew_in_another_subnet() -> None:
    made, _ = record_pair(endpoints=True)
    endpoint = made["ec2vip-endpoint"]
    assert (endpoint.replacing, endpoint.delete_before_replace) == (("subnetIds",), True)


def test_what_aws_would_not_take_is_refused_in_other_programs_too() -> None:
    with pytest.raises(ConfigError, match="tags R&D has '&'"):
        pair_args(tags={"team": "R&D"})
    many = tuple(ClientRule(protocol="tcp", from_port=n, to_port=n) for n in range(1, 62))
    with pytest.raises(ConfigError, match="clients needs 62 rules in the nodes' group"):
        pair_args(clients=many)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"supportedArchitectures": ["x86_64"], "maximumIpv4AddressesPerInterface": 1},
            "has room for 1 IPv4 address an interface, and a node needs 2",
        ),
        ({"supportedArchitectures": ["i386"], "maximumIpv4AddressesPerInterface": 2}, "is for i386"),
    ],
)
def test_an_instance_type_that_cannot_do_it_is_refused(facts: dict[str, Any], said: str) -> None:
    answers = {"aws:ec2/getInstanceType:getInstanceType": facts}
    with pytest.raises(ConfigError, match=said):
        record(lambda: FloatingIpPair("ec2vip", pair_args()), answers)


TWO_MORE = (IPv4Address("10.0.250.190"), IPv4Address("10.0.250.191"))
ROOMY = {
    "aws:ec2/getInstanceType:getInstanceType": {
        "supportedArchitectures": ["x86_64"],
        "maximumIpv4AddressesPerInterface": 4,
    }
}


def test_each_vip_is_reserved_told_to_the_nodes_and_given_out() -> None:
    made, given = record(lambda: FloatingIpPair("ec2vip", pair_args(more_vips=TWO_MORE)).outputs(), ROOMY)
    assert made["ec2vip-reservation-10.0.250.190"].inputs["cidrBlock"] == "10.0.250.190/32"
    assert made["ec2vip-reservation-10.0.250.191"].inputs["cidrBlock"] == "10.0.250.191/32"
    assert (given["vip"], given["vipCidr"]) == ("10.0.250.185", "10.0.250.185/32")
    assert given["vips"] == ["10.0.250.185", "10.0.250.190", "10.0.250.191"]
    for node in of_type(made, ":Instance"):
        assert "VIPS=(10.0.250.185 10.0.250.190 10.0.250.191)\n" in text_of(node)


def test_more_vips_than_an_interface_has_room_for_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"room for 2 IPv4 addresses an interface, and a node needs 3.*vips"
    ):
        record(lambda: FloatingIpPair("ec2vip", pair_args(more_vips=TWO_MORE[:1])))


def test_the_order_of_the_nodes_addresses_means_nothing() -> None:
    swapped = (IPv4Address("10.0.250.187"), IPv4Address("10.0.250.186"))
    made = {order: record_pair(node_ips=order)[0] for order in (swapped, swapped[::-1])}
    first, second = made.values()
    assert {name: r.inputs for name, r in first.items()} == {name: r.inputs for name, r in second.items()}


def test_services_reach_the_nodes() -> None:
    made, _ = record_pair(services=(Service(name="nginx", agent="systemd:nginx", packages=("nginx-light",)),))
    for node in of_type(made, ":Instance"):
        assert "SERVICE_UNITS=(nginx.service)\n" in text_of(node)
        assert "SERVICE_PACKAGES=(nginx-light)\n" in text_of(node)
        assert "setting resource group add vip-group vip nginx\n" in text_of(node)


def test_addresses_outside_the_subnet_are_refused_in_other_programs_too() -> None:
    with pytest.raises(ConfigError, match=r"vip 10\.0\.9\.1 is outside 10\.0\.250\.0/24"):
        pair_args(vip=IPv4Address("10.0.9.1"))
