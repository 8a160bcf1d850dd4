"""Whether a caller may make a call: which resources the call touches, and their condition keys.

Source: AWS Service Authorization Reference for Amazon EC2, IAM, STS and Systems Manager. A call may need
several permissions, as RunInstances does; the caller must have them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from . import policy, service_authorization, tags
from .errors import ApiError
from .parameters import Given
from .principals import Principal
from .world import World

Params = Mapping[str, str]

# Prefixes of ids, and the resource types as ARNs spell them.
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
# The resource types that an action creates, or touches without naming an id.
MAKES = {
    **tags.TAGGED_BY,
    "CreateSubnetCidrReservation": (),
    "DeletePlacementGroup": ("placement-group",),
    "RunInstances": ("instance", "volume", "network-interface"),
}
# Parameters whose ids the action is not authorised on, such as the groups that a rule names.
ASIDE = {
    "ClientToken",
    "Description",
    "GroupName",
    "IpPermissions",
    "UserData",
}
# Dependent actions that only some calls need; see `_dependent`. It never demands ssm:GetParameters, which only
# an image given as resolve:ssm:… needs.
ON_CONDITION = ("ec2:CreateTags", "iam:PassRole", "route53:AssociateVPCWithHostedZone", "ssm:GetParameters")
TAGS_IN_IAM = {
    "CreateInstanceProfile": "iam:TagInstanceProfile",
    "CreatePolicy": "iam:TagPolicy",
    "CreateRole": "iam:TagRole",
    "CreateUser": "iam:TagUser",
}


@dataclass(frozen=True)
class Need:
    """One permission that a call needs."""

    action: str
    resource: str
    context: dict[str, str | list[str]] = field(default_factory=dict)


def check(
    world: World, principal: Principal, service: str, action: str, params: Params, given: Given
) -> None:
    """Raise ApiError unless the principal's policies grant everything that the call needs.

    The text is AWS's newer one, as in hashicorp/boundary#5174 for a similar action. EC2's Describe calls
    give only its first sentence.
    """
    if principal.policies is None or (service, action) == ("sts", "GetCallerIdentity"):
        return
    for need in needs(world, service, action, params, given):
        known = {"ec2:Region": world.region, "aws:RequestedRegion": world.region, **need.context}
        # We drop keys that the action does not have for the resource: a condition on one must find no value.
        context = {
            key: value
            for key, value in known.items()
            if service_authorization.supports(need.action, need.resource, key)
        }
        verdict = policy.evaluate(principal.policies, need.action, need.resource, context)
        if verdict is not policy.Verdict.ALLOWED:
            raise _denied(principal, service, need, verdict)
        if principal.boundary is not None:
            verdict = policy.evaluate((principal.boundary,), need.action, need.resource, context)
            if verdict is not policy.Verdict.ALLOWED:
                raise _denied(principal, service, need, verdict, "permissions boundary")


def allows(world: World, principal: Principal, service: str, action: str, params: Params) -> bool:
    """Whether the principal may make this call. The caller holds the world's lock."""
    try:
        check(world, principal, service, action, params, {})
    except ApiError:
        return False
    return True


def denied_by_fault(world: World, arn: str, service: str, action: str, params: Params) -> ApiError:
    """The error that a caller gets if its policy was removed."""
    need = next(needs(world, service, action, params, {}))
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


def needs(world: World, service: str, action: str, params: Params, given: Given) -> Iterator[Need]:
    """The permissions that a call needs, the main one first. The caller holds the world's lock."""
    if service == "ec2":
        yield from _ec2(world, action, params, given)
    elif service == "iam":
        yield from _iam(world, action, params, given)
    elif service == "ssm":
        yield from _ssm(world, action, params)
    else:
        yield Need(f"{service}:{action}", params.get("RoleArn", "*"))


