"""What IAM policies allow, evaluated without an account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws.emulator.policy import Verdict, evaluate

ENI = "arn:aws:ec2:us-east-1:123456789012:network-interface/eni-0123456789abcdef0"
SUBNET = "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-1"


def verdict(
    *statements: dict[str, Any],
    action: str = "ec2:AssignPrivateIpAddresses",
    resource: str = ENI,
    context: dict[str, Any] | None = None,
) -> Verdict:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return evaluate([policy], action, resource, context or {})


def statement(effect: str = "Allow", **parts: Any) -> dict[str, Any]:
    base = {} if "NotAction" in parts else {"Action": "ec2:AssignPrivateIpAddresses"}
    base |= {} if "NotResource" in parts else {"Resource": "*"}
    return {"Effect": effect, **base, **parts}


def test_nothing_is_allowed_unless_said() -> None:
    assert evaluate([], "ec2:Any", "*", {}) is Verdict.IMPLICIT_DENY


@pytest.mark.parametrize(
    ("parts", "allowed"),
    [
        ({"Action": "ec2:AssignPrivateIpAddresses"}, True),
        ({"Action": "ec2:assignprivateipaddresses"}, True),
        ({"Action": ["s3:*", "ec2:Assign*"]}, True),
        ({"Action": "*"}, True),
        ({"Action": "ec2:Unassign*"}, False),
        ({"Action": "ec2:AssignPrivateIpAddresse?"}, True),
        ({"NotAction": "ec2:Describe*"}, True),
        ({"NotAction": "ec2:*"}, False),
        ({"Resource": ENI}, True),
        ({"Resource": "arn:aws:ec2:*:123456789012:network-interface/*"}, True),
        ({"Resource": ENI.upper()}, False),
        ({"Resource": [SUBNET, "arn:aws:ec2:*:*:instance/*"]}, False),
        ({"NotResource": SUBNET}, True),
        ({"NotResource": "arn:aws:ec2:*:*:network-interface/*"}, False),
    ],
)
def test_actions_and_resources_match_with_wildcards(parts: dict[str, Any], allowed: bool) -> None:
    assert verdict(statement(**parts)) is (Verdict.ALLOWED if allowed else Verdict.IMPLICIT_DENY)


def test_a_deny_wins_wherever_it_stands() -> None:
    allow, deny = statement(), statement("Deny", Resource="arn:aws:ec2:*:*:network-interface/*")
    assert verdict(allow, deny) is verdict(deny, allow) is Verdict.EXPLICIT_DENY
    assert evaluate(
        [{"Statement": allow}, {"Statement": [deny]}], "ec2:AssignPrivateIpAddresses", ENI, {}
    ) is (Verdict.EXPLICIT_DENY)


CONTEXT = {
    "ec2:Subnet": SUBNET,
    "ec2:Region": "us-east-1",
    "aws:ResourceTag/Pair": "web-1",
    "aws:TagKeys": ["Name", "Pair"],
    "aws:SourceIp": "10.0.1.7",
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"ec2:Region": "us-east-1"}}, True),
        ({"StringEquals": {"ec2:region": ["eu-west-1", "us-east-1"]}}, True),
        ({"StringEquals": {"ec2:Region": "us-east-*"}}, False),
        ({"StringEquals": {"aws:ResourceTag/Pair": "Web-1"}}, False),
        ({"StringEqualsIgnoreCase": {"aws:ResourceTag/Pair": "Web-1"}}, True),
        ({"StringLike": {"aws:ResourceTag/Pair": "web-?"}}, True),
        ({"StringNotEquals": {"ec2:Region": "eu-west-1"}}, True),
        ({"StringNotEquals": {"ec2:Region": ["eu-west-1", "us-east-1"]}}, False),
        ({"StringNotEquals": {"ec2:Missing": "x"}}, True),
        ({"StringEquals": {"ec2:Missing": "x"}}, False),
        ({"StringEqualsIfExists": {"ec2:Missing": "x"}}, True),
        ({"StringEqualsIfExists": {"ec2:Region": "x"}}, False),
        ({"Null": {"ec2:Missing": "true"}}, True),
        ({"Null": {"ec2:Region": True}}, False),
        ({"ArnEquals": {"ec2:Subnet": SUBNET}}, True),
        ({"ArnEquals": {"ec2:Subnet": "arn:aws:ec2:*:123456789012:subnet/*"}}, True),
        ({"ArnLike": {"ec2:Subnet": "arn:aws:ec2:*:subnet/*"}}, False),
        ({"ArnNotLike": {"ec2:Subnet": "arn:aws:ec2:*:*:subnet/subnet-2"}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": "Name"}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": "Name"}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["Name", "Pair", "Other"]}}, True),
        ({"ForAllValues:StringEquals": {"ec2:Missing": "x"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/16"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/16"}}, False),
        ({"StringEquals": {"ec2:Region": "us-east-1"}, "ArnLike": {"ec2:Subnet": SUBNET + "2"}}, False),
        ({"StringEquals": {"ec2:Region": "us-east-1", "aws:ResourceTag/Pair": "x"}}, False),
    ],
)
def test_conditions_hold_only_together_and_by_their_operators(condition: dict[str, Any], holds: bool) -> None:
    found = verdict(statement(Condition=condition), context=CONTEXT)
    assert found is (Verdict.ALLOWED if holds else Verdict.IMPLICIT_DENY)


def test_a_deny_with_a_condition_denies_only_where_it_holds() -> None:
    deny = statement("Deny", Condition={"StringNotEquals": {"ec2:Region": "us-east-1"}})
    assert verdict(statement(), deny, context=CONTEXT) is Verdict.ALLOWED
    assert verdict(statement(), deny, context={**CONTEXT, "ec2:Region": "eu-west-1"}) is Verdict.EXPLICIT_DENY


def test_an_operator_that_is_not_emulated_is_named() -> None:
    with pytest.raises(ValueError, match="'DateLessThan' is not emulated"):
        verdict(statement(Condition={"DateLessThan": {"ec2:Region": "x"}}), context=CONTEXT)
