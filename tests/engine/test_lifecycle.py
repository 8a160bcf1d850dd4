"""One pair from its first `up` to its `destroy`, while the cluster moves the VIP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import Cloud

VIP = "10.0.250.185"
IMAGE = "/aws/service/debian/release/12/latest/amd64"


@pytest.fixture(scope="module")
def pair(cloud: Cloud) -> PulumiStack:
    stack = cloud.stack()
    stack.up()
    return stack


def test_the_first_up_makes_two_nodes_with_their_own_addresses(cloud: Cloud, pair: PulumiStack) -> None:
    nodes = cloud.instances()
    assert {name: node["PrivateIpAddress"] for name, node in nodes.items()} == {
        "ec2vip-a": "10.0.250.186",
        "ec2vip-b": "10.0.250.187",
    }
    for node in nodes.values():
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert node["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert node["PublicIpAddress"]
        (volume,) = cloud.ec2.describe_volumes(VolumeIds=[node["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])[
            "Volumes"
        ]
        assert (volume["Encrypted"], volume["VolumeType"]) == (True, "gp3")


def test_outputs_say_what_was_made(cloud: Cloud, pair: PulumiStack) -> None:
    outputs = pair.outputs()
    nodes = cloud.instances()
    assert set(outputs) == {
        "vip",
        "vips",
        "vipCidr",
        "vpcId",
        "subnetId",
        "nodeIds",
        "nodePrivateIps",
        "securityGroupId",
        "clientSecurityGroupId",
        "roleArn",
        "instanceProfileName",
    }
    assert (outputs["vip"], outputs["vips"], outputs["vipCidr"]) == (VIP, [VIP], f"{VIP}/32")
    assert outputs["nodeIds"] == [nodes["ec2vip-a"]["InstanceId"], nodes["ec2vip-b"]["InstanceId"]]
    assert outputs["nodePrivateIps"] == ["10.0.250.186", "10.0.250.187"]
    assert {n["SecurityGroups"][0]["GroupId"] for n in nodes.values()} == {outputs["securityGroupId"]}
    assert {n["SubnetId"] for n in nodes.values()} == {outputs["subnetId"]}


def test_a_node_is_given_its_user_data_as_it_was_rendered(cloud: Cloud, pair: PulumiStack) -> None:
    declared = {r["urn"].rsplit("::", 1)[1]: r for r in pair.resources()}
    for instance in cloud.emulator.instances():
        assert instance.name is not None
        assert instance.user_data == base64.b64decode(declared[instance.name]["inputs"]["userDataBase64"])
        assert instance.user_data[:2] == b"\x1f\x8b"


def test_no_group_lets_in_or_out_more_than_it_says(cloud: Cloud, pair: PulumiStack) -> None:
    outputs = pair.outputs()
    nodes, clients = outputs["securityGroupId"], outputs["clientSecurityGroupId"]
    rules = {
        (
            rule["GroupId"],
            rule["IsEgress"],
            rule["IpProtocol"],
            rule["FromPort"],
            rule["ToPort"],
            _source(rule),
        )
        for rule in cloud.ec2.describe_security_group_rules()["SecurityGroupRules"]
        if rule["GroupId"] in (nodes, clients)
    }
    assert rules == {
        (nodes, False, "udp", 5405, 5405, nodes),
        (nodes, False, "icmp", 8, -1, "10.0.0.0/16"),
        (nodes, False, "tcp", 80, 80, "10.0.0.0/16"),
        (nodes, False, "icmp", 8, -1, clients),
        (nodes, False, "tcp", 80, 80, clients),
        (nodes, True, "-1", -1, -1, "0.0.0.0/0"),
        (clients, True, "icmp", 8, -1, nodes),
        (clients, True, "tcp", 80, 80, nodes),
    }


def _source(rule: dict[str, Any]) -> str:
    return str(rule.get("CidrIpv4") or rule["ReferencedGroupInfo"]["GroupId"])


def test_a_second_up_changes_nothing(pair: PulumiStack) -> None:
    pair.up()
    assert set(pair.last_changes()) == {"same"}


def test_a_failover_is_no_change_to_refresh_and_up(cloud: Cloud, pair: PulumiStack) -> None:
    cloud.move(VIP, "ec2vip-a")
    pair.up("--skip-preview")
    assert set(pair.last_changes()) == {"same"}
    cloud.move(VIP, "ec2vip-b")
    assert set(pair.refresh()) == {"same"}
    pair.up("--skip-preview")
    assert set(pair.last_changes()) == {"same"}
    assert cloud.holder(VIP) == "ec2vip-b"


def test_a_change_of_tags_leaves_nodes_and_vip_where_they_are(cloud: Cloud, pair: PulumiStack) -> None:
    cloud.move(VIP, "ec2vip-b")
    before = pair.outputs()["nodeIds"]
    pair.configure({"tags": {"team": "payments"}})
    pair.up("--skip-preview")
    assert set(pair.last_changes()) == {"same", "update"}
    assert pair.outputs()["nodeIds"] == before
    assert cloud.holder(VIP) == "ec2vip-b"
    assert {"Key": "team", "Value": "payments"} in cloud.instances()["ec2vip-a"]["Tags"]
    assert pair.preview() == []


def test_a_newer_image_does_not_replace_the_nodes(cloud: Cloud, pair: PulumiStack) -> None:
    with cloud.newer_image(IMAGE) as newer:
        assert newer != cloud.instances()["ec2vip-a"]["ImageId"]
        assert pair.preview() == []


def test_a_node_terminated_behind_pulumis_back_comes_back_under_its_address(
    cloud: Cloud, pair: PulumiStack
) -> None:
    cloud.move(VIP, "ec2vip-b")
    (lost, kept) = pair.outputs()["nodeIds"]
    cloud.ec2.terminate_instances(InstanceIds=[lost])
    assert pair.refresh()["delete"] == 1
    pair.up("--skip-preview")
    (new, still) = pair.outputs()["nodeIds"]
    assert (new != lost, still) == (True, kept)
    assert cloud.instances()["ec2vip-a"]["PrivateIpAddress"] == "10.0.250.186"
    assert cloud.holder(VIP) == "ec2vip-b"


def test_a_node_that_is_lost_after_its_image_was_withdrawn_comes_back_from_another(
    cloud: Cloud, pair: PulumiStack
) -> None:
    cloud.move(VIP, "ec2vip-b")
    (lost, _) = pair.outputs()["nodeIds"]
    old = cloud.instances()["ec2vip-a"]["ImageId"]
    with cloud.newer_image(IMAGE) as newer, cloud.withdrawn_image(old):
        said = " ".join(pair.run("preview").split())
        assert f"image {old}, from which the first up made the nodes, cannot be looked up" in said
        assert f"set ec2vip:amiId to {newer}, the platform's newest" in said
        cloud.ec2.terminate_instances(InstanceIds=[lost])
        pair.refresh()
        with pytest.raises(CommandError) as failed:
            pair.up("--skip-preview")
        assert "InvalidAMIID.NotFound" in failed.value.stdout
        assert cloud.holder(VIP) == "ec2vip-b"
        pair.configure({"amiId": newer})
        cloud.guests.lost.clear()
        pair.up("--skip-preview")
        assert {node["ImageId"] for node in cloud.instances().values()} == {newer}
        assert cloud.guests.lost == []


def test_destroy_after_a_failover_leaves_nothing(cloud: Cloud, pair: PulumiStack) -> None:
    cloud.move(VIP, "ec2vip-a")
    pair.destroy()
    assert cloud.leftovers() == {}
    assert pair.resources() == []