def _ec2(world: World, action: str, params: Params, given: Given) -> Iterator[Need]:
    types = service_authorization.resource_types(f"ec2:{action}")
    found = False
    for kind in MAKES.get(action, ()):
        name = _new_name(params, kind)
        known = (
            _of_group(world, name) if action == "DeletePlacementGroup" else _placed_in(world, params, kind)
        )
        asked = _asked(tags.of_kind(given, kind))
        yield Need(f"ec2:{action}", _arn(world, kind, name), {**asked, **known})
        found = True
    for parameter, kind in (("Placement.GroupName", "placement-group"), ("KeyName", "key-pair")):
        if parameter in params and action == "RunInstances":
            name = params[parameter]
            yield Need(f"ec2:{action}", _arn(world, kind, name), _of_group(world, name))
    given_tags = {tag["Key"]: tag.get("Value", "") for tag in given.get("Tags", [])}
    for resource_id in dict.fromkeys(_ids(world, params)) if types else ():
        kind = KINDS[resource_id.split("-")[0]]
        if kind not in types:
            continue
        yield Need(
            f"ec2:{action}",
            _arn(world, kind, resource_id),
            {**_asked(given_tags), **about(world, resource_id)},
        )
        found = True
    if not found:
        yield Need(f"ec2:{action}", "*", _asked(given_tags))
    yield from _dependent(world, action, params, given)


def _dependent(world: World, action: str, params: Params, given: Given) -> Iterator[Need]:
    """Further permissions: to tag new resources, pass a role, look things up, and set DNS names."""
    for specification in given.get("TagSpecifications", []):
        kind = specification["ResourceType"]
        context = {**_asked(tags.of_kind(given, kind)), "ec2:CreateAction": action}
        yield Need("ec2:CreateTags", _arn(world, kind, _new_name(params, kind)), context)
    wanted = service_authorization.dependent_actions(f"ec2:{action}")
    if "iam:PassRole" in wanted:
        yield from _passed(world, given.get("IamInstanceProfile", {}))
    named = given.get("VpcEndpointType") == "Interface" and given.get("PrivateDnsEnabled", True)
    if "route53:AssociateVPCWithHostedZone" in wanted and named:
        vpc = f"VPCId={given['VpcId']},VPCRegion={world.region}"
        yield Need("route53:AssociateVPCWithHostedZone", "*", {"route53:VPCs": [vpc]})
    for other in wanted:
        if other not in ON_CONDITION:
            yield Need(other, "*")


def _passed(world: World, given: Given) -> Iterator[Need]:
    profile = given.get("Name") or given.get("Arn", "").split("/")[-1]
    if profile and profile in {each.name for each in world.iam.instance_profiles.values()}:
        for role in world.iam.get_instance_profile(profile).roles:
            yield Need("iam:PassRole", role.arn, {"iam:PassedToService": world.partition.passed_to("ec2")})


def _asked(given: Mapping[str, str]) -> dict[str, str | list[str]]:
    """The condition keys for the tags that a request sets."""
    asked: dict[str, str | list[str]] = {f"aws:RequestTag/{key}": value for key, value in given.items()}
    return {**asked, "aws:TagKeys": list(given)} if given else asked


def _new_name(params: Params, kind: str) -> str:
    return params.get("GroupName", "*") if kind == "placement-group" else "*"


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
    """The resources that an association connects; its removal is authorised on them."""
    for table in world.ec2.route_tables.values():
        if association_id in table._associations:
            yield from (table.id, table._associations[association_id])
    for instance_id, association in world.ec2.iam_instance_profile_associations.items():
        if association.association_id == association_id:
            yield instance_id


def _arn(world: World, kind: str, name: str) -> str:
    # The ARN of an image has no account.
    account = "" if kind == "image" else world.owner_of(name)
    return world.arn("ec2", f"{kind}/{name}", account=account)


def _placed_in(world: World, params: Params, kind: str) -> dict[str, str | list[str]]:
    """The condition keys of the subnet or VPC in which the call creates a resource of this kind."""
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
    """The condition keys of an existing resource: its tags, its place and its id."""
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


