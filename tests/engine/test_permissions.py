"""The deploying user's policies suffice for everything, and every part of them is needed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from infra.policies import Place, Policy, boundary_policy, create_policy, manage_policy
from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import REGION, Cloud

EVERYTHING: dict[str, Any] = {"ssm": True, "endpoints": True, "platform": "al2023"}
# What is allowed and was not called, with the reason. Whatever is called goes from this list by itself.
UNCALLED = {
    # The program's checks of settings before an `up`.
    "ec2:DescribeAvailabilityZones": "preview",
    "ec2:DescribeInstanceTypeOfferings": "preview",
    "ec2:DescribeNetworkInterfaces": "preview",
    "ec2:DescribeVpcEndpointServices": "preview",
    # pulumi-aws reads these beside what it shows; the lab's stand-in may not.
    "ec2:DescribeInstanceCreditSpecifications": "pulumi-aws",
    "ec2:DescribeNetworkAcls": "pulumi-aws",
    "ec2:DescribePrefixLists": "pulumi-aws",
    "ec2:DescribeTags": "pulumi-aws",
    "iam:ListRolePolicies": "pulumi-aws",
    # Done to mend what others have changed, or in a later version of the program.
    "ec2:AssociateIamInstanceProfile": "drift",
    "ec2:DescribeIamInstanceProfileAssociations": "drift",
    "ec2:DescribeVolumesModifications": "drift",
    "ec2:DisassociateIamInstanceProfile": "drift",
    "ec2:ModifyInstanceMetadataOptions": "drift",
    "ec2:ModifyNetworkInterfaceAttribute": "drift",
    "ec2:ModifySecurityGroupRules": "drift",
    "ec2:ModifyVolume": "drift",
    "ec2:ModifyVpcEndpoint": "drift",
    "ec2:ReplaceIamInstanceProfileAssociation": "drift",
    "ec2:ReplaceRoute": "drift",
    "ec2:ReplaceRouteTableAssociation": "drift",
    "iam:PutRolePermissionsBoundary": "drift",
    "iam:UpdateRole": "drift",
    "iam:UpdateRoleDescription": "drift",
    # Never calls of their own, but asked for beside others.
    "iam:PassRole": "passed on",
    "route53:AssociateVPCWithHostedZone": "passed on",
}


def place_of(cloud: Cloud, **changes: Any) -> Place:
    return Place(**{"account": cloud.emulator.account_id, "region": REGION, "stack": "local", **changes})


def make_boundary(cloud: Cloud, place: Place) -> str:
    """The administrator's part; the ARN."""
    document = json.dumps(boundary_policy(place))
    made = cloud.iam.create_policy(PolicyName=place.boundary_name, PolicyDocument=document)
    arn = str(made["Policy"]["Arn"])
    assert arn == place.boundary_arn
    return arn


def deployer(cloud: Cloud, *policies: Policy) -> tuple[str, str]:
    """A user with these as managed policies; the access key."""
    key = cloud.user("deployer", json.dumps(policies[0]))
    for number, policy in enumerate(policies[1:]):
        made = cloud.iam.create_policy(PolicyName=f"deployer-{number}", PolicyDocument=json.dumps(policy))
        cloud.iam.attach_user_policy(UserName="deployer", PolicyArn=made["Policy"]["Arn"])
    return key


def deployed(cloud: Cloud, **settings: Any) -> PulumiStack:
    """A stack that the user of the printed policies deploys, with the boundary that the administrator made."""
    place = place_of(cloud)
    boundary = make_boundary(cloud, place)
    key = deployer(cloud, create_policy(place), manage_policy(place))
    return cloud.stack(settings={"permissionsBoundary": boundary, **settings}, key=key)


@pytest.fixture(autouse=True)
def _managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the emulated account have AWS's own managed policies, which moto otherwise leaves out."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")


def drift(cloud: Cloud) -> None:
    """What somebody with other rights may change by hand, and an `up --refresh` must put right."""
    node = cloud.instances()["ec2vip-a"]
    iam, ec2 = cloud.iam, cloud.ec2
    ec2.modify_instance_metadata_options(InstanceId=node["InstanceId"], HttpTokens="optional")
    interface = node["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.delete_tags(Resources=[interface], Tags=[{"Key": "ec2vip:pair"}])
    role = next(r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("ec2vip-role"))
    iam.update_role_description(RoleName=role, Description="of others")
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
    stack.configure({"tags": {"group": "payments"}, "publicIps": False, "vip": "10.0.250.200", "clients": []})
    stack.up("--skip-preview")
    by_hand = len(cloud.calls)
    drift(cloud)
    mending = len(cloud.calls)
    stack.refresh()
    stack.up("--skip-preview")
    assert stack.preview() == []
    stack.destroy()
    # The first needs no permission; by the second the nodes take the VIP.
    others = {"sts:GetCallerIdentity", "ec2:AssignPrivateIpAddresses"}
    used = {*cloud.calls[already:by_hand], *cloud.calls[mending:]} - others
    assert cloud.leftovers() == {}
    statements = [
        s for policy in (create_policy, manage_policy) for s in policy(place_of(cloud))["Statement"]
    ]
    allowed = {action for statement in statements for action in statement["Action"]}
    assert allowed - used - UNCALLED.keys() == set()
    assert used <= allowed


def test_a_pair_in_a_users_own_subnet_needs_no_more_than_the_policies_for_it(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        cloud.ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.250.0/24")["Subnet"]["SubnetId"]
    place = place_of(cloud, vpc=vpc, subnet=subnet)
    boundary = make_boundary(cloud, place)
    here = {"vpcCidr": None, "subnetCidr": None, "subnetId": subnet, "publicIps": False, "endpoints": True}
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
