"""Checks inputs: it refuses unknown and missing ones, and makes up names that are left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from .schema import UNKNOWN, Property, ResourceType, Values

NAME_LENGTH_MAX = 64
"""The shortest limit of the names that we make up: an IAM role's."""
RANDOM_DIGITS = 7


def with_defaults(
    kind: ResourceType, inputs: Values, before: Values, *, resource_name: str, region: str, seed: bytes
) -> Values:
    """The inputs plus what the provider adds: defaults, the Region, and a made-up name, which then stays.

    `seed` comes from the engine, so a preview and its update make up the same name.
    """
    filled = {name: p.default for name, p in kind.inputs.items() if p.default is not None} | inputs
    if "region" in kind.inputs:
        filled.setdefault("region", region)
    if kind.autoname and "name" not in filled:
        digits = hashlib.sha256(seed + resource_name.encode()).hexdigest()[:RANDOM_DIGITS]
        made_up = f"{resource_name[: NAME_LENGTH_MAX - RANDOM_DIGITS - 1]}-{digits}"
        filled["name"] = before.get("name", made_up)
    return filled


def failures(kind: ResourceType, inputs: Values) -> list[tuple[str, str]]:
    """The errors in the inputs: pairs of an input's path and a reason."""
    found = _failures(kind.token, kind.inputs, inputs, "")
    return found or kind.invalid(inputs)


def _failures(
    token: str, known: Mapping[str, Property], inputs: Mapping[str, Any], path: str
) -> list[tuple[str, str]]:
    found = [
        (path + name, f"the lab's provider does not implement the input {path}{name} of {token}")
        for name in inputs
        if name not in known
    ]
    for name, prop in known.items():
        if prop.required and inputs.get(name) is None:
            found.append((path + name, f'Missing required argument: The argument "{name}" is required'))
        value = inputs.get(name)
        if prop.kind == "block" and value is not None and value != UNKNOWN:
            found += _failures(token, prop.block, value, f"{path}{name}.")
    return found