def _iam(world: World, action: str, params: Params, given: Given) -> Iterator[Need]:
    resource, there = _of_iam(world, params)
    context: dict[str, str | list[str]] = _asked({tag["Key"]: tag["Value"] for tag in given.get("Tags", [])})
    if "PolicyArn" in params and resource != params["PolicyArn"]:
        context["iam:PolicyARN"] = params["PolicyArn"]
    boundary = given.get("PermissionsBoundary") or getattr(there, "permissions_boundary_arn", None)
    if boundary:
        context["iam:PermissionsBoundary"] = boundary
    tagged = getattr(there, "tags", None) or ()
    for tag in tagged.values() if isinstance(tagged, dict) else tagged:
        for prefix in ("aws", "iam"):
            context[f"{prefix}:ResourceTag/{tag['Key']}"] = tag["Value"]
    yield Need(f"iam:{action}", resource, context)
    # IAM user guide, "Tagging IAM resources": tagging at creation needs the permission to tag.
    if given.get("Tags") and action in TAGS_IN_IAM:
        yield Need(TAGS_IN_IAM[action], resource, context)
    if action == "AddRoleToInstanceProfile":
        yield Need("iam:PassRole", _of_iam(world, {"RoleName": params["RoleName"]})[0])


def _of_iam(world: World, params: Params) -> tuple[str, Any]:
    """The ARN that an IAM call is about, and moto's object if it already exists."""
    iam = world.iam
    if "PolicyArn" in params and not {"RoleName", "UserName", "GroupName"} & params.keys():
        return params["PolicyArn"], None
    if "PolicySourceArn" in params:  # whose policies a simulation reads
        return params["PolicySourceArn"], None
    for parameter, kind, there in (
        ("InstanceProfileName", "instance-profile", iam.instance_profiles.values()),
        ("RoleName", "role", iam.roles.values()),
        ("UserName", "user", iam.users.values()),
        ("PolicyName", "policy", ()),
    ):
        if parameter in params:
            name = params[parameter]
            found = next((each for each in there if each.name == name), None)
            made = world.arn("iam", f"{kind}{params.get('Path', '/')}{name}", region="")
            return (found.arn if found is not None else made), found
    return "*", None


def _ssm(world: World, action: str, params: Params) -> Iterator[Need]:
    if action == "SendCommand":
        document = params["DocumentName"]
        # AWS's own documents belong to no account.
        owner = "" if document.startswith("AWS-") else world.account_id
        yield Need("ssm:SendCommand", world.arn("ssm", f"document/{document}", account=owner))
        for key, value in params.items():
            if key.startswith("InstanceIds."):
                yield _managed(world, action, value)
        return
    if action == "UpdateInstanceInformation":
        yield _managed(world, action, params["InstanceId"])
        return
    names = [
        value for key, value in params.items() if key in ("Name", "ResourceId") or key.startswith("Names.")
    ]
    for name in names or ["*"]:
        # Parameters under /aws/service are public and belong to no account.
        owner = "" if name.startswith("/aws/service/") else world.account_id
        resource = world.arn("ssm", f"parameter/{name.lstrip('/')}", account=owner) if names else "*"
        yield Need(f"ssm:{action}", resource)
        if action == "PutParameter" and "Tags.1" in params:
            yield Need("ssm:AddTagsToResource", resource)


def _managed(world: World, action: str, instance_id: str) -> Need:
    """A permission of Systems Manager on an instance. The agent's own calls have its ARN as a source, too."""
    arn, known = _arn(world, "instance", instance_id), about(world, instance_id)
    tags = {name.replace("aws:ResourceTag/", "ssm:resourceTag/"): value for name, value in known.items()}
    source = {"ec2:SourceInstanceARN": arn, "ssm:SourceInstanceARN": arn}
    return Need(f"ssm:{action}", arn, {**known, **tags, **source})


def form(body: bytes) -> dict[str, str]:
    """The parameters of a query request's body."""
    return {key: values[0] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
