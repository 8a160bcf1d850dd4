"""What the user who runs `pulumi up` and `pulumi destroy` must be allowed to do, and no more."""

from __future__ import annotations

import json
import sys
from typing import Any

from .identity import KEY_PART, POLICY_VERSION, SSM_POLICY
from .tags import PAIR

# Reading is on every resource or none: EC2 has no narrower way to say it. The last few are what pulumi-aws
# reads beside what it shows (a VPC's default ACL, an instance's credits, an endpoint's prefix list).
SEE = (
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:GetSubnetCidrReservations",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribePrefixLists",
    "ec2:DescribeTags",
)
CREATE = (
    "ec2:CreateInternetGateway",
    "ec2:CreatePlacementGroup",
    "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup",
    "ec2:CreateSubnet",
    "ec2:CreateVpc",
    "ec2:CreateVpcEndpoint",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:RunInstances",
)
# What joins things of which one may be the user's own (an existing subnet), or that cannot have tags.
CHANGE = (
    "ec2:AssociateRouteTable",
    "ec2:AttachInternetGateway",
    "ec2:CreateRoute",
    "ec2:CreateSubnetCidrReservation",
    "ec2:DeleteRoute",
    "ec2:DeleteSubnetCidrReservation",
    "ec2:DetachInternetGateway",
    "ec2:DisassociateRouteTable",
    "ec2:ModifyInstanceAttribute",
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifySecurityGroupRules",
    "ec2:ModifySubnetAttribute",
    "ec2:ModifyVpcAttribute",
    "ec2:ModifyVpcEndpoint",
    "ec2:ReplaceRoute",
    "ec2:ReplaceRouteTableAssociation",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
)
# What can do harm to others' things is for those with the pair's tag alone.
OWN = (
    "ec2:CreateTags",
    "ec2:DeleteInternetGateway",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DeleteTags",
    "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints",
    "ec2:GetConsoleOutput",
    "ec2:RebootInstances",
    "ec2:StartInstances",
    "ec2:StopInstances",
    "ec2:TerminateInstances",
)
ROLE = (
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:GetInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
    "iam:UntagInstanceProfile",
)
KEY = (
    "ssm:AddTagsToResource",
    "ssm:DeleteParameter",
    "ssm:GetParameter",
    "ssm:ListTagsForResource",
    "ssm:PutParameter",
    "ssm:RemoveTagsFromResource",
)


def deployer_policy(
    account: str, region: str, *, pair: str = "ec2vip", partition: str = "aws"
) -> dict[str, Any]:
    """The policy for who deploys one pair, of that name, in one account and Region.

    Without the statement `ManagedPolicies` it does for a pair that has `ssm` off, without `Key` and `SeeKeys` for
    one that has no `encryptionKey`. It is for a managed policy: an inline one of a user has no room for it.
    """
    here = {"StringEquals": {"aws:RequestedRegion": region}}
    own = {"StringEquals": {"aws:ResourceTag/" + PAIR: pair}}
    role = f"arn:{partition}:iam::{account}:role/{pair}-role-*"
    profile = f"arn:{partition}:iam::{account}:instance-profile/{pair}-profile-*"
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            _allow("See", SEE, "*"),
            _allow(
                "SeeImages",
                ("ssm:GetParameter",),
                f"arn:{partition}:ssm:{region}::parameter/aws/service/*",
            ),
            _allow("Create", CREATE, "*", here),
            _allow("Change", CHANGE, "*", here),
            _allow("TagWhatIsMade", ("ec2:CreateTags",), "*", _made_by(CREATE)),
            _allow("Own", OWN, "*", own),
            _allow(
                "OwnPlacementGroup",
                ("ec2:DeletePlacementGroup",),
                f"arn:{partition}:ec2:{region}:{account}:placement-group/{pair}-apart-*",
            ),
            _allow("Role", ROLE, [role, profile]),
            # To be found, a parameter must be among those that may be listed: that is for all of them or none.
            _allow("SeeKeys", ("ssm:DescribeParameters",), f"arn:{partition}:ssm:{region}:{account}:*"),
            _allow("Key", KEY, f"arn:{partition}:ssm:{region}:{account}:parameter/{pair}-{KEY_PART}-*"),
            _allow(
                "ManagedPolicies",
                ("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
                role,
                {"ArnEquals": {"iam:PolicyARN": f"arn:{partition}:iam::aws:policy/{SSM_POLICY}"}},
            ),
            _allow(
                "HandRoleToNodes",
                ("iam:PassRole",),
                role,
                {"StringEqualsIfExists": {"iam:PassedToService": "ec2.amazonaws.com"}},
            ),
        ],
    }


def _allow(
    sid: str, actions: tuple[str, ...], resource: str | list[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def _made_by(actions: tuple[str, ...]) -> dict[str, Any]:
    """A condition that is true while one of the actions is making the resource."""
    return {"StringEquals": {"ec2:CreateAction": [action.removeprefix("ec2:") for action in actions]}}


def main() -> None:
    """Print the policy for an account and a Region: `python -m infra.deployer 123456789012 us-east-1`."""
    account, region, *pair = sys.argv[1:]
    policy = deployer_policy(account, region, pair=pair[0] if pair else "ec2vip")
    sys.stdout.write(json.dumps(policy, indent=2) + "\n")


if __name__ == "__main__":
    main()
