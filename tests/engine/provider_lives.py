"""The life of an object of each type: created, changed, changed by others, mended, deleted."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass

from .cloud import ZONE, Cloud
from .provider_life import Life


def document(action: str, **principal: str) -> str:
    """A policy that allows one action, to its bearer or to a principal such as a service."""
    who = {"Principal": principal} if principal else {"Resource": "*"}
    statement = {"Effect": "Allow", "Action": action, **who}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TRUST = document("sts:AssumeRole", Service="ec2.amazonaws.com")
THEIR_TRUST = document("sts:AssumeRole", Service="lambda.amazonaws.com")
POLICY = document("ec2:Describe*")
THEIR_POLICY = document("ec2:*")


@dataclass
class World:
    """The resources that an object may need around it."""

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


def make_world(cloud: Cloud) -> World:
    """Create the resources that objects may need around them."""
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
        subnet=ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=ZONE)["Subnet"][
            "SubnetId"
        ],
        gateway=gateway,
        image=ec2.describe_images()["Images"][0]["ImageId"],
        role="around",
        profiles=("one", "other"),
        boundary=iam.create_policy(PolicyName="boundary", PolicyDocument=POLICY)["Policy"]["Arn"],
    )


def retag(life: Life) -> None:
    """Change the tags in every possible way."""
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
    life.end()


def subnet(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, cidrBlock="10.9.2.0/24", mapPublicIpOnLaunch=True, tags={"a": "1"})
    retag(life)
    life.update(mapPublicIpOnLaunch=False)
    life.cloud.ec2.modify_subnet_attribute(SubnetId=life.id, MapPublicIpOnLaunch={"Value": True})
    assert life.mend()["mapPublicIpOnLaunch"] is False
    life.end()


def reservation(life: Life, world: World) -> None:
    life.create(subnetId=world.subnet, cidrBlock="10.9.1.16/28", reservationType="explicit", description="a")
    life.settled()
    life.end()


def gateway(life: Life, world: World) -> None:
    def network() -> str:
        return str(life.cloud.ec2.create_vpc(CidrBlock="10.21.0.0/16")["Vpc"]["VpcId"])

    life.create(vpcId=network(), tags={"a": "1"})
    retag(life)
    life.update(vpcId=network())
    life.cloud.ec2.detach_internet_gateway(InternetGatewayId=life.id, VpcId=life.state["vpcId"])
    wanted = life.inputs["vpcId"]
    assert life.mend()["vpcId"] == wanted
    life.end()


def route_table(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, tags={"a": "1"})
    retag(life)
    somewhere = life.cloud.ec2.create_subnet(VpcId=world.vpc, CidrBlock="10.9.3.0/24", AvailabilityZone=ZONE)[
        "Subnet"
    ]["SubnetId"]
    life.cloud.ec2.associate_route_table(RouteTableId=life.id, SubnetId=somewhere)
    life.end()


def table(world: World) -> str:
    """A new route table, created outside the provider."""
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
    life.end()


def association(life: Life, world: World) -> None:
    life.create(routeTableId=table(world), subnetId=world.subnet)
    life.update(routeTableId=table(world))
    # The association has another id now. A refresh with the old id would not find it, and Pulumi would
    # create it again.
    life.update(routeTableId=table(world))
    current = life.cloud.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [world.subnet]}]
    )["RouteTables"][0]["Associations"]
    life.id = next(one["RouteTableAssociationId"] for one in current if one.get("SubnetId") == world.subnet)
    assert life.read() is not None
    life.end()


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
    life.end()


def security_group(life: Life, world: World) -> None:
    life.create(vpcId=world.vpc, description="a", tags={"a": "1"})
    rules = life.cloud.ec2.describe_security_groups(GroupIds=[life.id])["SecurityGroups"][0]
    assert rules["IpPermissionsEgress"] == []
    retag(life)
    life.end()


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
    life.end()


def role(life: Life, world: World) -> None:
    life.create(assumeRolePolicy=TRUST, description="a", permissionsBoundary=world.boundary, tags={"a": "1"})
    retag(life)
    life.update(description="b", maxSessionDuration=7200, permissionsBoundary=None)
    assert "permissionsBoundary" not in life.state
    life.update(permissionsBoundary=world.boundary)
    life.cloud.iam.update_assume_role_policy(RoleName=life.id, PolicyDocument=THEIR_TRUST)
    life.mend()
    # The provider deletes what others have added to the role only if a refresh has seen it.
    life.cloud.iam.put_role_policy(RoleName=life.id, PolicyName="theirs", PolicyDocument=POLICY)
    life.cloud.iam.attach_role_policy(RoleName=life.id, PolicyArn=world.boundary)
    life.cloud.iam.create_instance_profile(InstanceProfileName="theirs")
    life.cloud.iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName=life.id)
    assert life.read() is not None
    life.end()


def role_policy(life: Life, world: World) -> None:
    life.create(role=world.role, policy=THEIR_POLICY)
    life.update(policy=POLICY)
    life.cloud.iam.put_role_policy(
        RoleName=world.role, PolicyName=life.state["name"], PolicyDocument=THEIR_POLICY
    )
    life.mend()
    life.settled()
    life.end()


def attachment(life: Life, world: World) -> None:
    life.create(role=world.role, policyArn=world.boundary)
    assert life.id == f"{world.role}/{world.boundary}"
    life.settled()
    life.end()


def profile(life: Life, world: World) -> None:
    life.create(role=world.role, tags={"a": "1"})
    retag(life)
    life.cloud.iam.create_role(RoleName="second", AssumeRolePolicyDocument=TRUST)
    life.update(role="second")
    life.cloud.iam.remove_role_from_instance_profile(InstanceProfileName=life.id, RoleName="second")
    assert life.mend()["role"] == "second"
    life.end()


def parameter(life: Life, world: World) -> None:
    life.create(type="SecureString", value="a", tags={"a": "1"})
    retag(life)
    life.update(value="b")
    life.cloud.ssm.put_parameter(Name=life.id, Value="theirs", Type="SecureString", Overwrite=True)
    assert life.mend()["value"] == "b"
    life.end()


def tag(life: Life, world: World) -> None:
    life.create(resourceId=world.subnet, key="one", value="1")
    life.update(value="2")
    life.cloud.ec2.create_tags(Resources=[world.subnet], Tags=[{"Key": "one", "Value": "theirs"}])
    assert life.mend()["value"] == "2"
    life.settled()
    life.end()


def placement_group(life: Life, world: World) -> None:
    life.create(strategy="spread", tags={"a": "1"})
    retag(life)
    life.end()


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
    life.end()
    tags_of_the_root_volume(life, world)


def somebody_changes(life: Life, group: str) -> None:
    """Let others change an instance; `up --refresh` mends it with exactly these calls."""
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
    # EC2 cannot replace the profile association of a stopped instance.
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
