"""cfn-lint checks every text that a preview registers against AWS's own schemas."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
import yaml

from infra.config import StackConfig
from infra.pair import FloatingIpPair
from infra.resolve import pair_args

from .bad_settings import GOOD, WEB, as_pulumi_gives_them
from .cloudformation import Unmapped, problems, template
from .recording import Resource, record

ROOT = Path(__file__).resolve().parents[3]
KEY = {"encryptionKey": "QUJD" * 64}
FULL: dict[str, Any] = {
    "vip": "",
    "vips": ["10.0.250.185", "10.0.250.190", "10.0.250.191"],
    "platform": "al2023",
    "endpoints": True,
    "ssm": True,
    "keyName": "operators",
    "sourceDestCheck": False,
    "availabilityZone": "us-east-1a",
    "tags": {"team": "payments", "Cost Centre": "4711 / EMEA", "été": "ñ"},
    "services": [
        {"unit": "nginx", "packages": ["nginx"]},
        {"agent": "ocf:heartbeat:Filesystem", "parameters": {"device": "nfs:/a", "directory": "/srv"}},
    ],
    "clients": [
        WEB,
        {"protocol": "icmp", "cidr": "10.0.0.0/8"},
        {"protocol": "udp", "ports": ["53", "5000-5010"], "securityGroup": "sg-0123456789abcdef0"},
        {"protocol": "tcp", "ports": [22, "8000-8010"]},
    ],
    **KEY,
}
NOWHERE = {"vpcCidr": "", "subnetCidr": "", "availabilityZone": ""}
SETTINGS: dict[str, dict[str, Any]] = {
    "least": GOOD,
    "everything": GOOD | FULL,
    "no public addresses": GOOD | FULL | {"publicIps": False},
    "a VPC that is there": GOOD | FULL | {"vpcCidr": "", "vpcId": "vpc-0123456789abcdef0"},
    "a subnet that is there": GOOD | FULL | NOWHERE | {"subnetId": "subnet-0123456789abcdef0"},
}


def made_from(settings: dict[str, Any]) -> dict[str, Resource]:
    """The resources that the program registers with these settings."""
    given = {key.removeprefix("ec2vip:"): value for key, value in settings.items()}
    region = given.pop("aws:region", "us-east-1")
    given = given | {"readyTimeoutMinutes": 0}  # no node reports here
    config = StackConfig.parse(as_pulumi_gives_them(given), region=region, secrets=["ec2vip:encryptionKey"])
    roomy = {
        "aws:ec2/getInstanceType:getInstanceType": {
            "supportedArchitectures": ["x86_64"],
            "maximumIpv4AddressesPerInterface": 4,
        }
    }
    made, _ = record(lambda: FloatingIpPair("ec2vip", pair_args(config)).outputs(), roomy)
    return made


@pytest.mark.parametrize("name", SETTINGS)
def test_aws_takes_every_text_of_a_preview(name: str) -> None:
    assert problems(made_from(SETTINGS[name])) == []


def test_aws_takes_every_text_of_the_committed_stack() -> None:
    assert problems(made_from(yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"])) == []


@pytest.fixture(scope="module")
def everything() -> dict[str, Resource]:
    return made_from(SETTINGS["everything"])


@pytest.mark.parametrize(
    ("name", "changes", "strange"),
    [
        ("ec2vip-from-nodes-https", {"description": "The nodes' agent"}, '"\'" is not taken'),
        ("ec2vip-from-clients-tcp-443", {"description": "The clients' group: tcp-443"}, '"\'" is not taken'),
        ("ec2vip-nodes", {"description": "Naïve"}, "'ï' is not taken"),
        ("ec2vip-reservation-10.0.250.185", {"description": "by name?"}, "'?' is not taken"),
        ("ec2vip-role", {"tags": {"team": "R&D <core>"}}, "'&<>' is not taken"),
        ("ec2vip-role", {"description": "€"}, "'€' is not taken"),
        ("ec2vip-profile", {"tags": {"team": "😀"}}, "'😀' is not taken"),
        ("ec2vip-vpc", {"cidrBlock": "10.0.0.0"}, "10.0.0.0"),
        ("ec2vip-a", {"metadataOptions": {"httpTokens": "perhaps"}}, "perhaps"),
    ],
)
def test_what_aws_does_not_take_is_found_and_the_character_is_named(
    name: str, changes: dict[str, Any], strange: str, everything: dict[str, Resource]
) -> None:
    resource = everything[name]
    changed = dataclasses.replace(resource, inputs={**resource.inputs, **changes})
    found = problems({**everything, name: changed})
    assert any(strange in problem for problem in found), found


def test_a_type_and_an_input_that_nobody_checks_are_errors(everything: dict[str, Resource]) -> None:
    subnet = everything["ec2vip-subnet"]
    with pytest.raises(Unmapped, match="has enableDns64, not in TYPES"):
        template({"x": dataclasses.replace(subnet, inputs={"enableDns64": True})})
    with pytest.raises(Unmapped, match="aws:ec2/eip:Eip of ec2vip-subnet is not in TYPES"):
        template({"x": dataclasses.replace(subnet, type="aws:ec2/eip:Eip")})


def test_ec2_says_the_same_of_a_rules_description_as_of_a_groups() -> None:
    shapes = botocore.loaders.Loader().load_service_model("ec2", "service-2")["shapes"]
    taken = "a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+="
    for shape, member in (("IpRange", "Description"), ("CreateSecurityGroupRequest", "Description")):
        assert taken in shapes[shape]["members"][member]["documentation"], shape
