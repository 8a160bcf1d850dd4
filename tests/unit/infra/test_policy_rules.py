"""The policy checker finds what is not in AWS's tables."""

from __future__ import annotations

from typing import Any

import pytest

from .policy_rules import problems, takes_a_resource

SUBNET = "arn:aws:ec2:eu-west-1:123456789012:subnet/*"
TAGGED = {"StringEquals": {"aws:ResourceTag/team": "a"}}


def found(**statement: Any) -> list[str]:
    """What is wrong with a policy that has only this statement."""
    whole = {"Sid": "Only", "Effect": "Allow", **statement}
    return list(problems([{"Statement": [whole]}], never={}))


def test_a_right_statement_has_no_problem() -> None:
    assert found(Action="ec2:DeleteSubnet", Resource=SUBNET, Condition=TAGGED) == []
    assert found(Action="ec2:DescribeSubnets", Resource="*") == []


def test_a_quotas_arn_has_its_service_in_place_of_a_kind() -> None:
    quota = "arn:aws:servicequotas:eu-west-1:123456789012:vpc/L-F678F1CE"
    said = found(Action="servicequotas:GetServiceQuota", Resource=quota)
    assert [each for each in said if "resource" in each] == []
    assert "takes none" in found(Action="servicequotas:GetServiceQuota", Resource=SUBNET)[0]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ({"Action": "ec2:DeleteSubnets", "Resource": "*"}, "Only: ec2:DeleteSubnets is no action of AWS"),
        ({"Action": "ec3:DeleteSubnet", "Resource": "*"}, "Only: ec3:DeleteSubnet is no action of AWS"),
        (
            {"Action": "ec2:DeleteVpc", "Resource": SUBNET},
            "Only: ec2:DeleteVpc takes none of the statement's resources",
        ),
        (
            {"Action": "ec2:DescribeSubnets", "Resource": SUBNET},
            "Only: ec2:DescribeSubnets takes none of the statement's resources",
        ),
        (
            {"Action": "ec2:DeleteSubnet", "Resource": [SUBNET, SUBNET.replace("subnet", "vpc")]},
            "Only: no action takes the resource arn:aws:ec2:eu-west-1:123456789012:vpc/*",
        ),
        (
            {
                "Action": "ec2:DeleteSubnet",
                "Resource": SUBNET,
                "Condition": {"Bool": {"ec2:Encrypted": "true"}},
            },
            "Only: ec2:DeleteSubnet has no condition ec2:Encrypted for subnet",
        ),
        (
            {"Action": "ec2:DescribeSubnets", "Resource": "*", "Condition": TAGGED},
            "Only: ec2:DescribeSubnets has no condition aws:ResourceTag/team for what has no resource",
        ),
        (
            {"Action": "ec2:CreateSubnetCidrReservation", "Resource": SUBNET},
            "ec2:CreateSubnetCidrReservation needs ec2:CreateTags",
        ),
        (
            {"Action": "ec2:AttachInternetGateway", "Resource": SUBNET.replace("subnet", "vpc")},
            "ec2:AttachInternetGateway is not given for any internet-gateway",
        ),
    ],
)
def test_each_kind_of_fault_is_found(statement: dict[str, Any], problem: str) -> None:
    assert problem in found(**statement)


def test_a_dependent_action_is_enough_if_another_policy_has_it_or_it_is_never_needed() -> None:
    reserve = {"Sid": "A", "Action": "ec2:CreateSubnetCidrReservation", "Resource": SUBNET}
    tag = {"Sid": "B", "Action": "ec2:CreateTags", "Resource": SUBNET}
    assert list(problems([{"Statement": [reserve]}, {"Statement": [tag]}], never={})) == []
    assert list(problems([{"Statement": [reserve]}], never={"ec2:CreateTags": "it has no tags"})) == []


def test_what_takes_a_resource_is_told_from_what_does_not() -> None:
    assert takes_a_resource("ec2:DescribeVpcAttribute")
    assert not takes_a_resource("ec2:DescribeVpcs")
