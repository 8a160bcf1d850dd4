"""The deploying user's policy, as data; that it suffices and is needed is the engine tier's to show."""

from __future__ import annotations

import json

from infra.deployer import deployer_policy

POLICY = deployer_policy("123456789012", "eu-west-1", pair="billing")
STATEMENTS = {statement["Sid"]: statement for statement in POLICY["Statement"]}


def test_it_fits_a_managed_policy() -> None:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 6144


def test_it_has_no_wildcard_for_an_action_and_names_none_twice() -> None:
    # Two are there again, for other resources.
    again = {("TagWhatIsMade", "ec2:CreateTags"), ("SeeImages", "ssm:GetParameter")}
    actions = [(s["Sid"], action) for s in STATEMENTS.values() for action in s["Action"]]
    assert not any("*" in action for _, action in actions)
    once = [action for sid, action in actions if (sid, action) not in again]
    assert len(once) == len(set(once))


def test_what_ends_things_is_for_the_pairs_own_alone() -> None:
    own = {"StringEquals": {"aws:ResourceTag/ec2vip:pair": "billing"}}
    for statement in STATEMENTS.values():
        if {"ec2:TerminateInstances", "ec2:DeleteVpc", "ec2:StopInstances"} & set(statement["Action"]):
            assert statement["Condition"] == own


def test_only_the_pairs_role_can_be_made_and_handed_on_and_only_to_ec2() -> None:
    role = "arn:aws:iam::123456789012:role/billing-role-*"
    assert STATEMENTS["HandRoleToNodes"]["Resource"] == role
    assert STATEMENTS["HandRoleToNodes"]["Condition"] == {
        "StringEqualsIfExists": {"iam:PassedToService": "ec2.amazonaws.com"}
    }
    assert STATEMENTS["Role"]["Resource"] == [
        role,
        "arn:aws:iam::123456789012:instance-profile/billing-profile-*",
    ]


def test_the_only_managed_policy_that_can_be_attached_is_session_managers() -> None:
    assert STATEMENTS["ManagedPolicies"]["Condition"] == {
        "ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}
    }


def test_of_all_parameters_only_the_pairs_key_can_be_read_written_and_removed() -> None:
    statements = [s for s in STATEMENTS.values() if "ssm:PutParameter" in s["Action"]]
    assert [s["Resource"] for s in statements] == [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/billing-corosync-key-*"
    ]
    assert STATEMENTS["SeeImages"]["Resource"] == "arn:aws:ssm:eu-west-1::parameter/aws/service/*"
    assert STATEMENTS["SeeKeys"]["Action"] == ["ssm:DescribeParameters"]
