"""Whether a caller may do what it asks: which resources a call touches, and what is known of them.

Source: AWS Service Authorization Reference for Amazon EC2, IAM, STS and Systems Manager. A call may need
several permissions, as RunInstances does; each must be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from . import policy
from .errors import ApiError
from .principals import Principal
from .world import World

Params = Mapping[str, str]

# Resource types by the prefix of their ids, in the spelling of ARNs.
KINDS = {
    "ami": "image",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "pg": "placement-group",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
    "acl": "network-acl",
    "dopt": "dhcp-options",
    "eipalloc": "elastic-ip",
    "scr": "subnet-cidr-reservation",
}
# What an action makes, or touches without naming its id.
MAKES = {
    "AuthorizeSecurityGroupEgress": ("security-group-rule",),
    "AuthorizeSecurityGroupIngress": ("security-group-rule",),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateNetworkInterface": ("network-interface",),
    "CreatePlacementGroup": ("placement-group",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSubnet": ("subnet",),
    "CreateVpc": ("vpc",),
    "CreateVpcEndpoint": ("vpc-endpoint",),
    "DeletePlacementGroup": ("placement-group",),
    "RunInstances": ("instance", "volume", "network-interface"),
}
# Actions that are authorised on fewer resources than they name.
JUDGED_ON = {
    "AuthorizeSecurityGroupEgress": ("security-group",),
    "AuthorizeSecurityGroupIngress": ("security-group",),
    "CreateRoute": ("route-table",),
    "DeleteRoute": ("route-table",),
    "ReplaceRoute": ("route-table",),
    "RevokeSecurityGroupEgress": ("security-group",),
    "RevokeSecurityGroupIngress": ("security-group",),
}
# Reads that are authorised on a resource; all others are on every resource or none.
READS_OF_ONE = ("DescribeInstanceAttribute", "DescribeVpcAttribute", "GetConsoleOutput")
# Parameters that hold an id which is not what the action is authorised on.
ASIDE = {
    "ClientToken",
    "Description",
    "GroupName",
    "UserData",
}


@dataclass(frozen=True)
class Need:
    """One permission that a call must have."""

    action: str
    resource: str
    context: dict[str, str | list[str]] = field(default_factory=dict)


def check(world: World, principal: Principal, service: str, action: str, params: Params) -> None:
    """Raise ApiError unless the principal's policies give all that the call needs.

    The text is AWS's newer one, as in hashicorp/boundary#5174 on a sister action; EC2's Describe calls say
    only its first sentence.
    """
    if principal.policies is None or (service, action) == ("sts", "GetCallerIdentity"):
        return
    for need in needs(world, service, action, params):
        context = {"ec2:Region": world.region, "aws:RequestedRegion": world.region, **need.context}
        verdict = policy.evaluate(principal.policies, need.action, need.resource, context)
        if verdict is not policy.Verdict.ALLOWED:
            raise _denied(principal, service, need, verdict)
        if principal.boundary is not None:
            verdict = policy.evaluate((principal.boundary,), need.action, need.resource, context)
            if verdict is not policy.Verdict.ALLOWED:
                raise _denied(principal, service, need, verdict, "permissions boundary")


def denied_by_fault(world: World, arn: str, service: str, action: str, params: Params) -> ApiError:
    """The answer a caller gets whose policy was taken away."""
    need = next(needs(world, service, action, params))
    return _denied(Principal(arn, ()), service, need, policy.Verdict.IMPLICIT_DENY)


def _denied(
    principal: Principal,
    service: str,
    need: Need,
    verdict: policy.Verdict,
    by: str = "identity-based policy",
) -> ApiError:
    reason = (
        f"because no {by} allows the {need.action} action"
        if verdict is policy.Verdict.IMPLICIT_DENY
        else f"with an explicit deny in {'an' if by[0] in 'aeiou' else 'a'} {by}"
    )
    where = f" on resource: {need.resource}" if need.resource != "*" or service != "ec2" else ""
    who = f"User: {principal.arn} is not authorized to perform: {need.action}{where} {reason}"
    if service == "ec2":
        first = "You are not authorized to perform this operation."
        text = first if need.action.startswith("ec2:Describe") else f"{first} {who}."
        return ApiError(403, "UnauthorizedOperation", text)
    if service == "ssm":
        return ApiError(400, "AccessDeniedException", who)
    return ApiError(403, "AccessDenied", who)


def needs(world: World, service: str, action: str, params: Params) -> Iterator[Need]:
    """The permissions of a call, the main one first. The world's lock is held."""
    if service == "ec2":
        yield from _ec2(world, action, params)
    elif service == "iam":
        yield from _iam(world, action, params)
    elif service == "ssm":
        yield from _ssm(world, action, params)
    else:
        yield Need(f"{service}:{action}", params.get("RoleArn", "*"))


