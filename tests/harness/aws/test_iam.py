"""Who may do what: instance roles, users, the administrator, and invalid credentials."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.emulator import Settings

from .conftest import NODE_A, NODE_B, VIP, Cloud, allow, document, error_of

ASSIGN, UNASSIGN = "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"
FIRST_SENTENCE = "You are not authorized to perform this operation."


def node_with(cloud: Cloud, *statements: dict[str, Any], address: str = NODE_A) -> str:
    cloud.role("node", *statements)
    return cloud.launch(address, IamInstanceProfile={"Name": "node"})


def test_a_role_does_what_its_policy_allows_and_nothing_else(cloud: Cloud) -> None:
    instance_id = node_with(cloud, allow([ASSIGN, "ec2:DescribeNetworkInterfaces"]))
    node, eni = cloud.node(instance_id), cloud.eni(instance_id)
    node.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])
    assert node.describe_network_interfaces()["NetworkInterfaces"]
    found = error_of(node.unassign_private_ip_addresses, NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])
    arn = f"arn:aws:sts::{cloud.emulator.account_id}:assumed-role/node/{instance_id}"
    resource = cloud.arn("network-interface", eni)
    assert found == (
        "UnauthorizedOperation",
        f"{FIRST_SENTENCE} User: {arn} is not authorized to perform: {UNASSIGN} on resource: {resource} "
        f"because no identity-based policy allows the {UNASSIGN} action.",
        403,
    )
    assert cloud.described(eni) == [NODE_A, VIP]


def test_a_denied_describe_says_its_first_sentence_only(cloud: Cloud) -> None:
    node = cloud.node(node_with(cloud))
    assert error_of(node.describe_network_interfaces) == ("UnauthorizedOperation", FIRST_SENTENCE, 403)


def test_an_explicit_deny_is_told_apart(cloud: Cloud) -> None:
    deny = {"Effect": "Deny", "Action": ASSIGN, "Resource": "*"}
    instance_id = node_with(cloud, allow("ec2:*"), deny)
    _, message, _ = error_of(
        cloud.node(instance_id).assign_private_ip_addresses,
        NetworkInterfaceId=cloud.eni(instance_id),
        PrivateIpAddresses=[VIP],
    )
    assert message.endswith("with an explicit deny in an identity-based policy.")


def test_a_role_may_do_what_its_policies_and_its_boundary_both_allow(cloud: Cloud) -> None:
    instance_id = node_with(cloud, allow("ec2:*"))
    iam, eni, node = cloud.client("iam"), cloud.eni(instance_id), cloud.node(instance_id)
    give = {"NetworkInterfaceId": eni, "PrivateIpAddresses": [VIP]}
    deny = {"Effect": "Deny", "Action": UNASSIGN, "Resource": "*"}
    text = document(allow([ASSIGN, UNASSIGN]), deny)
    boundary = iam.create_policy(PolicyName="most", PolicyDocument=text)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="node", PermissionsBoundary=boundary)
    node.assign_private_ip_addresses(**give)
    code, message, _ = error_of(node.reboot_instances, InstanceIds=[instance_id])
    assert code == "UnauthorizedOperation"
    assert message.endswith("because no permissions boundary allows the ec2:RebootInstances action.")
    _, message, _ = error_of(node.unassign_private_ip_addresses, **give)
    assert message.endswith("with an explicit deny in a permissions boundary.")
    iam.delete_role_permissions_boundary(RoleName="node")
    node.unassign_private_ip_addresses(**give)


def test_the_conditions_of_iam_know_a_roles_path_and_boundary(cloud: Cloud) -> None:
    iam, text = cloud.client("iam"), document(allow("*"))
    made = iam.create_policy(PolicyName="most", PolicyDocument=text)["Policy"]["Arn"]
    arn = f"arn:aws:iam::{cloud.emulator.account_id}:role/team/*"
    bounded = {"StringEquals": {"iam:PermissionsBoundary": made}}
    user = cloud.user("maker", allow(["iam:CreateRole", "iam:PutRolePolicy"], arn, **bounded))
    theirs = cloud.client("iam", **user)
    role: dict[str, Any] = {"RoleName": "ours", "Path": "/team/", "AssumeRolePolicyDocument": text}
    assert error_of(theirs.create_role, **role)[0] == "AccessDenied"
    assert (
        error_of(theirs.create_role, **{**role, "Path": "/", "PermissionsBoundary": made})[0]
        == "AccessDenied"
    )
    theirs.create_role(**role, PermissionsBoundary=made)
    fill = {"RoleName": "ours", "PolicyName": "p", "PolicyDocument": text}
    theirs.put_role_policy(**fill)
    iam.delete_role_permissions_boundary(RoleName="ours")
    assert error_of(theirs.put_role_policy, **fill)[0] == "AccessDenied"


def test_the_resource_of_an_assign_is_its_interface(cloud: Cloud) -> None:
    other = cloud.eni(cloud.launch(NODE_B))
    instance_id = node_with(cloud)
    own = cloud.eni(instance_id)
    cloud.client("iam").put_role_policy(
        RoleName="node",
        PolicyName="own",
        PolicyDocument=document(allow(ASSIGN, cloud.arn("network-interface", own))),
    )
    node = cloud.node(instance_id)
    assert (
        error_of(node.assign_private_ip_addresses, NetworkInterfaceId=other, PrivateIpAddresses=[VIP])[0]
        == "UnauthorizedOperation"
    )
    node.assign_private_ip_addresses(NetworkInterfaceId=own, PrivateIpAddresses=[VIP])


@pytest.mark.parametrize(
    ("operator", "key", "kind"),
    [("ArnEquals", "ec2:Subnet", "subnet"), ("StringLike", "ec2:Vpc", "vpc"), ("ArnLike", "ec2:Vpc", "vpc")],
)
def test_conditions_on_subnet_and_vpc_are_enforced(cloud: Cloud, operator: str, key: str, kind: str) -> None:
    elsewhere = cloud.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    outside = cloud.ec2.create_subnet(
        VpcId=elsewhere, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a"
    )["Subnet"]["SubnetId"]
    here = cloud.arn(kind, cloud.subnet_id if kind == "subnet" else cloud.vpc_id)
    instance_id = node_with(
        cloud, allow(ASSIGN, cloud.arn("network-interface", "*"), **{operator: {key: here}})
    )
    node = cloud.node(instance_id)
    foreign = cloud.eni(cloud.launch(SubnetId=outside))
    denied = error_of(
        node.assign_private_ip_addresses, NetworkInterfaceId=foreign, PrivateIpAddresses=["10.9.1.99"]
    )
    assert denied[0] == "UnauthorizedOperation"
    node.assign_private_ip_addresses(NetworkInterfaceId=cloud.eni(instance_id), PrivateIpAddresses=[VIP])


@pytest.mark.parametrize("prefix", ["aws", "ec2"])
def test_conditions_on_the_tags_of_an_interface_are_enforced(cloud: Cloud, prefix: str) -> None:
    instance_id = node_with(cloud, allow(ASSIGN, StringEquals={f"{prefix}:ResourceTag/Pair": "web"}))
    eni = cloud.eni(instance_id)
    given = {"NetworkInterfaceId": eni, "PrivateIpAddresses": [VIP]}
    node = cloud.node(instance_id)
    assert error_of(node.assign_private_ip_addresses, **given)[0] == "UnauthorizedOperation"
    cloud.ec2.create_tags(Resources=[eni], Tags=[{"Key": "Pair", "Value": "web"}])
    node.assign_private_ip_addresses(**given)


def test_a_condition_on_the_region_is_enforced_on_describe(cloud: Cloud) -> None:
    far = allow("ec2:DescribeNetworkInterfaces", StringEquals={"ec2:Region": "eu-west-1"})
    node = cloud.node(node_with(cloud, far))
    assert error_of(node.describe_network_interfaces)[0] == "UnauthorizedOperation"
    near = allow("ec2:DescribeNetworkInterfaces", StringEquals={"ec2:Region": "us-east-1"})
    cloud.client("iam").put_role_policy(RoleName="node", PolicyName="given", PolicyDocument=document(near))
    assert node.describe_network_interfaces()["NetworkInterfaces"]


def test_a_resource_named_for_describe_allows_nothing(cloud: Cloud) -> None:
    statement = allow("ec2:DescribeNetworkInterfaces", cloud.arn("network-interface", "*"))
    node = cloud.node(node_with(cloud, statement))
    assert error_of(node.describe_network_interfaces)[0] == "UnauthorizedOperation"


def test_attached_managed_policies_count(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    instance_id = node_with(cloud)
    made = iam.create_policy(PolicyName="m", PolicyDocument=document(allow("ec2:Describe*")))["Policy"]["Arn"]
    node = cloud.node(instance_id)
    assert error_of(node.describe_network_interfaces)[0] == "UnauthorizedOperation"
    iam.attach_role_policy(RoleName="node", PolicyArn=made)
    node.describe_network_interfaces()
    iam.detach_role_policy(RoleName="node", PolicyArn=made)
    assert error_of(node.describe_network_interfaces)[0] == "UnauthorizedOperation"


def test_who_i_am_needs_no_permission(cloud: Cloud) -> None:
    instance_id = node_with(cloud)
    found = cloud.node(instance_id, "sts").get_caller_identity()
    assert found["Arn"] == f"arn:aws:sts::{cloud.emulator.account_id}:assumed-role/node/{instance_id}"
    assert found["Account"] == cloud.emulator.account_id


def test_expired_role_credentials_are_refused(new_cloud: Callable[..., Cloud]) -> None:
    ahead = 0.0
    cloud = new_cloud(Settings(credential_lifetime_s=600, clock_skew_s=1e12), clock=lambda: 1.8e9 + ahead)
    instance_id = node_with(cloud, allow("ec2:Describe*"))
    node, sts = cloud.node(instance_id), cloud.node(instance_id, "sts")
    ahead = 599
    node.describe_network_interfaces()
    ahead = 600
    assert error_of(node.describe_network_interfaces) == ("RequestExpired", "Request has expired.", 400)
    assert error_of(sts.get_caller_identity)[0] == "ExpiredToken"
    cloud.node(instance_id).describe_network_interfaces()


def test_a_request_stamped_more_than_five_minutes_away_is_refused(new_cloud: Callable[..., Cloud]) -> None:
    off = [0.0]
    cloud = new_cloud(clock=lambda: time.time() + off[0])
    for off[0] in (270.0, -270.0):
        cloud.ec2.describe_network_interfaces()
    for off[0] in (330.0, -330.0):
        assert error_of(cloud.ec2.describe_network_interfaces)[0] == "RequestExpired"


@pytest.mark.parametrize("wrong", ["key", "secret", "token"])
def test_credentials_that_do_not_hold_are_refused(cloud: Cloud, wrong: str) -> None:
    good = cloud.credentials(node_with(cloud, allow("*")))
    given = {"key": good["AccessKeyId"], "secret": good["SecretAccessKey"], "token": good["Token"]}
    cloud.client("ec2", **given).describe_network_interfaces()
    given[wrong] = {"key": "ASIAABCDEFGHIJKLMNOP", "secret": "x" * 40, "token": "x" * 80}[wrong]
    assert error_of(cloud.client("ec2", **given).describe_network_interfaces) == (
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        401,
    )


def test_the_credentials_of_a_deleted_role_are_refused(cloud: Cloud) -> None:
    node = cloud.node(node_with(cloud, allow("*")))
    node.describe_network_interfaces()
    iam = cloud.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="node")
    iam.delete_role_policy(RoleName="node", PolicyName="given")
    iam.delete_role(RoleName="node")
    assert error_of(node.describe_network_interfaces)[0] == "AuthFailure"


@pytest.mark.parametrize("key_id", ["administrator", "test", "AKIAABCDEFGHIJKLMNOP"])
def test_a_key_that_nobody_was_given_is_nobody_in_every_service(cloud: Cloud, key_id: str) -> None:
    ec2, iam, ssm, sts = (cloud.client(name, key_id, "secret") for name in ("ec2", "iam", "ssm", "sts"))
    assert error_of(ec2.describe_vpcs)[0] == "AuthFailure"
    for call in (iam.list_roles, ssm.describe_parameters, sts.get_caller_identity):
        assert error_of(call)[0] == "InvalidClientTokenId"


def test_the_administrators_secret_is_another_one_each_time_and_verified(
    new_cloud: Callable[..., Cloud],
) -> None:
    one, other = new_cloud(), new_cloud()
    key_id, secret = one.emulator.administrator
    assert error_of(one.client("ec2", key_id, "wrong").describe_vpcs)[0] == "AuthFailure"
    assert error_of(one.client("iam", key_id, "wrong").list_roles)[0] == "SignatureDoesNotMatch"
    assert error_of(other.client("ec2", key_id, secret).describe_vpcs)[0] == "AuthFailure"
    assert len(secret) >= 40
    assert secret not in repr(one.events)


def test_an_unsigned_request_is_refused(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{cloud.api.url}/?Action=DescribeVpcs&Version=2016-11-15", timeout=20)  # noqa: S310
    assert raised.value.code == 403


def test_the_administrator_may_do_everything(cloud: Cloud) -> None:
    assert cloud.client("sts").get_caller_identity()["Arn"].endswith(":root")
    cloud.client("iam").create_user(UserName="anyone")
    cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")


def test_a_users_policies_are_enforced_in_every_service(cloud: Cloud) -> None:
    who = cloud.user("deployer", allow(["ec2:CreateVpc", "ec2:Describe*"]), allow("ssm:GetParameter"))
    ec2, iam, ssm = (cloud.client(name, **who) for name in ("ec2", "iam", "ssm"))
    ec2.create_vpc(CidrBlock="10.1.0.0/16")
    assert error_of(ec2.delete_vpc, VpcId=cloud.vpc_id)[0] == "UnauthorizedOperation"
    code, message, status = error_of(iam.create_role, RoleName="r", AssumeRolePolicyDocument="{}")
    account = cloud.emulator.account_id
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        f"User: arn:aws:iam::{account}:user/deployer is not authorized to perform: iam:CreateRole "
        f"on resource: arn:aws:iam::{account}:role/r "
        "because no identity-based policy allows the iam:CreateRole action"
    )
    ssm.get_parameter(Name="/aws/service/debian/release/12/latest/amd64")
    assert error_of(ssm.put_parameter, Name="/x", Value="y", Type="String")[0] == "AccessDeniedException"


def test_public_parameters_belong_to_no_account(cloud: Cloud) -> None:
    public = "arn:aws:ssm:us-east-1::parameter/aws/service/*"
    ssm = cloud.client("ssm", **cloud.user("reader", allow("ssm:GetParameter", public)))
    ssm.get_parameter(Name="/aws/service/debian/release/12/latest/amd64")
    assert error_of(ssm.get_parameter, Name="/mine")[0] == "AccessDeniedException"


def test_launching_with_a_profile_needs_the_right_to_pass_its_role(cloud: Cloud) -> None:
    cloud.role("node")
    who = cloud.user("deployer", allow("ec2:*"))
    ec2 = cloud.client("ec2", **who)
    request = cloud.request(IamInstanceProfile={"Name": "node"})
    code, message, _ = error_of(ec2.run_instances, **request)
    assert code == "UnauthorizedOperation"
    assert "iam:PassRole on resource: arn:aws:iam::" in message
    role = f"arn:aws:iam::{cloud.emulator.account_id}:role/node"
    passes = allow("iam:PassRole", role, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    cloud.client("iam").put_user_policy(
        UserName="deployer", PolicyName="passes", PolicyDocument=document(passes)
    )
    ec2.run_instances(**request)


@pytest.mark.parametrize("missing", ["subnet", "image", "security-group", "instance", "network-interface"])
def test_a_launch_needs_every_resource_it_touches(cloud: Cloud, missing: str) -> None:
    made = cloud.ec2.create_security_group(GroupName="g", Description="g", VpcId=cloud.vpc_id)
    kinds = {"subnet", "image", "security-group", "instance", "network-interface", "volume"} - {missing}
    resources = [f"arn:aws:ec2:us-east-1:*:{kind}/*" for kind in kinds]
    ec2 = cloud.client("ec2", **cloud.user("deployer", allow("ec2:RunInstances", resources)))
    code, message, _ = error_of(ec2.run_instances, **cloud.request(SecurityGroupIds=[made["GroupId"]]))
    assert code == "UnauthorizedOperation"
    assert f":{missing}/" in message


def test_tagging_at_creation_needs_the_right_to_tag(cloud: Cloud) -> None:
    request = {
        "CidrBlock": "10.2.0.0/16",
        "TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "n"}]}],
    }
    ec2 = cloud.client("ec2", **cloud.user("deployer", allow("ec2:CreateVpc")))
    assert "ec2:CreateTags" in error_of(ec2.create_vpc, **request)[1]
    tags = allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc", "aws:RequestTag/Name": "n"})
    cloud.client("iam").put_user_policy(UserName="deployer", PolicyName="tags", PolicyDocument=document(tags))
    ec2.create_vpc(**request)


def test_undoing_an_association_is_authorised_on_what_it_ties(cloud: Cloud) -> None:
    table = cloud.ec2.create_route_table(VpcId=cloud.vpc_id)["RouteTable"]["RouteTableId"]
    tied = cloud.ec2.associate_route_table(RouteTableId=table, SubnetId=cloud.subnet_id)["AssociationId"]
    narrow = [cloud.arn("route-table", "*"), cloud.arn("subnet", cloud.subnet_id)]
    ec2 = cloud.client("ec2", **cloud.user("deployer", allow("ec2:DisassociateRouteTable", narrow)))
    ec2.disassociate_route_table(AssociationId=tied)


def test_a_permission_taken_away_counts_from_the_next_call(cloud: Cloud) -> None:
    node = cloud.node(node_with(cloud, allow("ec2:Describe*")))
    node.describe_network_interfaces()
    cloud.client("iam").delete_role_policy(RoleName="node", PolicyName="given")
    assert error_of(node.describe_network_interfaces)[0] == "UnauthorizedOperation"
