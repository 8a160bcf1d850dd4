"""The stand-in calls what terraform-provider-aws calls, in that order, over the whole life of each type."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends
from pulumi.runtime.proto import provider_pb2 as pb

from tests.lab.provider.calls import RESOURCES, Call, condense, flat, polled, when
from tests.lab.provider.calls_of_functions import LOOK_UPS
from tests.lab.provider.messages import to_struct, to_values
from tests.lab.provider.registry import FUNCTIONS, TYPES
from tests.lab.provider.schema import ResourceType
from tests.lab.provider.service import Provider

from .cloud import REGION, Cloud
from .provider_life import OPERATIONS, Life, RefusedError, context, environment, provider_of


def document(action: str, **principal: str) -> str:
    """A policy that allows one action, to whoever has it or to a service."""
    who = {"Principal": principal} if principal else {"Resource": "*"}
    statement = {"Effect": "Allow", "Action": action, **who}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TRUST = document("sts:AssumeRole", Service="ec2.amazonaws.com")
THEIR_TRUST = document("sts:AssumeRole", Service="lambda.amazonaws.com")
POLICY = document("ec2:Describe*")
THEIR_POLICY = document("ec2:*")


@dataclass
class World:
    """What an object may need around it."""

    cloud: Cloud
    vpc: str
    subnet: str
    gateway: str
    image: str
    role: str
    profiles: tuple[str, str]
    boundary: str

    def group(self) -> str:
        """A new security group."""
        name = f"group-{next(NUMBERS)}"
        made = self.cloud.ec2.create_security_group(GroupName=name, Description="a", VpcId=self.vpc)
        return str(made["GroupId"])


NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def world(cloud: Cloud) -> World:
    ec2, iam = cloud.ec2, cloud.iam
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    iam.create_role(RoleName="around", AssumeRolePolicyDocument=TRUST)
    for profile in ("one", "other"):
        iam.create_instance_profile(InstanceProfileName=profile)
        iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName="around")
    return World(
        cloud=cloud,
        vpc=vpc,
        subnet=ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"],
        gateway=gateway,
        image=ec2.describe_images()["Images"][0]["ImageId"],
        role="around",
        profiles=("one", "other"),
        boundary=iam.create_policy(PolicyName="boundary", PolicyDocument=POLICY)["Policy"]["Arn"],
    )


@pytest.fixture(scope="module")
def provider(cloud: Cloud) -> Iterator[Provider]:
    with environment(cloud):
        yield provider_of(cloud)


def retag(life: Life) -> None:
    """Every way in which tags change."""
    life.update(tags={"a": "2", "b": "2"})
    life.update(tags={"a": "2"})
    assert life.state["tags"] == {"a": "2"}
    life.settled()


def vpc(life: Life, world: World) -> None:
    life.create(cidrBlock="10.20.0.0/16", enableDnsHostnames=True, enableDnsSupport=False)
    life.delete()
    life.create(cidrBlock="10.20.0.0/16", enableDnsHostnames=True, enableDnsSupport=True, tags={"a": "1"})
    retag(life)
    life.update(enableDnsHostnames=False, enableDnsSupport=False)
    life.cloud.ec2.modify_vpc_attribute(VpcId=life.id, EnableDnsSupport={"Value": True})
    assert life.mend()["enableDnsSupport"] is False
    life.delete()
    assert life.read_gone()


def subnet(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, cidrBlock="10.9.2.0/24", mapPublicIpOnLaunch=True, tags={"a": "1"})
    retag(life)
    life.update(mapPublicIpOnLaunch=False)
    life.cloud.ec2.modify_subnet_attribute(SubnetId=life.id, MapPublicIpOnLaunch={"Value": True})
    assert life.mend()["mapPublicIpOnLaunch"] is False
    life.delete()
    assert life.read_gone()


def reservation(life: Life, world: World) -> None:
    life.create(subnetId=world.subnet, cidrBlock="10.9.1.16/28", reservationType="explicit", description="a")
    life.settled()
    life.delete()
    assert life.read_gone()


def gateway(life: Life, world: World) -> None:
    def network() -> str:
        return str(life.cloud.ec2.create_vpc(CidrBlock="10.21.0.0/16")["Vpc"]["VpcId"])

    life.create(vpcId=network(), tags={"a": "1"})
    retag(life)
    life.update(vpcId=network())
    life.cloud.ec2.detach_internet_gateway(InternetGatewayId=life.id, VpcId=life.state["vpcId"])
    wanted = life.inputs["vpcId"]
    assert life.mend()["vpcId"] == wanted
    life.delete()
    assert life.read_gone()


def route_table(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, tags={"a": "1"})
    retag(life)
    somewhere = life.cloud.ec2.create_subnet(VpcId=world.vpc, CidrBlock="10.9.3.0/24")["Subnet"]["SubnetId"]
    life.cloud.ec2.associate_route_table(RouteTableId=life.id, SubnetId=somewhere)
    life.delete()
    assert life.read_gone()


def table(world: World) -> str:
    """A route table of somebody else's."""
    return str(world.cloud.ec2.create_route_table(VpcId=world.vpc)["RouteTable"]["RouteTableId"])


