"""IAM is asked whether the caller may do all that a run does, with what meets each statement's conditions."""

from __future__ import annotations

import json
from typing import Any

from botocore.stub import ANY

from tests.drill.prove import preflight, simulation
from tests.drill.prove.policy import prove_policies
from tests.drill.prove.report import Check

from .stubbed import POLICY, Stubbed

USER, ROLE = "arn:aws:iam::123456789012:user/me", "arn:aws:iam::123456789012:role/ops/deploy"


def decided(action: str, decision: str) -> dict[str, Any]:
    return {"EvalActionName": action, "EvalDecision": decision}


def simulated(caller: str, results: list[dict[str, Any]], asked: Any = None) -> Check:
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": caller})
    on.answer("iam", "simulate_principal_policy", {"EvaluationResults": results}, asked)
    return preflight._rights(on, "rights")


def test_the_rights_are_simulated_with_what_meets_the_conditions() -> None:
    def entry(key: str, kind: str, *values: str) -> dict[str, Any]:
        return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}

    asked: dict[str, Any] = {
        "PolicySourceArn": USER,
        "ActionNames": ["ec2:StopInstances", "ec2:StartInstances"],
        "ResourceArns": ["arn:aws:ec2:us-east-1:123456789012:instance/*"],
        "ContextEntries": [
            entry("aws:ResourceTag/team", "string", "a"),
            entry("aws:ResourceTag/run", "string", "0"),
            entry("aws:TagKeys", "stringList", "a", "b"),
        ],
    }
    allowed = [decided(action, "allowed") for action in asked["ActionNames"]]
    assert simulated(USER, allowed, asked).ok is True


def test_five_denied_actions_are_named() -> None:
    results = [decided(f"ec2:Call{number}", "implicitDeny") for number in range(7)]
    check = simulated(USER, [decided("ec2:Fine", "allowed"), *results])
    assert check.ok is False
    assert check.found.endswith("ec2:Call0, ec2:Call1, ec2:Call2, ec2:Call3, ec2:Call4 and 2 more")


def test_one_resource_that_is_denied_is_enough() -> None:
    specific = [
        {"EvalResourceName": name, "EvalResourceDecision": decision}
        for name, decision in (("a", "allowed"), ("b", "explicitDeny"))
    ]
    result = {**decided("ec2:StopInstances", "allowed"), "ResourceSpecificResults": specific}
    assert simulated(USER, [result]).ok is False


def test_a_session_stands_for_its_role_with_its_path() -> None:
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": "arn:aws:sts::123456789012:assumed-role/deploy/me"})
    role = {"Path": "/ops/", "RoleName": "deploy", "RoleId": "A" * 16, "Arn": ROLE, "CreateDate": 0}
    on.answer("iam", "get_role", {"Role": role}, {"RoleName": "deploy"})
    asked = {"PolicySourceArn": ROLE, "ActionNames": ANY, "ResourceArns": ANY, "ContextEntries": ANY}
    on.answer("iam", "simulate_principal_policy", {"EvaluationResults": []}, asked)
    assert preflight._rights(on, "rights").ok


def test_a_role_that_may_not_be_looked_up_is_taken_to_have_no_path() -> None:
    on = Stubbed({})
    on.refuse("iam", "get_role", "AccessDenied")
    caller = "arn:aws-cn:sts::123456789012:assumed-role/deploy/me"
    assert simulation.principal_arn(on.client("iam"), caller) == "arn:aws-cn:iam::123456789012:role/deploy"


def test_who_cannot_be_simulated_is_not_judged() -> None:
    for caller in ("arn:aws:iam::123456789012:root", "arn:aws:sts::123456789012:federated-user/me"):
        on = Stubbed({})
        on.answer("sts", "get_caller_identity", {"Arn": caller})
        assert preflight._rights(on, "rights").ok is None
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": USER})
    on.refuse("iam", "simulate_principal_policy", "NoSuchEntity")
    assert preflight._rights(on, "rights").ok is None


def test_every_statement_of_the_policies_is_simulated() -> None:
    policies = prove_policies("123456789012", "us-east-1")
    statements = [each for policy in policies for each in policy["Statement"]]
    requests = list(simulation._requests(policies))
    assert [actions for actions, _, _ in requests] == [
        [each["Action"]] if isinstance(each["Action"], str) else each["Action"] for each in statements
    ]
    keys = [[entry["ContextKeyName"] for entry in context] for _, _, context in requests]
    assert all(len(each) == len(set(each)) for each in keys)
    assert not any("*" in value for _, _, c in requests for entry in c for value in entry["ContextKeyValues"])
    json.dumps(requests)
