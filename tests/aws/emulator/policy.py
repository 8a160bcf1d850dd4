"""Evaluates the statements of IAM policies, without knowledge of any service.

Source: AWS IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements". Session policies and
resource policies are left out because nothing here uses them.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Context = Mapping[str, "str | list[str]"]


class Verdict(enum.Enum):
    """The outcome of an evaluation."""

    ALLOWED = "allowed"
    IMPLICIT_DENY = "no statement allows it"
    EXPLICIT_DENY = "a statement denies it"


def evaluate(policies: Iterable[Mapping[str, Any]], action: str, resource: str, context: Context) -> Verdict:
    """Judge one action ("ec2:StopInstances") on one resource (an ARN, or "*") under policy documents."""
    verdict = Verdict.IMPLICIT_DENY
    for policy in policies:
        for statement in _list(policy.get("Statement", [])):
            if not _concerns(statement, action, resource, context):
                continue
            if statement.get("Effect") == "Deny":
                return Verdict.EXPLICIT_DENY
            verdict = Verdict.ALLOWED
    return verdict


def trusts(document: Mapping[str, Any], service: str) -> bool:
    """Whether a role's trust policy lets a service ("ec2.amazonaws.com") assume the role."""
    allowed = False
    for statement in _list(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        named = _list(principal.get("Service", [])) if isinstance(principal, dict) else []
        if service not in named or not _any_like(
            statement.get("Action", []), "sts:AssumeRole", ignore_case=True
        ):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _concerns(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    if "NotAction" in statement:
        named = not _any_like(statement["NotAction"], action, ignore_case=True)
    else:
        named = _any_like(statement.get("Action", []), action, ignore_case=True)
    if not named:
        return False
    if "NotResource" in statement:
        if _any_like(statement["NotResource"], resource):
            return False
    elif not _any_like(statement.get("Resource", []), resource):
        return False
    return all(
        _condition(operator, key, _list(wanted), context)
        for operator, block in statement.get("Condition", {}).items()
        for key, wanted in block.items()
    )


def _condition(operator: str, key: str, wanted: list[Any], context: Context) -> bool:
    quantifier, _, operator = operator.rpartition(":")
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    found = next((value for name, value in context.items() if name.lower() == key.lower()), None)
    if operator == "Null":
        return (found is None) == (str(wanted[0]).lower() == "true")
    if found is None:
        # A missing key fails a condition, unless the condition is negated, ForAllValues or IfExists.
        return if_exists or quantifier == "ForAllValues" or operator in _NEGATED
    test = _OPERATORS.get(operator)
    if test is None:
        raise ValueError(f"condition operator {operator!r} is not emulated; add it to the policy module")
    values = _list(found)

    def fits(value: str) -> bool:
        matched = any(test(str(each), value) for each in wanted)
        return not matched if operator in _NEGATED else matched

    return all(map(fits, values)) if quantifier != "ForAnyValue" else any(map(fits, values))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _any_like(patterns: Any, value: str, *, ignore_case: bool = False) -> bool:
    return any(_like(str(each), value, ignore_case=ignore_case) for each in _list(patterns))


def _like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    return _compiled(pattern, ignore_case).fullmatch(value) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = "".join(
        {"*": ".*", "?": "."}.get(part) or re.escape(part) for part in re.split(r"([*?])", pattern)
    )
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _arn_like(pattern: str, value: str) -> bool:
    """Whether an ARN matches. We compare its six parts one by one, so a wildcard does not span a colon."""
    wanted, found = pattern.split(":", 5), value.split(":", 5)
    if len(wanted) != 6 or len(found) != 6:
        return pattern == "*"
    return all(_like(part, other) for part, other in zip(wanted, found, strict=True))


def _in_network(wanted: str, value: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


def _same(wanted: str, value: str) -> bool:
    return wanted == value


def _same_but_case(wanted: str, value: str) -> bool:
    return wanted.lower() == value.lower()


_NEGATED = {
    "StringNotEquals",
    "StringNotEqualsIgnoreCase",
    "StringNotLike",
    "ArnNotEquals",
    "ArnNotLike",
    "NotIpAddress",
}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringNotEquals": _same,
    "StringEqualsIgnoreCase": _same_but_case,
    "StringNotEqualsIgnoreCase": _same_but_case,
    "StringLike": _like,
    "StringNotLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "ArnNotEquals": _arn_like,
    "ArnNotLike": _arn_like,
    "Bool": _same_but_case,
    "IpAddress": _in_network,
    "NotIpAddress": _in_network,
}