def route(life: Life, world: World) -> None:
    made = table(world)
    life.create(routeTableId=made, destinationCidrBlock="0.0.0.0/0", gatewayId=world.gateway)
    assert life.id == f"r-{made}1080289494"
    instance = world.cloud.ec2.run_instances(
        ImageId=world.image, MinCount=1, MaxCount=1, SubnetId=world.subnet
    )["Instances"][0]["InstanceId"]
    life.cloud.ec2.replace_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", InstanceId=instance)
    assert life.mend()["gatewayId"] == world.gateway
    life.delete()
    assert life.read_gone()


def association(life: Life, world: World) -> None:
    life.create(routeTableId=table(world), subnetId=world.subnet)
    life.update(routeTableId=table(world))
    # Its id is another now. A refresh would not find it, and what is not found is made again.
    life.update(routeTableId=table(world))
    current = life.cloud.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [world.subnet]}]
    )["RouteTables"][0]["Associations"]
    life.id = next(one["RouteTableAssociationId"] for one in current if one.get("SubnetId") == world.subnet)
    assert life.read() is not None
    life.delete()
    assert life.read_gone()


def endpoint(life: Life, world: World) -> None:
    groups = [world.group(), world.group()]
    service = f"com.amazonaws.{life.provider.cloud.region}.ec2"
    life.create(
        vpcId=world.vpc,
        serviceName=service,
        vpcEndpointType="Interface",
        subnetIds=[world.subnet],
        securityGroupIds=groups[:1],
        privateDnsEnabled=False,
        tags={"a": "1"},
    )
    retag(life)
    life.update(securityGroupIds=groups[1:])
    life.delete()
    assert life.read_gone()


def security_group(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, description="a", tags={"a": "1"})
    rules = life.cloud.ec2.describe_security_groups(GroupIds=[life.id])["SecurityGroups"][0]
    assert rules["IpPermissionsEgress"] == []
    retag(life)
    life.delete()
    assert life.read_gone()


def rule(life: Life, world: World) -> None:
    life.create(
        securityGroupId=world.group(),
        ipProtocol="tcp",
        fromPort=80,
        toPort=80,
        cidrIpv4="10.0.0.0/8",
        description="a",
        tags={"a": "1"},
    )
    life.settled()
    life.update(fromPort=79)
    retag(life)
    life.cloud.ec2.create_tags(Resources=[life.id], Tags=[{"Key": "theirs", "Value": "1"}])
    assert life.mend()["tags"] == {"a": "2"}
    life.delete()
    assert life.read_gone()


