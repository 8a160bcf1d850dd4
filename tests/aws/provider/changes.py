"""The differences between an object's state and its wanted inputs, as the Terraform bridge sees them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from pulumi.runtime.proto import provider_pb2 as pb

from .schema import UNKNOWN, Property

_REPLACING = {
    pb.PropertyDiff.ADD: pb.PropertyDiff.ADD_REPLACE,
    pb.PropertyDiff.DELETE: pb.PropertyDiff.DELETE_REPLACE,
    pb.PropertyDiff.UPDATE: pb.PropertyDiff.UPDATE_REPLACE,
}


def equal(prop: Property, live: Any, wanted: Any) -> bool:
    """Whether a live value is the wanted one, compared as the property's `kind` says."""
    if UNKNOWN in (live, wanted):
        return False
    if prop.kind == "set" and isinstance(live, list) and isinstance(wanted, list):
        return UNKNOWN not in wanted and sorted(live) == sorted(wanted)
    if prop.kind == "json" and isinstance(live, str) and isinstance(wanted, str):
        try:
            return bool(json.loads(live) == json.loads(wanted))
        except ValueError:
            return live == wanted
    return bool(live == wanted)


def differences(
    inputs: Mapping[str, Property],
    state: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    ignored: Collection[str] = (),
) -> dict[str, pb.PropertyDiff.Kind.ValueType]:
    """The changed paths and how each changes, given the state and the inputs before and after.

    An input that is no longer given counts as deleted, unless AWS fills it in, or the state has nothing or the
    default there.
    """
    found: dict[str, pb.PropertyDiff.Kind.ValueType] = {}
    for name, prop in inputs.items():
        if name in ignored:
            continue
        replaces = prop.is_replacing(before, after)
        for path, kind in _property(name, prop, state, before, after):
            found[path] = _REPLACING[kind] if replaces or _block_replaces(prop, path, before, after) else kind
    return found


def _block_replaces(prop: Property, path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    part = path.split(".", 1)[1].split(".")[0] if "." in path else ""
    return part in prop.block and prop.block[part].is_replacing(before, after)


def _property(
    name: str, prop: Property, state: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, pb.PropertyDiff.Kind.ValueType]]:
    live, wanted, given = state.get(name), after.get(name), before.get(name)
    if name not in after:
        if name in before and not prop.computed and live not in (None, "", [], {}, prop.default):
            return [(name, pb.PropertyDiff.DELETE)]
        return []
    if prop.kind == "map" and isinstance(wanted, Mapping):
        return [(f"{name}.{key}", kind) for key, kind in _map(live or {}, wanted)]
    if prop.kind == "block" and isinstance(wanted, Mapping):
        return [
            (f"{name}.{path}", kind)
            for part, inner in prop.block.items()
            for path, kind in _property(part, inner, live or {}, given or {}, wanted)
        ]
    if equal(prop, live, wanted):
        return []
    return [(name, pb.PropertyDiff.ADD if live is None else pb.PropertyDiff.UPDATE)]


def _map(
    live: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[tuple[str, pb.PropertyDiff.Kind.ValueType]]:
    changed: list[tuple[str, pb.PropertyDiff.Kind.ValueType]] = [
        (key, pb.PropertyDiff.DELETE) for key in live if key not in wanted
    ]
    for key, value in wanted.items():
        if key not in live:
            changed.append((key, pb.PropertyDiff.ADD))
        elif live[key] != value:
            changed.append((key, pb.PropertyDiff.UPDATE))
    return changed


def narrowed(given: Any, live: Any) -> Any:
    """The live value, cut down to the keys that the input has; a refresh makes this the input."""
    if isinstance(given, Mapping) and isinstance(live, Mapping):
        return {key: narrowed(value, live[key]) for key, value in given.items() if key in live}
    return live


def overlaid(
    inputs: Mapping[str, Property], old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
    """The plan of a change: the new inputs laid over the old properties, block by block."""
    plan = {**old, **new}
    for name, prop in inputs.items():
        if prop.kind == "block" and isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping):
            plan[name] = overlaid(prop.block, old[name], new[name])
    return plan
