"""The IAM policies of a pair, as data: those of the user who deploys it, and the boundary of its nodes.

The deploying user may only make roles that have the boundary. So with this user's rights, nobody can give away
more than the boundary allows. The user needs two policies because a managed policy has no room for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .identity import INSTALLER_PART, KEY_PART, POLICY_VERSION, SSM_POLICY, parameter_name, path
from .tags import PAIR, full_name

Statement = dict[str, Any]
Policy = dict[str, Any]

DNS_SUFFIXES = {"aws-cn": ("amazonaws.com", "amazonaws.com.cn")}

# AWS has no resource for these, and the Region as the only condition. pulumi-aws uses the last three to read more
# than it shows (a VPC's default ACL, an instance's credits, an endpoint's prefix list).
SEE = (
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVolumes",
    "ec2:DescribeVolumesModifications",
    "ec2:DescribeVpcEndpointServices",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:GetSubnetCidrReservations",
    "ssm:DescribeParameters",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribePrefixLists",
)
# AWS has no resource for this write either: its holder may delete any reservation of the Region.
UNBOUND = ("ec2:DeleteSubnetCidrReservation",)
# The calls that make a tagged resource, with its type: in a VPC, and outside any.
MAKE_IN_VPC = {
    "ec2:CreateRouteTable": "route-table",
    "ec2:CreateSecurityGroup": "security-group",
    "ec2:CreateSubnet": "subnet",
}
MAKE_ALONE = {
    "ec2:CreateInternetGateway": "internet-gateway",
    "ec2:CreatePlacementGroup": "placement-group",
}
MAKE_RULE = ("ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress")
MAKE = (*MAKE_IN_VPC, *MAKE_ALONE, *MAKE_RULE, "ec2:CreateVpc", "ec2:CreateVpcEndpoint", "ec2:RunInstances")
# The calls on resources with the pair's tag, which every resource that a call names must have.
OWN = (
    "ec2:AssociateIamInstanceProfile",
    "ec2:AssociateRouteTable",
    "ec2:AttachInternetGateway",
    "ec2:CreateRoute",
    "ec2:DeleteInternetGateway",
    "ec2:DeletePlacementGroup",
    "ec2:DeleteRoute",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DeleteTags",
    "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints",
    "ec2:DescribeInstanceAttribute",
    "ec2:DetachInternetGateway",
    "ec2:DisassociateIamInstanceProfile",
    "ec2:DisassociateRouteTable",
    "ec2:GetConsoleOutput",
    "ec2:ModifyInstanceAttribute",
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifyNetworkInterfaceAttribute",
    "ec2:ModifySecurityGroupRules",
    "ec2:ModifySubnetAttribute",
    "ec2:ModifyVolume",
    "ec2:ModifyVpcAttribute",
    "ec2:ModifyVpcEndpoint",
    "ec2:RebootInstances",
    "ec2:ReplaceIamInstanceProfileAssociation",
    "ec2:ReplaceRoute",
    "ec2:ReplaceRouteTableAssociation",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:StartInstances",
    "ec2:StopInstances",
    "ec2:TerminateInstances",
)
# The calls on the VPC and the subnet that a pair is in, which may be the user's own.
IN_VPC = (*MAKE_IN_VPC, "ec2:CreateVpcEndpoint", "ec2:DescribeVpcAttribute")
IN_SUBNET = (
    "ec2:CreateSubnetCidrReservation",
    "ec2:CreateVpcEndpoint",
    "ec2:ModifyNetworkInterfaceAttribute",
    "ec2:ModifyVpcEndpoint",
    "ec2:RunInstances",
)
# The calls that need the boundary. We leave out UpdateAssumeRolePolicy and DeleteRolePermissionsBoundary on
# purpose.
BOUNDED = (
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
)
ROLE = (
    "iam:DeleteRole",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
)
PROFILE = (
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:GetInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
    "iam:UntagInstanceProfile",
)
PARAMETERS = (
    "ssm:AddTagsToResource",
    "ssm:DeleteParameter",
    "ssm:GetParameter",
    "ssm:ListTagsForResource",
    "ssm:PutParameter",
    "ssm:RemoveTagsFromResource",
)
# The managed policy of Session Manager, AmazonSSMManagedInstanceCore, without its GetParameter and GetParameters,
# by which a node could read every parameter of the account.
SESSION_MANAGER = (
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ssm:DescribeAssociation",
    "ssm:DescribeDocument",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:PutInventory",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which pair a policy is for, and where it is.

    `vpc` and `subnet` are the ids of existing ones that the pair is in; None stands for the pair's own. `boundary`
    is an ARN; if it is empty, we take that of the policy that an administrator makes of `boundary_policy`.
    """

    account: str
    region: str
    partition: str = "aws"
    project: str = "ec2vip"
    stack: str
    pair: str = "ec2vip"
    vpc: str | None = None
    subnet: str | None = None
    boundary: str = ""

    @property
    def full_name(self) -> str:
        """The value of the tag `ec2vip:pair`."""
        return full_name(self.project, self.stack, self.pair)

    @property
    def boundary_name(self) -> str:
        """The name of the managed policy that an administrator makes. It is unique in an account."""
        return f"{self.project}-{self.stack}-{self.pair}-boundary"

    @property
    def boundary_arn(self) -> str:
        return self.boundary or f"arn:{self.partition}:iam::{self.account}:policy/{self.boundary_name}"

    def ec2(self, kind: str, name: str = "*", *, account: str | None = None) -> str:
        """The ARN of EC2's resources of a type in this Region, of this account unless another is given."""
        owner = self.account if account is None else account
        return f"arn:{self.partition}:ec2:{self.region}:{owner}:{kind}/{name}"

    def iam(self, kind: str) -> str:
        """The ARN pattern of the pair's own roles or instance profiles."""
        return f"arn:{self.partition}:iam::{self.account}:{kind}{path(self.full_name)}*"

    @property
    def parameters(self) -> list[str]:
        """The ARNs of the pair's own parameters: Corosync's key, and the nodes' installer."""
        start = f"arn:{self.partition}:ssm:{self.region}:{self.account}:parameter"
        return [start + parameter_name(self.full_name, part) for part in (KEY_PART, INSTALLER_PART)]

    @property
    def own_vpc(self) -> str | None:
        """The ARN of the VPC that `vpc` names, in any account: it may be shared, and its id is unique."""
        return self.vpc and self.ec2("vpc", self.vpc, account="*")

    @property
    def own_subnet(self) -> str | None:
        """The ARN of the subnet that `subnet` names, in any account."""
        return self.subnet and self.ec2("subnet", self.subnet, account="*")

    @property
    def inside(self) -> dict[str, dict[str, str]]:
        """A condition that is true for interfaces of the subnet, else of the VPC; empty if none is known."""
        if self.own_subnet:
            return {"ArnLike": {"ec2:Subnet": self.own_subnet}}
        return {"ArnLike": {"ec2:Vpc": self.own_vpc}} if self.own_vpc else {}