def role(life: Life, world: World) -> None:
    life.create(assumeRolePolicy=TRUST, description="a", permissionsBoundary=world.boundary, tags={"a": "1"})
    retag(life)
    life.update(description="b", maxSessionDuration=7200, permissionsBoundary=None)
    assert "permissionsBoundary" not in life.state
    life.update(permissionsBoundary=world.boundary)
    life.cloud.iam.update_assume_role_policy(RoleName=life.id, PolicyDocument=THEIR_TRUST)
    life.mend()
    # What others have put on it is removed with it only if a refresh has seen it.
    life.cloud.iam.put_role_policy(RoleName=life.id, PolicyName="theirs", PolicyDocument=POLICY)
    life.cloud.iam.attach_role_policy(RoleName=life.id, PolicyArn=world.boundary)
    life.cloud.iam.create_instance_profile(InstanceProfileName="theirs")
    life.cloud.iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName=life.id)
    assert life.read() is not None
    life.delete()
    assert life.read_gone()


def role_policy(life: Life, world: World) -> None:
    life.create(role=world.role, policy=THEIR_POLICY)
    life.update(policy=POLICY)
    life.cloud.iam.put_role_policy(
        RoleName=world.role, PolicyName=life.state["name"], PolicyDocument=THEIR_POLICY
    )
    life.mend()
    life.settled()
    life.delete()
    assert life.read_gone()


def attachment(life: Life, world: World) -> None:
    life.create(role=world.role, policyArn=world.boundary)
    assert life.id == f"{world.role}/{world.boundary}"
    life.settled()
    life.delete()
    assert life.read_gone()


def profile(life: Life, world: World) -> None:
    life.create(role=world.role, tags={"a": "1"})
    retag(life)
    life.cloud.iam.create_role(RoleName="second", AssumeRolePolicyDocument=TRUST)
    life.update(role="second")
    life.cloud.iam.remove_role_from_instance_profile(InstanceProfileName=life.id, RoleName="second")
    assert life.mend()["role"] == "second"
    life.delete()
    assert life.read_gone()


def parameter(life: Life, world: World) -> None:
    life.create(type="SecureString", value="a", tags={"a": "1"})
    retag(life)
    life.update(value="b")
    life.cloud.ssm.put_parameter(Name=life.id, Value="theirs", Type="SecureString", Overwrite=True)
    assert life.mend()["value"] == "b"
    life.delete()
    assert life.read_gone()


def tag(life: Life, world: World) -> None:
    life.create(resourceId=world.subnet, key="one", value="1")
    life.update(value="2")
    life.cloud.ec2.create_tags(Resources=[world.subnet], Tags=[{"Key": "one", "Value": "theirs"}])
    assert life.mend()["value"] == "2"
    life.settled()
    life.delete()
    assert life.read_gone()


def placement_group(life: Life, world: World) -> None:
    life.create(strategy="spread", tags={"a": "1"})
    retag(life)
    life.delete()
    assert life.read_gone()


