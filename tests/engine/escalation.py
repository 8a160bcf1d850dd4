"""The things of two pairs and a stranger in one account, and ways for a caller to become an administrator."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from infra.policies import Place
from infra.tags import PAIR

from .cloud import REGION, ZONE, Cloud

EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
SOON: Any = {"Delay": 0.1, "MaxAttempts": 600}
_numbers = itertools.count()


@dataclass(frozen=True)
class Caller:
    """One user's clients."""

    ec2: Any
    iam: Any
    ssm: Any


@dataclass(frozen=True)
class Things:
    """What an owner has: a network, a running and a stopped instance, a role and its profiles."""

    tags: list[dict[str, str]]
    vpc: str
    subnet: str
    group: str
    rule: str
    table: str
    association: str
    gateway: str
    node: str
    stopped: str
    interface: str
    volume: str
    profile_association: str
    role: str
    profile: str
    empty_profile: str


@dataclass(frozen=True)
class Scene:
    """The caller's own pair, somebody else's things, and an unused number for names."""

    place: Place
    own: Things
    theirs: Things
    number: int

    def tagged(self, kind: str, owner: str = "") -> dict[str, Any]:
        """The argument that tags a new thing with the caller's pair, or with another owner."""
        tag = {"Key": PAIR, "Value": owner or self.place.full_name}
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": [tag]}]}


