"""Asks IAM to simulate whether a caller may do all that some policies allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from tests.drill.aws import DENIED

BATCH = 50
"""Actions in one simulation. IAM documents no most; assumed."""
ANY = "0"
"""Stands for a wildcard in what a request would have."""


def principal_arn(iam: Any, caller: str) -> str | None:
    """The ARN of the user or role behind a caller's ARN, None if IAM can't simulate it.

    A role's session has the role's name in its ARN, but not its path. So we ask for the role; if we may not, we
    take it to have no path. Raises ClientError if IAM refuses for another reason.
    """
    _, partition, service, _, account, name = caller.split(":", 5)
    kind, _, rest = name.partition("/")
    if service == "iam" and kind in ("user", "role"):
        return caller
    if kind != "assumed-role":
        return None
    role = rest.split("/")[0]
    try:
        return str(iam.get_role(RoleName=role)["Role"]["Arn"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            raise
        return f"arn:{partition}:iam::{account}:role/{role}"


def denied_actions(iam: Any, principal: str, policies: Sequence[Mapping[str, Any]]) -> list[str]:
    """The actions of the policies that the principal may not do, sorted.

    Each statement is simulated with its own resources and with values that meet its conditions. So a caller whose
    policies are narrower than these may be told of a denial that the run would not meet. Raises ClientError if IAM
    does not simulate.
    """
    denied: set[str] = set()
    simulate = iam.get_paginator("simulate_principal_policy")
    for actions, resources, context in _requests(policies):
        for start in range(0, len(actions), BATCH):
            pages = simulate.paginate(
                PolicySourceArn=principal,
                ActionNames=actions[start : start + BATCH],
                ResourceArns=resources,
                ContextEntries=context,
            )
            denied |= {
                str(result["EvalActionName"])
                for page in pages
                for result in page["EvaluationResults"]
                if _decisions(result) != {"allowed"}
            }
    return sorted(denied)


def _decisions(result: Mapping[str, Any]) -> set[str]:
    """The decisions for each resource, or the one for all."""
    specific = {str(each["EvalResourceDecision"]) for each in result.get("ResourceSpecificResults") or ()}
    return specific or {str(result["EvalDecision"])}


def _requests(
    policies: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
    """The actions, resources and context of each statement that allows something."""
    for policy in policies:
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                context = _context(statement.get("Condition", {}))
                yield _listed(statement["Action"]), _listed(statement["Resource"]), context


def _context(conditions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries that meet the conditions of a statement, one for each key."""
    entries: dict[str, dict[str, Any]] = {}
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            values = [str(each).replace("*", ANY) for each in _listed(wanted)]
            if operator == "Null":
                if values == ["true"]:
                    continue  # met by a request without the key
                values = [ANY]
            several = operator.startswith("ForA")
            entries[key] = {
                "ContextKeyName": key,
                "ContextKeyValues": values if several else values[:1],
                "ContextKeyType": "stringList" if several else "string",
            }
    return list(entries.values())


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