def instance(life: Life, world: World) -> None:
    groups = [world.group(), world.group()]
    life.create(
        ami=world.image,
        instanceType="t3.micro",
        subnetId=world.subnet,
        privateIp="10.9.1.50",
        vpcSecurityGroupIds=groups[:1],
        iamInstanceProfile=world.profiles[0],
        metadataOptions={"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        rootBlockDevice={"encrypted": True, "volumeType": "gp3"},
        volumeTags={"a": "1"},
        userDataBase64=base64.b64encode(b"#!/bin/sh\n").decode(),
        sourceDestCheck=False,
        tags={"a": "1"},
    )
    assert life.state["volumeTags"] == {"a": "1"}
    life.settled()
    retag(life)
    life.update(volumeTags={"a": "2", "b": "1"})
    life.update(volumeTags={"a": "2"})
    life.update(
        iamInstanceProfile=world.profiles[1],
        sourceDestCheck=True,
        vpcSecurityGroupIds=groups[1:],
        secondaryPrivateIps=["10.9.1.60"],
        metadataOptions={"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2},
    )
    life.update(
        instanceType="t3.small",
        userDataBase64=base64.b64encode(b"#!/bin/true\n").decode(),
        secondaryPrivateIps=["10.9.1.61"],
    )
    somebody_changes(life, groups[0])
    life.settled()
    life.delete()
    assert life.read_gone()
    tags_of_the_root_volume(life, world)


def somebody_changes(life: Life, group: str) -> None:
    """What others do to an instance, and how `up --refresh` mends it, call by call."""
    ec2, wanted = life.cloud.ec2, dict(life.state)
    volume = wanted["rootBlockDevice"]["volumeId"]
    (found,) = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [life.id]}]
    )["IamInstanceProfileAssociations"]
    ec2.disassociate_iam_instance_profile(AssociationId=found["AssociationId"])
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=wanted["primaryNetworkInterfaceId"], Groups=[group]
    )
    ec2.modify_volume(VolumeId=volume, VolumeType="gp2")
    ec2.create_tags(Resources=[life.id, volume], Tags=[{"Key": "theirs", "Value": "1"}])
    already = len(life.cloud.calls)
    life.mend()
    for name in ("iamInstanceProfile", "vpcSecurityGroupIds", "rootBlockDevice", "tags", "volumeTags"):
        assert life.state[name] == wanted[name], name
    made = [call for call in life.cloud.calls[already:] if "Describe" not in call]
    assert made == [
        "ec2:DeleteTags",
        "ec2:DeleteTags",
        "ec2:AssociateIamInstanceProfile",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:ModifyVolume",
    ]
    # On one that does not run, an association cannot be replaced.
    ec2.stop_instances(InstanceIds=[life.id])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[life.id], WaiterConfig={"Delay": 1})
    life.read()
    life.update(iamInstanceProfile="one")
    ec2.start_instances(InstanceIds=[life.id])
    life.read()


def tags_of_the_root_volume(life: Life, world: World) -> None:
    life.create(
        ami=world.image,
        instanceType="t3.micro",
        subnetId=world.subnet,
        rootBlockDevice={"encrypted": True, "tags": {"a": "1"}},
        tags={"a": "1"},
    )
    life.update(rootBlockDevice={"encrypted": True, "tags": {"b": "1"}}, tags={"b": "1"})
    life.settled()
    life.delete()


SCENARIOS: dict[str, Callable[[Life, World], None]] = {
    "aws:ec2/vpc:Vpc": vpc,
    "aws:ec2/subnet:Subnet": subnet,
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": reservation,
    "aws:ec2/internetGateway:InternetGateway": gateway,
    "aws:ec2/routeTable:RouteTable": route_table,
    "aws:ec2/route:Route": route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": association,
    "aws:ec2/vpcEndpoint:VpcEndpoint": endpoint,
    "aws:ec2/securityGroup:SecurityGroup": security_group,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": rule,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": rule,
    "aws:iam/role:Role": role,
    "aws:iam/rolePolicy:RolePolicy": role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": attachment,
    "aws:iam/instanceProfile:InstanceProfile": profile,
    "aws:ssm/parameter:Parameter": parameter,
    "aws:ec2/tag:Tag": tag,
    "aws:ec2/placementGroup:PlacementGroup": placement_group,
    "aws:ec2/instance:Instance": instance,
}


def test_every_type_and_look_up_has_its_calls_and_its_life_written_down() -> None:
    assert set(RESOURCES) == set(TYPES) == set(SCENARIOS)
    assert set(LOOK_UPS) == set(FUNCTIONS) == set(ARGUMENTS)
    for token, resource in RESOURCES.items():
        kind = TYPES[token]
        assert resource.framework == kind.framework, token
        in_place = {name for name, prop in kind.inputs.items() if prop.replaces is False and not prop.unread}
        if in_place - {"tags"}:
            assert type(kind).update is not ResourceType.update, token


