"""The deployer's policies suffice for everything, and every part of them is needed."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest

from infra.policies import Place, Policy, boundary_policy, create_policy, manage_policy
from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import ZONE, Cloud

pytestmark = pytest.mark.usefixtures("managed_policies")

EVERYTHING: dict[str, Any] = {"ssm": True, "endpoints": True, "platform": "al2023", "availabilityZone": None}
# The actions that are allowed but not called, and why. An action that a test does call must leave this table.
UNCALLED = {
    # Taking a profile off a stopped node: an `up` refuses to go on with such a node.
    "ec2:DisassociateIamInstanceProfile": "drift",
    # A role's session length, drifted: moto's UpdateRole then drops the description, so no preview is empty.
    "iam:UpdateRole": "drift",
    # Another route table (`up --replace`): the association gets another id, which Pulumi does not learn.
    "ec2:ReplaceRouteTableAssociation": "replaced",
    # AWS checks these beside other actions; nobody calls them.
    "iam:PassRole": "passed on",
    "route53:AssociateVPCWithHostedZone": "passed on",
}


def place_of(cloud: Cloud, **changes: Any) -> Place:
    partition = boto3.Session().get_partition_for_region(cloud.region)
    here = {"account": cloud.emulator.account_id, "region": cloud.region, "partition": partition}
    return Place(**{**here, "stack": "local", **changes})


def make_boundary(cloud: Cloud, place: Place) -> str:
    """Create the boundary policy, as an administrator would; returns its ARN."""
    document = json.dumps(boundary_policy(place))
    made = cloud.iam.create_policy(PolicyName=place.boundary_name, PolicyDocument=document)
    arn = str(made["Policy"]["Arn"])
    assert arn == place.boundary_arn
    return arn


def deployer(cloud: Cloud, *policies: Policy) -> tuple[str, str]:
    """Create a user with these managed policies; returns its access key."""
    key = cloud.user("deployer", json.dumps(policies[0]))
    for number, policy in enumerate(policies[1:]):
        made = cloud.iam.create_policy(PolicyName=f"deployer-{number}", PolicyDocument=json.dumps(policy))
        cloud.iam.attach_user_policy(UserName="deployer", PolicyArn=made["Policy"]["Arn"])
    return key


def deployed(cloud: Cloud, **settings: Any) -> PulumiStack:
    """A stack deployed by a user with the printed policies and with the administrator's boundary."""
    place = place_of(cloud)
    boundary = make_boundary(cloud, place)
    key = deployer(cloud, create_policy(place), manage_policy(place))
    return cloud.stack(settings={"permissionsBoundary": boundary, **settings}, key=key)


def drift(cloud: Cloud) -> str:
    """Change by hand what `up --refresh` must undo; returns the security group that it used."""
    ec2 = cloud.ec2
    node = cloud.instances()["ec2vip-a"]
    node_id, vpc_id = node["InstanceId"], node["VpcId"]
    ec2.modify_instance_metadata_options(InstanceId=node_id, HttpTokens="optional")
    interface = node["NetworkInterfaces"][0]["NetworkInterfaceId"]
    # We untag the other node's interface: the deployer may not change an interface without the pair's tag.
    other = cloud.instances()["ec2vip-b"]
    ec2.delete_tags(
        Resources=[other["NetworkInterfaces"][0]["NetworkInterfaceId"]], Tags=[{"Key": "ec2vip:pair"}]
    )
    theirs = ec2.create_security_group(GroupName="theirs", Description="Of others", VpcId=vpc_id)["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[theirs])
    volume = node["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    ec2.modify_volume(VolumeId=volume, VolumeType="gp2")
    _change_profile(cloud, node_id, other["InstanceId"])
    (endpoint,) = (
        e for e in ec2.describe_vpc_endpoints()["VpcEndpoints"] if e["ServiceName"].endswith(".ec2")
    )
    # We leave the endpoint's groups alone: the policies let nobody add or remove a group of others there.
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PrivateDnsEnabled=False)
    _change_rule_and_route(cloud, vpc_id, interface)
    _change_role(cloud)
    return str(theirs)


def _change_profile(cloud: Cloud, *instance_ids: str) -> None:
    """Give the first instance another profile, and the second none."""
    cloud.iam.create_instance_profile(InstanceProfileName="theirs")
    replaced, ended = (
        cloud.ec2.describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [instance_id]}]
        )["IamInstanceProfileAssociations"][0]["AssociationId"]
        for instance_id in instance_ids
    )
    cloud.ec2.replace_iam_instance_profile_association(
        AssociationId=replaced, IamInstanceProfile={"Name": "theirs"}
    )
    cloud.ec2.disassociate_iam_instance_profile(AssociationId=ended)