def _ec2(world: World, action: str, params: Params) -> Iterator[Need]:
    if action.startswith(("Describe", "Get")) and action not in READS_OF_ONE:
        yield Need(f"ec2:{action}", "*")
        return
    tags = {
        params[key]: params.get(key.removesuffix("Key") + "Value", "")
        for key in params
        if key.startswith(("Tag", "TagSpecification")) and key.endswith(".Key")
    }
    asked: dict[str, str | list[str]] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        asked["aws:TagKeys"] = list(tags)
    found = False
    for kind in MAKES.get(action, ()):
        name = params.get("GroupName", "*") if kind == "placement-group" else "*"
        known = (
            _of_group(world, name) if action == "DeletePlacementGroup" else _placed_in(world, params, kind)
        )
        yield Need(f"ec2:{action}", _arn(world, kind, name), {**asked, **known})
        found = True
    for parameter, kind in (("Placement.GroupName", "placement-group"), ("KeyName", "key-pair")):
        if parameter in params and action == "RunInstances":
            name = params[parameter]
            yield Need(f"ec2:{action}", _arn(world, kind, name), _of_group(world, name))
    for resource_id in dict.fromkeys(_ids(world, params)):
        kind = KINDS[resource_id.split("-")[0]]
        if kind not in JUDGED_ON.get(action, (kind,)):
            continue
        context = {**(asked if action == "CreateTags" else {}), **about(world, resource_id)}
        yield Need(f"ec2:{action}", _arn(world, kind, resource_id), context)
        found = True
    if not found:
        yield Need(f"ec2:{action}", "*", asked)
    for kind in _tagged_at_birth(action, params):
        name = params.get("GroupName", "*") if kind == "placement-group" else "*"
        yield Need("ec2:CreateTags", _arn(world, kind, name), {**asked, "ec2:CreateAction": action})
    profile = params.get("IamInstanceProfile.Name") or params.get("IamInstanceProfile.Arn", "").split("/")[-1]
    if profile and profile in {each.name for each in world.iam.instance_profiles.values()}:
        for role in world.iam.get_instance_profile(profile).roles:
            yield Need("iam:PassRole", role.arn, {"iam:PassedToService": "ec2.amazonaws.com"})


def _tagged_at_birth(action: str, params: Params) -> list[str]:
    if action == "CreateTags":
        return []
    kinds = [
        v for k, v in params.items() if k.startswith("TagSpecification.") and k.endswith(".ResourceType")
    ]
    return list(dict.fromkeys(kinds))


def _ids(world: World, params: Params) -> Iterator[str]:
    for key, value in params.items():
        if key.split(".")[0] in ASIDE or ".Tag." in key or key.startswith("Tag."):
            continue
        if key == "AssociationId":
            yield from _associated(world, value)
            continue
        prefix, _, rest = value.partition("-")
        if prefix in KINDS and len(rest) in (8, 17) and all(char in "0123456789abcdef" for char in rest):
            yield value


def _associated(world: World, association_id: str) -> Iterator[str]:
    """What an association ties together: that is what undoing it is authorised on."""
    for table in world.ec2.route_tables.values():
        if association_id in table._associations:
            yield from (table.id, table._associations[association_id])
    for instance_id, association in world.ec2.iam_instance_profile_associations.items():
        if association.association_id == association_id:
            yield instance_id


def _arn(world: World, kind: str, name: str) -> str:
    # Images belong to nobody in particular: their ARN has no account.
    account = "" if kind == "image" else world.account_id
    return f"arn:aws:ec2:{world.region}:{account}:{kind}/{name}"


def _placed_in(world: World, params: Params, kind: str) -> dict[str, str | list[str]]:
    """What is made in a subnet or VPC carries the conditions of that place."""
    if kind not in (
        "instance",
        "network-interface",
        "security-group",
        "subnet",
        "route-table",
        "vpc-endpoint",
    ):
        return {}
    for key, value in params.items():
        if value.startswith("subnet-") and value in _subnets(world):
            return _of_subnet(world, _subnets(world)[value])
        if key == "VpcId" and value in world.ec2.vpcs:
            return {"ec2:Vpc": _arn(world, "vpc", value)}
    return {}


def about(world: World, resource_id: str) -> dict[str, str | list[str]]:
    """The condition keys of an existing resource: its tags, its place, its own id."""
    context: dict[str, str | list[str]] = {}
    for tag in world.ec2.describe_tags(filters={"resource-id": [resource_id]}):
        context[f"aws:ResourceTag/{tag['key']}"] = context[f"ec2:ResourceTag/{tag['key']}"] = tag["value"]
    kind = resource_id.split("-")[0]
    if kind == "eni" and resource_id in world.ec2.enis:
        context |= _of_subnet(world, world.ec2.enis[resource_id].subnet)
        context["ec2:NetworkInterfaceID"] = resource_id
    elif kind == "i":
        found = world.find_instance(resource_id)
        if found is not None:
            context |= {"ec2:InstanceID": resource_id, "ec2:InstanceType": found.instance_type}
            context["ec2:AvailabilityZone"] = str(found.availability_zone)
            profile = world.profile_of(resource_id)
            context |= {"ec2:InstanceProfile": profile.arn} if profile is not None else {}
    elif kind == "subnet" and resource_id in _subnets(world):
        context |= _of_subnet(world, _subnets(world)[resource_id])
        context["ec2:SubnetID"] = resource_id
    elif kind == "sg":
        group = world.ec2.get_security_group_from_id(resource_id)
        if group is not None:
            context |= {"ec2:Vpc": _arn(world, "vpc", group.vpc_id), "ec2:SecurityGroupID": resource_id}
    elif kind == "rtb" and resource_id in world.ec2.route_tables:
        context["ec2:Vpc"] = _arn(world, "vpc", world.ec2.route_tables[resource_id].vpc_id)
    elif kind == "vpc":
        context["ec2:VpcID"] = resource_id
    return context