@pytest.mark.parametrize("token", SCENARIOS)
def test_its_whole_life_makes_the_calls_of_the_table_and_uses_every_row(
    token: str, provider: Provider, cloud: Cloud, world: World
) -> None:
    life = Life(provider, cloud, token)
    SCENARIOS[token](life, world)
    assert life.idle() == []


ARGUMENTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda w: {},
    "aws:index/getRegion:getRegion": lambda w: {},
    "aws:index/getPartition:getPartition": lambda w: {},
    "aws:index/getAvailabilityZones:getAvailabilityZones": lambda w: {"state": "available"},
    "aws:ec2/getAmi:getAmi": lambda w: {"filters": [{"name": "image-id", "values": [w.image]}]},
    "aws:ec2/getInstances:getInstances": lambda w: {"instanceTags": {"a": "1"}},
    "aws:ec2/getInstanceType:getInstanceType": lambda w: {"instanceType": "t3.micro"},
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": lambda w: {
        "locationType": "availability-zone",
        "filters": [{"name": "instance-type", "values": ["t3.micro"]}],
    },
    "aws:ec2/getNetworkInterface:getNetworkInterface": lambda w: {
        "id": w.cloud.ec2.create_network_interface(SubnetId=w.subnet)["NetworkInterface"][
            "NetworkInterfaceId"
        ]
    },
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": lambda w: {
        "filters": [{"name": "subnet-id", "values": [w.subnet]}]
    },
    "aws:ec2/getSubnet:getSubnet": lambda w: {"id": w.subnet},
    "aws:ec2/getVpc:getVpc": lambda w: {"id": w.vpc},
    "aws:ec2/getInternetGateway:getInternetGateway": lambda w: {
        "filters": [{"name": "attachment.vpc-id", "values": [w.vpc]}]
    },
    "aws:ec2/getSecurityGroup:getSecurityGroup": lambda w: {"id": w.group()},
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": lambda w: {
        "id": w.cloud.ec2.create_vpc_endpoint(
            VpcId=w.vpc,
            ServiceName="com.amazonaws.us-east-1.ssm",
            VpcEndpointType="Interface",
            SubnetIds=[w.subnet],
        )["VpcEndpoint"]["VpcEndpointId"]
    },
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": lambda w: {
        "service": "ec2",
        "serviceType": "Interface",
    },
    "aws:ssm/getParameter:getParameter": lambda w: {"name": "/aws/service/debian/release/12/latest/amd64"},
}


@pytest.mark.parametrize("token", ARGUMENTS)
def test_a_look_up_makes_the_calls_of_the_table(
    token: str, provider: Provider, cloud: Cloud, world: World
) -> None:
    arguments = to_struct(ARGUMENTS[token](world))
    already = len(cloud.calls)
    answer = provider.Invoke(pb.InvokeRequest(tok=token, args=arguments), context())
    assert not answer.failures
    assert to_values(getattr(answer, "return"))["id"]
    rows = LOOK_UPS[token].calls
    assert condense(rows, cloud.calls[already:]) == set(range(len(flat(rows))))


ROWS = (Call("a"), when("x", Call("b"), polled("c")), Call("a"))


@pytest.mark.parametrize(
    ("calls", "used"),
    [
        (["a", "a"], {0, 3}),
        (["a", "b", "c", "c", "a"], {0, 1, 2, 3}),
        (["a", "b", "a"], None),  # c belongs to it
        (["a", "c", "b", "a"], None),
        (["a"], None),
        (["a", "a", "d"], None),
    ],
)
def test_calls_are_held_against_the_table(calls: list[str], used: set[int] | None) -> None:
    assert condense(ROWS, calls) == used


