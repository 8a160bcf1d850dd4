"""The policies of a caller of `prove` are in AWS's tables, small enough, and bound to the run's own."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from infra.deployer import POLICY_LENGTH_MAX
from infra.policies import SEE, UNBOUND
from infra.tags import full_name
from tests.aws.emulator import tags
from tests.drill.prove import policy, questions
from tests.drill.prove.leftovers import TAG
from tests.drill.prove.policy import main, prove_policies
from tests.unit.infra.policy_rules import as_list, problems, takes_a_resource

ACCOUNT = "123456789012"
VPC, SUBNET = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
HERE = {"new-vpc": {}, "vpc": {"vpc": VPC}, "subnet": {"vpc": VPC, "subnet": SUBNET}}
NEVER = {
    "ssm:GetParameters": "only an image given as resolve:ssm:…",
    # The dependent actions of GetServiceQuota are for the quotas of those services.
    "autoscaling:DescribeAccountLimits": "other quotas",
    "cloudformation:DescribeAccountLimits": "other quotas",
    "dynamodb:DescribeLimits": "other quotas",
    "elasticloadbalancing:DescribeAccountLimits": "other quotas",
    "iam:GetAccountSummary": "other quotas",
    "kinesis:DescribeLimits": "other quotas",
    "rds:DescribeAccountAttributes": "other quotas",
    "route53:GetAccountLimit": "other quotas",
}
PLACES = [
    pytest.param({"region": region, "partition": partition, **here}, id=f"{partition}-{where}")
    for partition, region in (("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1"))
    for where, here in HERE.items()
]


def of_run(place: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The statements of what the run needs beside the deployment and the drill, by name."""
    statements = prove_policies(ACCOUNT, **place)[-1]["Statement"]
    found = {each["Sid"]: each for each in statements}
    assert len(found) == len(statements)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_aws_has_every_action_resource_and_condition(place: dict[str, Any]) -> None:
    policies = prove_policies(ACCOUNT, **place)
    assert list(problems(policies, NEVER)) == []
    arns = [part for part in json.dumps(policies).split('"') if part.startswith("arn:")]
    assert {arn.split(":")[1] for arn in arns} == {place["partition"]}


@pytest.mark.parametrize("names", [{}, {"project": "company-network", "pair": "x" * 40}])
@pytest.mark.parametrize("place", PLACES)
def test_each_fits_a_managed_policy(place: dict[str, Any], names: dict[str, str]) -> None:
    for each in prove_policies(ACCOUNT, **place, **names):
        assert len(json.dumps(each, separators=(",", ":"))) <= POLICY_LENGTH_MAX


@pytest.mark.parametrize("place", PLACES)
def test_what_is_allowed_on_everything_is_what_aws_has_no_resource_for(place: dict[str, Any]) -> None:
    everywhere = {
        action
        for each in prove_policies(ACCOUNT, **place)
        for statement in each["Statement"]
        for action in as_list(statement["Action"])
        if "*" in as_list(statement["Resource"])
    }
    # Its resource is the zone behind an endpoint's private name, and has no ARN.
    assert {action for action in everywhere if takes_a_resource(action)} == {
        "route53:AssociateVPCWithHostedZone"
    }
    beyond = everywhere - {*SEE, *UNBOUND, "route53:AssociateVPCWithHostedZone"}
    assert {
        action for action in beyond if not action.split(":")[1].startswith(("Describe", "Get", "List"))
    } == set()


@pytest.mark.parametrize("place", PLACES)
def test_what_changes_ec2_has_the_runs_tag_or_the_pairs(place: dict[str, Any]) -> None:
    run = {f"aws:{of}Tag/{TAG}" for of in ("Request", "Resource")} | {f"ssm:resourceTag/{TAG}"}
    own = full_name("ec2vip", policy.STACK, "ec2vip")
    named = {f"arn:{place['partition']}:ec2:{place['region']}:*:subnet/{SUBNET}"}
    for sid, statement in of_run(place).items():
        if all(a.startswith(("iam:", "servicequotas:")) for a in as_list(statement["Action"])):
            continue
        conditions = statement.get("Condition", {})
        has_run = bool(run & conditions.get("StringLike", {}).keys())
        has_pair = own in conditions.get("StringEquals", {}).values()
        # These two are for what does not exist, and for groups of the pair's own VPC.
        assert (
            has_run
            or has_pair
            or set(as_list(statement["Resource"])) <= named
            or sid in ("AskOfNothing", "DefaultGroup")
        ), sid


@pytest.mark.parametrize("place", PLACES)
def test_nothing_gets_the_tag_of_a_pair(place: dict[str, Any]) -> None:
    for sid, statement in of_run(place).items():
        tagging = "ec2:CreateTags" in statement["Action"] or f"aws:RequestTag/{TAG}" in json.dumps(statement)
        assert not tagging or statement["Condition"]["Null"] == {"aws:RequestTag/ec2vip:pair": "true"}, sid


@pytest.mark.parametrize("place", PLACES)
def test_iam_is_only_read(place: dict[str, Any]) -> None:
    actions = {a for s in of_run(place).values() for a in s["Action"] if a.startswith("iam:")}
    assert all(a.split(":")[1].startswith(("List", "Get", "Simulate")) for a in actions)


def test_a_group_of_others_is_only_for_a_vpc_of_the_pairs_own() -> None:
    place = {"region": "eu-west-1"}
    assert "DefaultGroup" in of_run(place)
    assert "DefaultGroup" not in of_run({**place, "vpc": VPC})


def test_tags_are_set_by_the_calls_that_make_something() -> None:
    made = of_run({"region": "eu-west-1"})["TagWhatIsMade"]
    calls = made["Condition"]["StringEquals"]["ec2:CreateAction"]
    kinds = {resource.split(":")[5].split("/")[0] for resource in made["Resource"]}
    assert {kind for call in calls for kind in tags.TAGGED_BY[call]} >= kinds


def test_the_interfaces_that_do_not_exist_are_those_of_the_questions() -> None:
    named: set[str] = set()

    class Nothing(questions.Ground):
        def assign(self, eni: str, *addresses: str, move: bool = True) -> None:
            named.add(eni)

    ground = Nothing(
        None, ipaddress.IPv4Network("10.0.0.0/24"), "one", "other", "10.0.0.4", "10.0.0.5", "10.0.0.6"
    )
    for question in questions.QUESTIONS:
        if "not there" in question.name or "assign to a malformed" in question.name:
            question.ask(ground)
    assert named == set(policy.NOWHERE)


def test_the_policies_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = [ACCOUNT, "cn-north-1", "--pair", "mail", "--vpc", VPC, "--subnet", SUBNET]
    expected = prove_policies(ACCOUNT, "cn-north-1", partition="aws-cn", pair="mail", vpc=VPC, subnet=SUBNET)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == expected
    for number, each in enumerate(expected, 1):
        assert main([*words, "--part", str(number)]) == 0
        assert json.loads(capsys.readouterr().out) == each


def test_names_that_are_too_long_for_iam_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([ACCOUNT, "eu-west-1", "--project", "p" * 150, "--pair", "x" * 50]) == 1
    assert f"IAM takes {POLICY_LENGTH_MAX}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["1234", "eu-west-1"], [ACCOUNT, "eu-west"], [ACCOUNT, "eu-west-1", "--part", "5"]]
)
def test_wrong_words_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