def _change_rule_and_route(cloud: Cloud, vpc_id: str, interface: str) -> None:
    (rule,) = (
        r for r in cloud.ec2.describe_security_group_rules()["SecurityGroupRules"] if r["FromPort"] == 5405
    )
    changed = {
        "IpProtocol": "udp",
        "FromPort": 5405,
        "ToPort": 5405,
        "ReferencedGroupId": rule["GroupId"],
        "Description": "Of others",
    }
    cloud.ec2.modify_security_group_rules(
        GroupId=rule["GroupId"],
        SecurityGroupRules=[
            {"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": changed}
        ],
    )
    here = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "tag:Name", "Values": ["ec2vip-routes"]}]
    (table,) = cloud.ec2.describe_route_tables(Filters=here)["RouteTables"]
    cloud.ec2.replace_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=interface
    )


def _change_role(cloud: Cloud) -> None:
    iam = cloud.iam
    role = next(r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("ec2vip-role"))
    iam.update_role_description(RoleName=role, Description="Of others")
    iam.delete_role_permissions_boundary(RoleName=role)


def test_the_policies_are_enough_from_up_to_destroy_and_have_nothing_idle(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    stack = deployed(cloud, **EVERYTHING)
    already = len(cloud.calls)
    stack.configure_secret("encryptionKey", base64.b64encode(bytes(256)).decode())
    stack.up("--skip-preview")
    assert stack.preview() == []
    stack.configure({"tags": {"team": "payments"}, "instanceType": "t3.small"})
    stack.up("--skip-preview")
    by_hand = len(cloud.calls)
    theirs = drift(cloud)
    mending = len(cloud.calls)
    stack.refresh()
    stack.up("--skip-preview")
    assert stack.preview() == []
    cloud.ec2.delete_security_group(GroupId=theirs)
    stack.configure({"tags": {"group": "payments"}, "publicIps": False, "vip": "10.0.250.200", "clients": []})
    stack.up("--skip-preview")
    stack.destroy()
    # GetCallerIdentity needs no permission; the nodes, not the deployer, assign the VIP.
    others = {"sts:GetCallerIdentity", "ec2:AssignPrivateIpAddresses"}
    used = {*cloud.calls[already:by_hand], *cloud.calls[mending:]} - others
    left = cloud.leftovers()
    assert {kind: len(ids) for kind, ids in left.items()} == {"profiles": 1}  # theirs
    statements = [
        s for policy in (create_policy, manage_policy) for s in policy(place_of(cloud))["Statement"]
    ]
    allowed = {action for statement in statements for action in statement["Action"]}
    assert allowed - used == UNCALLED.keys()
    assert used <= allowed


def test_a_pair_in_a_users_own_subnet_needs_no_more_than_the_policies_for_it(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        cloud.ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.250.0/24", AvailabilityZone=ZONE)["Subnet"][
        "SubnetId"
    ]
    place = place_of(cloud, vpc=vpc, subnet=subnet)
    boundary = make_boundary(cloud, place)
    gone = dict.fromkeys(("vpcCidr", "subnetCidr", "availabilityZone"))
    here = {**gone, "subnetId": subnet, "publicIps": False, "endpoints": True}
    stack = cloud.stack(
        settings={**here, "permissionsBoundary": boundary},
        key=deployer(cloud, create_policy(place), manage_policy(place)),
    )
    stack.up("--skip-preview")
    assert stack.preview() == []
    stack.destroy()


@pytest.mark.parametrize("sid", ["SeeImages", "HandRoleToNodes", "TagInterfaces"])
def test_without_a_part_of_it_the_up_is_refused_in_awss_words(sid: str, fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    place = place_of(cloud)
    policies = [create_policy(place), manage_policy(place)]
    for policy in policies:
        policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] != sid]
    stack = cloud.stack(
        settings={"permissionsBoundary": make_boundary(cloud, place)}, key=deployer(cloud, *policies)
    )
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    said = caught.value.stdout + caught.value.stderr
    assert "not authorized to perform" in said


def test_without_the_boundary_no_role_is_made_and_awss_words_name_the_action(fresh_cloud: Cloud) -> None:
    stack = deployed(fresh_cloud, permissionsBoundary=None)
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    said = caught.value.stdout + caught.value.stderr
    assert "is not authorized to perform: iam:CreateRole" in said
    assert "roles" not in fresh_cloud.leftovers()


def test_an_administrator_needs_no_boundary(fresh_cloud: Cloud) -> None:
    stack = fresh_cloud.stack()
    stack.up("--skip-preview")
    (role,) = (r for r in fresh_cloud.iam.list_roles()["Roles"] if r["Path"] == "/ec2vip/local/ec2vip/")
    assert "PermissionsBoundary" not in role