def test_a_failure_that_only_warns_fails_nothing_and_leaves_the_root_volume_untagged(
    cloud: Cloud, world: World
) -> None:
    """The failure of A2: a root volume that nobody could tag, an instance that counts as made."""
    inputs: dict[str, dict[str, Any]] = {
        "aws:ec2/vpc:Vpc": {"cidrBlock": "10.22.0.0/16"},
        "aws:ec2/instance:Instance": {
            "ami": world.image,
            "instanceType": "t3.micro",
            "subnetId": world.subnet,
            "rootBlockDevice": {"encrypted": True, "tags": {"a": "1"}},
        },
    }
    warned = {
        call.action
        for token in inputs
        for operation in OPERATIONS
        for call in flat(RESOURCES[token].own(operation))
        if call.only_warns
    }
    assert {"ec2:CreateTags", "ec2:DescribeNetworkAcls", "ec2:ModifyInstanceAttribute"} <= warned
    # What one type may do without, the other needs.
    needed = warned - {"ec2:DescribeVpcs"}
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": sorted(needed), "Resource": "*"},
    ]
    key = cloud.user("warned", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    less = provider_of(cloud, key)
    with environment(cloud, key):
        for token, given in inputs.items():
            life = Life(less, cloud, token)
            life.create(**given)
            if token == "aws:ec2/instance:Instance":
                assert life.state["rootBlockDevice"].get("tags", {}) == {}
                assert life.changes() == ["rootBlockDevice.tags.a"]
                with pytest.raises(RefusedError, match=r"CreateTags.*not authorized"):
                    life.update()
            life.delete()


def test_an_instance_is_gone_when_it_is_terminated_and_not_before(
    provider: Provider, cloud: Cloud, world: World
) -> None:
    life = Life(provider, cloud, "aws:ec2/instance:Instance")
    life.create(ami=world.image, instanceType="t3.micro", subnetId=world.subnet)
    found = ec2_backends[cloud.emulator.account_id][REGION].get_instance(life.id)
    found._state.name, found._state.code = "shutting-down", 32
    state = life.read()
    assert state is not None
    assert state["instanceState"] == "shutting-down"
    assert life.changes() == []
    found._state.name, found._state.code = "terminated", 48
    assert life.read_gone()


def test_a_launch_waits_for_ec2_to_know_the_profile(provider: Provider, cloud: Cloud, world: World) -> None:
    life = Life(provider, cloud, "aws:ec2/instance:Instance")
    asked: list[dict[str, Any]] = []

    def not_yet(**arguments: Any) -> None:
        asked.append(arguments)
        if len(asked) < 3:
            message = (
                "Value (late) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile"
            )
            answer = {"Error": {"Code": "InvalidParameterValue", "Message": message}}
            raise ClientError(answer, "RunInstances")  # type: ignore[arg-type]

    provider.cloud.ec2.meta.events.register("before-call.ec2.RunInstances", not_yet, unique_id="late")
    try:
        life.create(
            ami=world.image,
            instanceType="t3.micro",
            subnetId=world.subnet,
            iamInstanceProfile=world.profiles[0],
        )
    finally:
        provider.cloud.ec2.meta.events.unregister("before-call.ec2.RunInstances", unique_id="late")
    assert len(asked) == 3
    life.delete()


def test_a_failed_change_leaves_the_plan_as_the_state_as_the_older_sdk_does(
    cloud: Cloud, world: World
) -> None:
    """So an `up` after it changes nothing; it reads, and the one after that sees the difference again."""
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["ec2:ModifySubnetAttribute", "ec2:ModifySecurityGroupRules"],
            "Resource": "*",
        },
    ]
    key = cloud.user("denied", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    less = provider_of(cloud, key)
    older: dict[str, Any] = {"vpcId": world.vpc, "cidrBlock": "10.9.8.0/24"}
    newer: dict[str, Any] = {"securityGroupId": world.group(), "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"}
    for token, inputs, change, kept in (
        ("aws:ec2/subnet:Subnet", older, {"mapPublicIpOnLaunch": True}, True),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", newer, {"description": "b"}, None),
    ):
        with environment(cloud, key):
            life = Life(less, cloud, token)
            life.create(**inputs)
            with pytest.raises(RefusedError, match="not authorized"):
                life.update(**change)
        assert life.left_behind.get(next(iter(change))) == kept, token
        life.delete()