def _of_group(world: World, name: str) -> dict[str, str | list[str]]:
    """The condition keys of the placement group of that name, if there is one."""
    group = world.placement_groups.get(name)
    return {} if group is None else about(world, group["GroupId"])


def _subnets(world: World) -> dict[str, Any]:
    return {subnet_id: subnet for zone in world.ec2.subnets.values() for subnet_id, subnet in zone.items()}


def _of_subnet(world: World, subnet: Any) -> dict[str, str | list[str]]:
    return {
        "ec2:Subnet": _arn(world, "subnet", subnet.id),
        "ec2:Vpc": _arn(world, "vpc", subnet.vpc_id),
        "ec2:AvailabilityZone": subnet.availability_zone,
    }


def _iam(world: World, action: str, params: Params) -> Iterator[Need]:
    account = f"arn:aws:iam::{world.account_id}"
    resource = "*"
    path = params.get("Path", "/")
    role = _role(world, params.get("RoleName", ""))
    if "PolicyArn" in params and not {"RoleName", "UserName", "GroupName"} & params.keys():
        resource = params["PolicyArn"]
    elif "InstanceProfileName" in params:
        profile = _profile(world, params["InstanceProfileName"])
        made = f"{account}:instance-profile{path}{params['InstanceProfileName']}"
        resource = made if profile is None else profile.arn
    elif "RoleName" in params:
        resource = role.arn if role is not None else f"{account}:role{path}{params['RoleName']}"
    elif "UserName" in params:
        resource = f"{account}:user{path}{params['UserName']}"
    elif "PolicyName" in params:
        resource = f"{account}:policy{path}{params['PolicyName']}"
    context: dict[str, str | list[str]] = {}
    if "PolicyArn" in params and resource != params["PolicyArn"]:
        context["iam:PolicyARN"] = params["PolicyArn"]
    # That of a call which sets one; of any other, the role's own.
    boundary = params.get("PermissionsBoundary") or (
        role.permissions_boundary_arn if role is not None else None
    )
    if boundary:
        context["iam:PermissionsBoundary"] = boundary
    yield Need(f"iam:{action}", resource, context)
    if action == "AddRoleToInstanceProfile":
        given = role.arn if role is not None else f"{account}:role/{params['RoleName']}"
        yield Need("iam:PassRole", given, {"iam:PassedToService": "ec2.amazonaws.com"})


def _role(world: World, name: str) -> Any:
    """The role of that name, which no other has, whatever its path; None if there is none."""
    return next((each for each in world.iam.roles.values() if each.name == name), None)


def _profile(world: World, name: str) -> Any:
    """The same for an instance profile."""
    return next((each for each in world.iam.instance_profiles.values() if each.name == name), None)


def _ssm(world: World, action: str, params: Params) -> Iterator[Need]:
    if action == "SendCommand":
        document = params["DocumentName"]
        # Documents of AWS's own belong to no account.
        owner = "" if document.startswith("AWS-") else world.account_id
        yield Need("ssm:SendCommand", f"arn:aws:ssm:{world.region}:{owner}:document/{document}")
        for key, value in params.items():
            if key.startswith("InstanceIds."):
                known = about(world, value)
                tags = {name.replace("aws:ResourceTag/", "ssm:resourceTag/"): v for name, v in known.items()}
                yield Need("ssm:SendCommand", _arn(world, "instance", value), {**known, **tags})
        return
    if action == "DescribeParameters":
        yield Need(f"ssm:{action}", f"arn:aws:ssm:{world.region}:{world.account_id}:*")
        return
    names = [
        value for key, value in params.items() if key in ("Name", "ResourceId") or key.startswith("Names.")
    ]
    for name in names or ["*"]:
        # Parameters under /aws/service are public and belong to no account.
        owner = "" if name.startswith("/aws/service/") else world.account_id
        resource = f"arn:aws:ssm:{world.region}:{owner}:parameter/{name.lstrip('/')}" if names else "*"
        yield Need(f"ssm:{action}", resource)
        if action == "PutParameter" and "Tags.1" in params:
            yield Need("ssm:AddTagsToResource", resource)


def form(body: bytes) -> dict[str, str]:
    """The parameters of a query request's body."""
    return {key: values[0] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
