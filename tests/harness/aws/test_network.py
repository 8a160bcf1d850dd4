"""Groups, gateways, placement groups, images: the parts of a stack, and the order in which they go."""

from __future__ import annotations

from tests.aws.emulator import GroupRule

from .conftest import NODE_A, Cloud, allow, error_of


def group(cloud: Cloud, name: str) -> str:
    made = cloud.ec2.create_security_group(GroupName=name, Description=name, VpcId=cloud.vpc_id)
    return str(made["GroupId"])


def test_rules_are_told_as_the_data_plane_needs_them(cloud: Cloud) -> None:
    nodes, clients = group(cloud, "nodes"), group(cloud, "clients")
    cloud.ec2.revoke_security_group_egress(
        GroupId=nodes, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    cloud.ec2.authorize_security_group_ingress(
        GroupId=nodes,
        IpPermissions=[
            {"IpProtocol": "udp", "FromPort": 5405, "ToPort": 5405, "UserIdGroupPairs": [{"GroupId": nodes}]},
            {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "UserIdGroupPairs": [{"GroupId": clients}]},
        ],
    )
    cloud.ec2.authorize_security_group_egress(
        GroupId=nodes,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        ],
    )
    found = {rule for rule in cloud.emulator.rules() if rule.group_id == nodes}
    assert found == {
        GroupRule(nodes, "ingress", "udp", 5405, 5405, None, nodes),
        GroupRule(nodes, "ingress", "icmp", 8, -1, None, clients),
        GroupRule(nodes, "egress", "tcp", 443, 443, "10.0.0.0/8", None),
    }


def test_a_new_group_lets_everything_out_and_nothing_in(cloud: Cloud) -> None:
    made = group(cloud, "nodes")
    found = [rule for rule in cloud.emulator.rules() if rule.group_id == made]
    assert found == [GroupRule(made, "egress", "-1", None, None, "0.0.0.0/0", None)]


def test_a_group_in_use_or_named_by_a_rule_cannot_be_deleted(cloud: Cloud) -> None:
    used, named, other = (group(cloud, name) for name in ("used", "named", "other"))
    instance_id = cloud.launch(NODE_A, SecurityGroupIds=[used])
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": named}]}
    cloud.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[permission])
    for group_id in (used, named):
        assert error_of(cloud.ec2.delete_security_group, GroupId=group_id)[:2] == (
            "DependencyViolation",
            f"resource {group_id} has a dependent object",
        )
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    cloud.ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[permission])
    for group_id in (used, named, other):
        cloud.ec2.delete_security_group(GroupId=group_id)


def test_a_subnet_with_an_interface_and_a_vpc_with_a_gateway_cannot_be_deleted(cloud: Cloud) -> None:
    gateway = cloud.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    cloud.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=cloud.vpc_id)
    cloud.ec2.modify_subnet_attribute(SubnetId=cloud.subnet_id, MapPublicIpOnLaunch={"Value": True})
    instance_id = cloud.launch(NODE_A)
    assert cloud.interface(instance_id).public_ip is not None
    subnet, vpc = {"SubnetId": cloud.subnet_id}, {"VpcId": cloud.vpc_id}
    assert error_of(cloud.ec2.delete_subnet, **subnet)[0] == "DependencyViolation"
    detach = {"InternetGatewayId": gateway, **vpc}
    assert "mapped public address" in error_of(cloud.ec2.detach_internet_gateway, **detach)[1]
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    cloud.ec2.delete_subnet(**subnet)
    assert error_of(cloud.ec2.delete_vpc, **vpc)[0] == "DependencyViolation"
    cloud.ec2.detach_internet_gateway(**detach)
    cloud.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    cloud.ec2.delete_vpc(**vpc)


def test_a_placement_group_lives_as_long_as_its_instances_need_it(cloud: Cloud) -> None:
    made = cloud.ec2.create_placement_group(
        GroupName="pair",
        Strategy="spread",
        TagSpecifications=[{"ResourceType": "placement-group", "Tags": [{"Key": "Name", "Value": "p"}]}],
    )["PlacementGroup"]
    assert (made["State"], made["Strategy"], made["SpreadLevel"]) == ("available", "spread", "rack")
    assert made["Tags"] == [{"Key": "Name", "Value": "p"}]
    assert (
        error_of(cloud.ec2.create_placement_group, GroupName="pair")[0] == "InvalidPlacementGroup.Duplicate"
    )
    instance_id = cloud.launch(Placement={"GroupName": "pair"})
    shown = cloud.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    assert shown["Placement"]["GroupName"] == "pair"
    assert cloud.metadata(instance_id).get("meta-data/placement/group-name") == "pair"
    assert error_of(cloud.ec2.delete_placement_group, GroupName="pair")[0] == "InvalidPlacementGroup.InUse"
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    cloud.ec2.delete_placement_group(GroupName="pair")
    unknown = error_of(cloud.ec2.describe_placement_groups, GroupNames=["pair"])
    assert unknown[0] == "InvalidPlacementGroup.Unknown"
    assert error_of(cloud.launch, Placement={"GroupName": "pair"})[0] == "InvalidPlacementGroup.Unknown"


def test_the_public_parameters_name_images_that_exist(cloud: Cloud) -> None:
    ssm = cloud.client("ssm")
    for name in (
        "/aws/service/debian/release/12/latest/amd64",
        "/aws/service/debian/release/13/latest/amd64",
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    ):
        image_id = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        (image,) = cloud.ec2.describe_images(ImageIds=[image_id])["Images"]
        assert (image["State"], image["Architecture"]) == ("available", "x86_64")
    found = cloud.ec2.describe_images(
        Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}]
    )["Images"]
    assert [image["RootDeviceName"] for image in found] == ["/dev/xvda"]


def test_what_ec2_does_not_know_is_an_invalid_action(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2", **cloud.user("any", allow("*")))
    assert error_of(ec2.describe_capacity_blocks)[0] == "InvalidAction"
