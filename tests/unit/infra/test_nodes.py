"""The two instances: what they are made from, what their user data say, and what replaces them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from ipaddress import IPv4Address
from typing import Any

import pytest
from pulumi.runtime import rpc

from cloudinit import userdata
from cloudinit.spec import Service
from infra.errors import ConfigError
from infra.identity import KEY_PART, parameter_name
from infra.nodes import SPREAD, expected_arn
from infra.pair import FloatingIpPair
from tests.unit.cloudinit.conftest import make_spec

from .recording import (
    ACCOUNT,
    EVERYTHING,
    IMAGE,
    KEY,
    REGION,
    VIP,
    of_type,
    pair_args,
    program,
    record,
    record_pair,
)

TWO_MORE = (IPv4Address("10.0.250.190"), IPv4Address("10.0.250.191"))
ROOMY = {
    "aws:ec2/getInstanceType:getInstanceType": {
        "supportedArchitectures": ["x86_64"],
        "maximumIpv4AddressesPerInterface": 4,
    }
}


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


def test_root_volumes_are_tagged_like_their_instances() -> None:
    made, _ = record_pair(tags={"team": "payments"})
    tags = made["ec2vip-b"].inputs["volumeTags"]
    assert tags == {"team": "payments", "Name": "ec2vip-b-root", "ec2vip:pair": "ec2vip/test/ec2vip"}


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


def test_a_gateway_may_pass_on_packets_of_others() -> None:
    made, _ = record_pair(source_dest_check=False)
    assert [node.inputs["sourceDestCheck"] for node in of_type(made, ":Instance")] == [False, False]


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


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"supportedArchitectures": ["x86_64"], "maximumIpv4AddressesPerInterface": 1},
            "has room for 1 IPv4 address per interface, but a node needs 2",
        ),
        ({"supportedArchitectures": ["i386"], "maximumIpv4AddressesPerInterface": 2}, "is for i386"),
    ],
)
def test_an_instance_type_that_cannot_do_it_is_refused(facts: dict[str, Any], said: str) -> None:
    answers = {"aws:ec2/getInstanceType:getInstanceType": facts}
    with pytest.raises(ConfigError, match=said):
        record(lambda: FloatingIpPair("ec2vip", pair_args()), answers)


def test_more_vips_than_an_interface_has_room_for_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"room for 2 IPv4 addresses per interface, but a node needs 3.*vips"
    ):
        record(lambda: FloatingIpPair("ec2vip", pair_args(vips=(VIP, *TWO_MORE[:1]))))


def text_of(node: Any) -> str:
    """A node's user data, unpacked."""
    return gzip.decompress(base64.b64decode(node.inputs["userDataBase64"])).decode()


def test_each_vip_is_reserved_told_to_the_nodes_and_given_out() -> None:
    made, given = record(lambda: FloatingIpPair("ec2vip", pair_args(vips=(VIP, *TWO_MORE))).outputs(), ROOMY)
    assert made["ec2vip-reservation-10.0.250.190"].inputs["cidrBlock"] == "10.0.250.190/32"
    assert made["ec2vip-reservation-10.0.250.191"].inputs["cidrBlock"] == "10.0.250.191/32"
    assert (given["vip"], given["vipCidr"]) == ("10.0.250.185", "10.0.250.185/32")
    assert given["vips"] == ["10.0.250.185", "10.0.250.190", "10.0.250.191"]
    for node in of_type(made, ":Instance"):
        assert "VIPS=(10.0.250.185 10.0.250.190 10.0.250.191)\n" in text_of(node)


def test_services_reach_the_nodes() -> None:
    made, _ = record_pair(services=(Service(name="nginx", agent="systemd:nginx", packages=("nginx-light",)),))
    for node in of_type(made, ":Instance"):
        assert "SERVICE_UNITS=(nginx.service)\n" in text_of(node)
        assert "SERVICE_PACKAGES=(nginx-light)\n" in text_of(node)
        assert "setting resource group add vip-group vip nginx\n" in text_of(node)


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
    """The installer that the nodes fetch; the provider's package makes every parameter's value a secret."""
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


def test_user_data_fits_with_everything_on() -> None:
    made, _ = record_pair(**EVERYTHING)
    for node in of_type(made, ":Instance"):
        assert len(base64.b64decode(node.inputs["userDataBase64"])) <= 15_700  # of 16,384


@pytest.mark.parametrize("key", [None, KEY], ids=["in the clear", "encrypted"])
def test_user_data_that_is_too_large_is_refused_with_what_makes_it_so(key: bytes | None) -> None:
    noise = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(200))
    service = Service(name="x", agent="ocf:heartbeat:Dummy", parameters={"state": noise})
    with pytest.raises(ConfigError) as caught:
        record(program(services=(service,), encryption_key=key))
    (problem,) = caught.value.problems
    assert problem.startswith("services makes the nodes' user data too large: its 1 entries take about ")
    assert "of 16384 bytes, compressed; shorten the packages and parameters in ec2vip:services" in problem


@pytest.mark.parametrize("full_name", ["ec2vip/test/ec2vip", hashlib.shake_256(b"").hexdigest(100)])
def test_a_preview_takes_user_data_for_no_smaller_than_the_up_makes_them(full_name: str) -> None:
    """The ARN is known only when the parameter is made, and the nodes then fail if the user data are too large."""
    name = parameter_name(full_name, KEY_PART)
    before, after = (
        len(userdata.render(make_spec(key_parameter=arn, key_digest="0123456789abcdef")))
        for arn in (expected_arn(name), f"arn:aws:ssm:us-east-1:123456789012:parameter{name}")
    )
    assert before + SPREAD >= after


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