def things(cloud: Cloud, owner: str | None, path: str, boundary: str | None = None) -> Things:
    """Create an owner's things as the administrator, with the tag of a pair or with none."""
    ec2, iam, number = cloud.ec2, cloud.iam, next(_numbers)
    tags = [{"Key": PAIR, "Value": owner}] if owner else []
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.250.0/24", AvailabilityZone=ZONE)["Subnet"][
        "SubnetId"
    ]
    group = ec2.create_security_group(GroupName=f"g-{number}", Description="g", VpcId=vpc)["GroupId"]
    rule = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(22)])
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    role, profile, empty_profile = f"role-{number}", f"profile-{number}", f"empty-{number}"
    bound = {"PermissionsBoundary": boundary} if boundary else {}
    iam.create_role(RoleName=role, Path=path, AssumeRolePolicyDocument=TRUST, **bound)
    iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=EVERYTHING)
    iam.create_instance_profile(InstanceProfileName=profile, Path=path)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.create_instance_profile(InstanceProfileName=empty_profile, Path=path)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    launched = ec2.run_instances(
        ImageId=image,
        MinCount=2,
        MaxCount=2,
        SubnetId=subnet,
        SecurityGroupIds=[group],
        IamInstanceProfile={"Name": profile},
    )["Instances"]
    node, stopped = (instance["InstanceId"] for instance in launched)
    ec2.get_waiter("instance_running").wait(InstanceIds=[node, stopped], WaiterConfig=SOON)
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[stopped], WaiterConfig=SOON)
    (seen,) = ec2.describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"]
    interface = seen["NetworkInterfaces"][0]["NetworkInterfaceId"]
    volume = seen["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    by_node = [{"Name": "instance-id", "Values": [node]}]
    (held,) = ec2.describe_iam_instance_profile_associations(Filters=by_node)[
        "IamInstanceProfileAssociations"
    ]
    if tags:
        tagged = [vpc, subnet, group, table, gateway, node, stopped, interface, volume]
        ec2.create_tags(Resources=tagged, Tags=tags)
    return Things(
        tags=tags,
        vpc=vpc,
        subnet=subnet,
        group=group,
        rule=rule["SecurityGroupRules"][0]["SecurityGroupRuleId"],
        table=table,
        association=association,
        gateway=gateway,
        node=node,
        stopped=stopped,
        interface=interface,
        volume=volume,
        profile_association=held["AssociationId"],
        role=role,
        profile=profile,
        empty_profile=empty_profile,
    )


def permission(port: int) -> dict[str, Any]:
    """A rule that opens the port to everybody."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def launch(caller: Caller, scene: Scene, **changes: Any) -> object:
    """A launch as the deployer's program makes it, with changes; a change to None removes an argument."""
    both = scene.tagged("instance")["TagSpecifications"] + scene.tagged("volume")["TagSpecifications"]
    request = {
        "ImageId": caller.ec2.describe_images()["Images"][0]["ImageId"],
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": scene.own.subnet,
        "SecurityGroupIds": [scene.own.group],
        "IamInstanceProfile": {"Name": scene.own.profile},
        "TagSpecifications": both,
        **changes,
    }
    return caller.ec2.run_instances(**{key: value for key, value in request.items() if value is not None})


def untagged(caller: Caller, scene: Scene) -> str:
    """The interface of the pair's stopped node, which has no tag yet."""
    (seen,) = caller.ec2.describe_instances(InstanceIds=[scene.own.stopped])["Reservations"][0]["Instances"]
    return str(seen["NetworkInterfaces"][0]["NetworkInterfaceId"])


Act = Callable[[Caller, Scene], object]


def administrators_place() -> Iterator[tuple[str, Act]]:
    """Ways to become an administrator."""

    def role(caller: Caller, scene: Scene, **more: str) -> object:
        name = f"made-{scene.number}"
        path = f"/{scene.place.full_name}/"
        request = {"RoleName": name, "Path": path, "AssumeRolePolicyDocument": TRUST, **more}
        return caller.iam.create_role(**request)

    everything = "arn:aws:iam::{}:policy/everything"
    yield "a role without the boundary", role
    yield (
        "a role with another boundary",
        lambda c, s: role(c, s, PermissionsBoundary=everything.format(s.place.account)),
    )
    yield (
        "a role outside of the path",
        lambda c, s: role(c, s, PermissionsBoundary=s.place.boundary_arn, Path="/"),
    )
    yield (
        "rights for another role",
        lambda c, s: c.iam.put_role_policy(RoleName=s.theirs.role, PolicyName="p", PolicyDocument=EVERYTHING),
    )
    yield (
        "the administrators' policy on the pair's role",
        lambda c, s: c.iam.attach_role_policy(
            RoleName=s.own.role, PolicyArn=everything.format(s.place.account)
        ),
    )
    yield (
        "no boundary",
        lambda c, s: c.iam.delete_role_permissions_boundary(RoleName=s.own.role),
    )
    yield (
        "another boundary",
        lambda c, s: c.iam.put_role_permissions_boundary(
            RoleName=s.own.role, PermissionsBoundary=everything.format(s.place.account)
        ),
    )
    yield (
        "another text of the boundary",
        lambda c, s: c.iam.create_policy_version(
            PolicyArn=s.place.boundary_arn, PolicyDocument=EVERYTHING, SetAsDefault=s.number < 0
        ),
    )
    yield (
        "another trust policy",
        lambda c, s: c.iam.update_assume_role_policy(RoleName=s.own.role, PolicyDocument=TRUST),
    )
    yield (
        "an administrator's role for an instance",
        lambda c, s: launch(c, s, IamInstanceProfile={"Name": s.theirs.profile}),
    )
    yield (
        "an administrator's role in the pair's profile",
        lambda c, s: c.iam.add_role_to_instance_profile(
            InstanceProfileName=s.own.empty_profile, RoleName=s.theirs.role
        ),
    )
    yield (
        "another's profile on the pair's instance",
        lambda c, s: c.ec2.replace_iam_instance_profile_association(
            AssociationId=s.own.profile_association, IamInstanceProfile={"Name": s.theirs.profile}
        ),
    )
    yield (
        "the pair's profile on another's instance",
        lambda c, s: c.ec2.replace_iam_instance_profile_association(
            AssociationId=s.theirs.profile_association, IamInstanceProfile={"Name": s.own.profile}
        ),
    )
    yield (
        "rights for oneself",
        lambda c, s: (
            c.iam.put_user_policy(UserName="deployer", PolicyName="p", PolicyDocument=EVERYTHING),
            c.iam.delete_user_policy(UserName="deployer", PolicyName="p"),
        ),
    )
    yield "another's access key", access_key


def access_key(caller: Caller, scene: Scene) -> None:
    made = caller.iam.create_access_key(UserName="administrator")["AccessKey"]
    caller.iam.delete_access_key(UserName="administrator", AccessKeyId=made["AccessKeyId"])


def place_in(cloud: Cloud, **changes: Any) -> Place:
    """The pair for which the deployer's policies are printed."""
    return Place(account=cloud.emulator.account_id, region=REGION, stack="dev", **changes)