def boundary_policy(place: Place) -> Policy:
    """The most that the nodes of a pair may ever do, whatever policies their role gets."""
    return _policy(
        _allow(
            "MoveAddresses",
            ("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
            place.ec2("network-interface"),
            {**_tagged(place), **place.inside},
        ),
        _allow("SeeInterfaces", ("ec2:DescribeNetworkInterfaces",), "*"),
        _allow("ReadParameters", ("ssm:GetParameter",), place.parameters),
        _allow("SessionManager", SESSION_MANAGER, "*"),
    )


def create_policy(place: Place) -> Policy:
    """The deploying user's first policy: see what is there, and make what belongs to the pair."""
    here = {"StringEquals": {"aws:RequestedRegion": place.region}}
    own, new = _tagged(place), {"StringEquals": {f"aws:RequestTag/{PAIR}": place.full_name}}
    return _policy(
        _allow("See", SEE, "*", here),
        _allow("FreeAddresses", UNBOUND, "*", here),
        _allow(
            "SeeImages",
            ("ssm:GetParameter",),
            f"arn:{place.partition}:ssm:{place.region}::parameter/aws/service/*",
        ),
        # What a call makes and what it uses are in separate statements, so that the tag of a new resource gives no
        # access to an existing one.
        _allow("MakeVpc", ("ec2:CreateVpc",), place.ec2("vpc"), new),
        _allow(
            "Make",
            (*MAKE_IN_VPC, *MAKE_ALONE),
            [place.ec2(kind) for kind in (*MAKE_IN_VPC.values(), *MAKE_ALONE.values())],
            new,
        ),
        _allow("MakeRules", MAKE_RULE, place.ec2("security-group-rule"), new),
        _allow("MakeEndpoints", ("ec2:CreateVpcEndpoint",), place.ec2("vpc-endpoint"), new),
        _allow("Launch", ("ec2:RunInstances",), [place.ec2("instance"), place.ec2("volume")], new),
        # An image belongs to its owner. The launch makes the interface, in a subnet that another statement names.
        _allow(
            "LaunchFrom",
            ("ec2:RunInstances",),
            [place.ec2("image", account=""), place.ec2("key-pair"), place.ec2("network-interface")],
        ),
        _allow(
            "LaunchWith",
            ("ec2:RunInstances",),
            [place.ec2("placement-group"), place.ec2("security-group")],
            own,
        ),
        _allow("EndpointWith", ("ec2:CreateVpcEndpoint",), place.ec2("security-group"), own),
        _in("InVpc", IN_VPC, place.own_vpc, place.ec2("vpc"), own),
        _in("InSubnet", IN_SUBNET, place.own_subnet, place.ec2("subnet"), own),
        _allow(
            "TagWhatIsMade",
            ("ec2:CreateTags",),
            place.ec2("*"),
            _all(new, {"StringEquals": {"ec2:CreateAction": [a.removeprefix("ec2:") for a in MAKE]}}),
        ),
        _allow(
            "TagOwn",
            ("ec2:CreateTags",),
            place.ec2("*"),
            _all(own, {"StringEqualsIfExists": {f"aws:RequestTag/{PAIR}": place.full_name}}),
        ),
        # A launch gives its interface no tags. This can neither take another pair's interface nor set another tag.
        _allow(
            "TagInterfaces",
            ("ec2:CreateTags",),
            place.ec2("network-interface"),
            _all(
                new,
                {
                    "Null": {f"aws:ResourceTag/{PAIR}": "true"},
                    "ForAllValues:StringEquals": {"aws:TagKeys": PAIR},
                },
                place.inside,
            ),
        ),
        # For the private names of interface endpoints; AWS has no resource for the zone of an endpoint.
        _allow(
            "NameEndpoints",
            ("route53:AssociateVPCWithHostedZone",),
            "*",
            {
                "ForAllValues:StringLike": {
                    "route53:VPCs": f"VPCId={place.vpc or 'vpc-*'},VPCRegion={place.region}"
                }
            },
        ),
    )


def manage_policy(place: Place) -> Policy:
    """The deploying user's second policy: change and delete what is the pair's, and manage its role."""
    role = place.iam("role")
    bounded = {"StringEquals": {"iam:PermissionsBoundary": place.boundary_arn}}
    return _policy(
        _allow("Own", OWN, place.ec2("*"), _tagged(place)),
        _allow("OwnGroups", MAKE_RULE, place.ec2("security-group"), _tagged(place)),
        _allow("Role", ROLE, role),
        _allow("BoundedRole", BOUNDED, role, bounded),
        _allow("Profile", PROFILE, place.iam("instance-profile")),
        _allow(
            "ManagedPolicies",
            ("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
            role,
            _all(
                bounded,
                {"ArnEquals": {"iam:PolicyARN": f"arn:{place.partition}:iam::aws:policy/{SSM_POLICY}"}},
            ),
        ),
        _allow(
            "HandRoleToNodes",
            ("iam:PassRole",),
            role,
            {"StringEqualsIfExists": {"iam:PassedToService": _ec2_principals(place.partition)}},
        ),
        _allow("Parameters", PARAMETERS, place.parameters),
    )


def _policy(*statements: Statement) -> Policy:
    return {"Version": POLICY_VERSION, "Statement": list(statements)}


def _allow(
    sid: str, actions: Sequence[str], resource: str | list[str], condition: dict[str, Any] | None = None
) -> Statement:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def _in(
    sid: str, actions: Sequence[str], named: str | None, any_of_them: str, own: dict[str, Any]
) -> Statement:
    """A statement for the existing VPC or subnet of that ARN, or else for those with the pair's tag."""
    return _allow(sid, actions, named) if named else _allow(sid, actions, any_of_them, own)


def _tagged(place: Place) -> dict[str, dict[str, str]]:
    """A condition that is true for resources with the pair's tag."""
    return {"StringEquals": {f"aws:ResourceTag/{PAIR}": place.full_name}}


def _all(*conditions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A condition that is true if all of these are."""
    together: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        for operator, keys in condition.items():
            together[operator] = {**together.get(operator, {}), **keys}
    return together


def _ec2_principals(partition: str) -> list[str]:
    """EC2's service principals. China has two (Karpenter's own policy names both in iam:PassedToService)."""
    return [f"ec2.{suffix}" for suffix in DNS_SUFFIXES.get(partition, ("amazonaws.com",))]
