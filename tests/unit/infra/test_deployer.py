"""The deployer's policies and the nodes' boundary, as data and as the command prints them.

The engine tier shows that they suffice, and that nobody can exceed them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from infra.deployer import POLICY_LENGTH_MAX, main
from infra.identity import SSM_POLICY, parameter_policy, vip_policy
from infra.policies import (
    SEE,
    SESSION_MANAGER,
    UNBOUND,
    Place,
    Policy,
    boundary_policy,
    create_policy,
    manage_policy,
)

from .policy_rules import as_list, problems, takes_a_resource

ACCOUNT = "123456789012"
VPC, SUBNET = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
OWN = Place(account=ACCOUNT, region="eu-west-1", stack="prod", pair="billing")
IN_VPC = replace(OWN, vpc=VPC)
IN_SUBNET = replace(OWN, vpc=VPC, subnet=SUBNET)
PLACES = [
    pytest.param(replace(place, region=region, partition=partition), id=f"{partition}-{where}")
    for partition, region in (("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1"))
    for where, place in (("new-vpc", OWN), ("vpc", IN_VPC), ("subnet", IN_SUBNET))
]
# Dependent actions in AWS's tables that no `up` needs.
NEVER = {"ssm:GetParameters": "only an image given as resolve:ssm:…; the program looks the image up itself"}
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/ec2vip-prod-billing-boundary"


def both(place: Place) -> list[Policy]:
    return [create_policy(place), manage_policy(place)]


def by_sid(*policies: Policy) -> dict[str, dict[str, Any]]:
    statements = [statement for policy in policies for statement in policy["Statement"]]
    found = {statement["Sid"]: statement for statement in statements}
    assert len(found) == len(statements)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_aws_has_every_action_resource_and_condition_that_a_policy_names(place: Place) -> None:
    assert list(problems(both(place), NEVER)) == []
    assert list(problems([boundary_policy(place)], {})) == []


@pytest.mark.parametrize("place", PLACES)
def test_no_arn_is_of_another_partition(place: Place) -> None:
    for policy in (*both(place), boundary_policy(place)):
        arns = [part for part in json.dumps(policy).split('"') if part.startswith("arn:")]
        assert arns
        assert {arn.split(":")[1] for arn in arns} == {place.partition}


@pytest.mark.parametrize(
    "names", [{}, {"project": "company-network", "stack": "production-eu", "pair": "x" * 40}]
)
@pytest.mark.parametrize("place", PLACES)
def test_each_fits_a_managed_policy(place: Place, names: dict[str, str]) -> None:
    for policy in (*both(replace(place, **names)), boundary_policy(replace(place, **names))):
        assert len(json.dumps(policy, separators=(",", ":"))) <= POLICY_LENGTH_MAX


def test_there_is_no_wildcard_for_an_action() -> None:
    for statement in by_sid(*both(OWN), boundary_policy(OWN)).values():
        assert not any("*" in action for action in as_list(statement["Action"]))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_allowed_on_everything_is_what_aws_has_no_resource_for(place: Place) -> None:
    everywhere = {
        action: statement
        for statement in by_sid(*both(place)).values()
        for action in statement["Action"]
        if "*" in as_list(statement["Resource"])
    }
    assert set(everywhere) == {*SEE, *UNBOUND, "route53:AssociateVPCWithHostedZone"}
    narrowable = {action for action in everywhere if takes_a_resource(action)}
    # Its resource is the zone behind an endpoint's private name: it is AWS's own, and has no ARN.
    assert narrowable == {"route53:AssociateVPCWithHostedZone"}
    writes = {a for a in everywhere if not a.split(":")[1].startswith(("Describe", "Get"))}
    assert writes == {"ec2:DeleteSubnetCidrReservation", "route53:AssociateVPCWithHostedZone"}
    for action in {*SEE, *UNBOUND}:
        assert everywhere[action]["Condition"] == {"StringEquals": {"aws:RequestedRegion": place.region}}


@pytest.mark.parametrize("place", PLACES)
def test_what_changes_ec2_is_for_the_pairs_own_or_for_the_named_place(place: Place) -> None:
    named = {
        f"arn:{place.partition}:ec2:{place.region}:*:{kind}" for kind in (f"vpc/{VPC}", f"subnet/{SUBNET}")
    }
    # A launch may use others' images and keys, because reading changes neither; the interface is new.
    from_others = {"LaunchFrom"}
    for sid, statement in by_sid(*both(place)).items():
        writes = any(a.startswith("ec2:") and a not in SEE for a in statement["Action"])
        if not writes or sid in from_others or statement["Resource"] == "*":
            continue
        tags = {
            value
            for keys in statement.get("Condition", {}).values()
            for key, value in keys.items()
            if key in ("aws:ResourceTag/ec2vip:pair", "aws:RequestTag/ec2vip:pair")
        } - {"true"}
        assert tags == {"ec2vip/prod/billing"} or statement["Resource"] in named, sid


def test_another_stacks_and_another_projects_pair_is_another() -> None:
    names = {
        replace(OWN, **change).full_name
        for change in ({}, {"stack": "dev"}, {"project": "other"}, {"pair": "mail"})
    }
    assert len(names) == 4


def test_a_role_is_only_made_and_filled_with_the_boundary() -> None:
    statements = by_sid(*both(OWN))
    bounded = {
        action
        for statement in statements.values()
        if statement.get("Condition", {}).get("StringEquals") == {"iam:PermissionsBoundary": BOUNDARY}
        for action in statement["Action"]
    }
    all_actions = {action for statement in statements.values() for action in statement["Action"]}
    gives_rights = {
        "iam:AttachRolePolicy",
        "iam:CreateRole",
        "iam:PutRolePermissionsBoundary",
        "iam:PutRolePolicy",
    }
    assert gives_rights <= bounded
    assert bounded - gives_rights == {"iam:DeleteRolePolicy", "iam:DetachRolePolicy"}
    refused = {"iam:UpdateAssumeRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion"}
    assert not refused & all_actions


def test_iam_is_for_the_pairs_own_path_alone() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/ec2vip/prod/billing/*"
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/ec2vip/prod/billing/*"
    for statement in by_sid(*both(OWN)).values():
        if any(action.startswith("iam:") for action in statement["Action"]):
            assert statement["Resource"] in (role, profile)


@pytest.mark.parametrize(
    ("partition", "services"),
    [
        ("aws", ["ec2.amazonaws.com"]),
        ("aws-us-gov", ["ec2.amazonaws.com"]),
        ("aws-cn", ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]),
    ],
)
def test_the_role_is_handed_to_ec2_alone(partition: str, services: list[str]) -> None:
    hand = by_sid(*both(replace(OWN, partition=partition)))["HandRoleToNodes"]
    assert hand["Action"] == ["iam:PassRole"]
    assert hand["Condition"] == {"StringEqualsIfExists": {"iam:PassedToService": services}}


def test_the_only_managed_policy_that_can_be_attached_is_session_managers() -> None:
    condition = by_sid(*both(OWN))["ManagedPolicies"]["Condition"]
    assert condition["ArnEquals"] == {"iam:PolicyARN": f"arn:aws:iam::aws:policy/{SSM_POLICY}"}


def test_of_all_parameters_only_the_pairs_own_can_be_read_written_and_removed() -> None:
    statements = by_sid(*both(OWN))
    start = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/ec2vip/ec2vip/prod/billing/"
    own = [start + "corosync-key", start + "installer"]
    assert [s["Resource"] for s in statements.values() if "ssm:PutParameter" in s["Action"]] == [own]
    assert statements["SeeImages"]["Resource"] == "arn:aws:ssm:eu-west-1::parameter/aws/service/*"


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (OWN, None),
        (IN_VPC, {"ec2:Vpc": f"arn:aws:ec2:eu-west-1:*:vpc/{VPC}"}),
        (IN_SUBNET, {"ec2:Subnet": f"arn:aws:ec2:eu-west-1:*:subnet/{SUBNET}"}),
    ],
)
def test_an_interface_gets_the_pairs_tag_alone_and_only_if_no_pair_has_it(
    place: Place, inside: dict[str, str] | None
) -> None:
    condition = dict(by_sid(*both(place))["TagInterfaces"]["Condition"])
    assert condition.pop("ArnLike", None) == inside
    assert condition == {
        "StringEquals": {"aws:RequestTag/ec2vip:pair": "ec2vip/prod/billing"},
        "Null": {"aws:ResourceTag/ec2vip:pair": "true"},
        "ForAllValues:StringEquals": {"aws:TagKeys": "ec2vip:pair"},
    }


def test_the_boundary_allows_what_the_stacks_own_policies_grant() -> None:
    boundary = {action for s in boundary_policy(OWN)["Statement"] for action in s["Action"]}
    vip = vip_policy(f"arn:aws:ec2:eu-west-1:{ACCOUNT}:subnet/{SUBNET}", ACCOUNT, OWN.full_name)
    granted = {
        a
        for s in (*vip["Statement"], *parameter_policy(OWN.parameters[0])["Statement"])
        for a in as_list(s["Action"])
    }
    assert boundary == granted | set(SESSION_MANAGER)
    assert by_sid(boundary_policy(OWN))["ReadParameters"]["Resource"] == OWN.parameters


def test_the_boundary_has_session_managers_rights_but_for_reading_every_parameter() -> None:
    # moto has AWS's managed policies as AWS's API returns them.
    document = json.loads(aws_managed_policies_data)[SSM_POLICY]["Document"]
    actions = {action for statement in document["Statement"] for action in as_list(statement["Action"])}
    assert actions - set(SESSION_MANAGER) == {"ssm:GetParameter", "ssm:GetParameters"}
    assert set(SESSION_MANAGER) < actions


@pytest.mark.parametrize(
    ("document", "make"),
    [("boundary", boundary_policy), ("create", create_policy), ("manage", manage_policy)],
)
def test_the_command_prints_each_document(
    document: str, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [document, ACCOUNT, "cn-north-1", "prod", "--pair", "billing", "--vpc", VPC, "--subnet", SUBNET]
    assert main(words) == 0
    place = replace(IN_SUBNET, region="cn-north-1", partition="aws-cn")
    assert json.loads(capsys.readouterr().out) == make(place)
    own = f"arn:aws-cn:iam::{ACCOUNT}:policy/company"
    assert main([*words, "--boundary", own]) == 0
    assert json.loads(capsys.readouterr().out) == make(replace(place, boundary=own))


def test_all_wrong_arguments_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "create",
                "1234",
                "eu-west",
                "prod",
                "--pair",
                "a pair",
                "--subnet",
                SUBNET,
                "--boundary",
                "nodes",
            ]
        )
    assert caught.value.code == 2
    said = capsys.readouterr().err
    for part in ("account 1234", "region eu-west", "pair 'a pair'", "without its VPC", "boundary nodes"):
        assert part in said


def test_names_that_are_too_long_for_iam_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    long = ["--project", "p" * 100, "--pair", "x" * 50]
    assert main(["manage", ACCOUNT, "eu-west-1", "s" * 60, *long]) == 1
    assert "give a boundary of your own with --boundary" in capsys.readouterr().err
    assert main(["create", ACCOUNT, "eu-west-1", "s" * 100, *long]) == 1
    assert f"IAM takes {POLICY_LENGTH_MAX}" in capsys.readouterr().err


def test_the_help_names_the_documents_and_what_to_do_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("boundary", "create", "manage", "permissionsBoundary", "--subnet"))
