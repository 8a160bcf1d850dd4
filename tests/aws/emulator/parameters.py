"""Reads a request's parameters into the structure that the service's model describes.

Sources: botocore's service models (names, types), and its serializers for the three protocols: `ec2` (flat lists),
`query` (lists below `member` or the member's own name) and `json`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from moto.core.utils import get_service_model

Tree: TypeAlias = "dict[str, Tree | str]"
Given: TypeAlias = "dict[str, Any]"

COMMON = ("Action", "Version")
"""Parameters of every query request that no operation's model has."""


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one parameter.

    `kind` is "unknown", "missing", "type" or "constraint". `path` is the member's name in the model
    (".Tags[0].Key"), or an unknown member's name as the request has it. `rule` says what a value must be, in
    the words of AWS's newer services.
    """

    kind: str
    path: str
    value: Any = None
    rule: str = ""


def operation(service: str, action: str) -> Any:
    """The action's model. Raises KeyError if the service does not have the action."""
    model = get_service_model(service)
    if action not in model.operation_names:
        raise KeyError(action)
    return model.operation_model(action)


def read_query(service: str, action: str, flat: Mapping[str, str]) -> tuple[Given, list[Flaw]]:
    """The parameters of an `ec2` or `query` request, and a flaw for each that cannot be read."""
    shape = operation(service, action).input_shape
    root: Tree = {}
    for name, value in flat.items():
        if name not in COMMON:
            _plant(root, name, value)
    reader = _Reader(ec2=service == "ec2")
    given = reader.structure(shape, root, "", "") if shape is not None else _all_unknown(reader, root)
    return given, reader.flaws


def read_json(body: bytes) -> tuple[Given, list[Flaw]]:
    """The parameters of a `json` request. Raises ValueError if the body is not a JSON object."""
    loaded = json.loads(body or b"{}")
    if not isinstance(loaded, dict):
        raise ValueError("the body is not a JSON object")
    return loaded, []


def _plant(root: Tree, name: str, value: str) -> None:
    *path, last = name.split(".")
    node = root
    for part in path:
        below = node.setdefault(part, {})
        if not isinstance(below, dict):
            node[part] = below = {"": below}
        node = below
    here = node.get(last)
    if isinstance(here, dict):
        here[""] = value
    else:
        node[last] = value


def _leaves(node: Tree | str, wire: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield wire, node
        return
    for part, below in node.items():
        yield from _leaves(below, ".".join(filter(None, (wire, part))))


def _all_unknown(reader: _Reader, root: Tree) -> Given:
    reader.unknown(root, "")
    return {}


class _Reader:
    """Walks a request along the model. `path` names members as the model does, `wire` as the request does."""

    def __init__(self, *, ec2: bool) -> None:
        self._ec2 = ec2
        self.flaws: list[Flaw] = []

    def unknown(self, node: Tree | str, wire: str) -> None:
        self.flaws += [Flaw("unknown", name, value) for name, value in _leaves(node, wire)]

    def structure(self, shape: Any, node: Tree, path: str, wire: str) -> Given:
        names = {self._wire_name(member, name): name for name, member in shape.members.items()}
        given: Given = {}
        for part, below in node.items():
            here = ".".join(filter(None, (wire, part)))
            if part not in names:
                self.unknown(below, here)
                continue
            name = names[part]
            value = self._value(shape.members[name], below, f"{path}.{name}", here)
            if value is not None:
                given[name] = value
        return given

    def _wire_name(self, member: Any, name: str) -> str:
        wanted = member.serialization
        if not self._ec2:
            return str(wanted.get("name", name))
        if "queryName" in wanted:
            return str(wanted["queryName"])
        located = str(wanted.get("name", name))
        return located[0].upper() + located[1:]

    def _value(self, shape: Any, node: Tree | str, path: str, wire: str) -> Any:
        kind = shape.type_name
        if kind in ("structure", "list", "map"):
            if isinstance(node, str):
                if node == "" and kind != "structure":  # an empty list, as the query protocol writes it
                    return [] if kind == "list" else {}
                self.flaws.append(Flaw("unknown", wire, node))
                return None
            read: Callable[..., Any] = {"structure": self.structure, "list": self._list, "map": self._map}[
                kind
            ]
            return read(shape, node, path, wire)
        if not isinstance(node, str):
            self.unknown(node, wire)
            return None
        return self._scalar(kind, node, path)

    def _list(self, shape: Any, node: Tree, path: str, wire: str) -> list[Any]:
        if not self._ec2 and not shape.serialization.get("flattened"):
            below = str(shape.member.serialization.get("name", "member"))
            self._only(node, (below,), wire)
            inner = node.get(below, {})
            if isinstance(inner, str):
                self.flaws.append(Flaw("unknown", f"{wire}.{below}", inner))
                return []
            node, wire = inner, f"{wire}.{below}"
        numbers = [part for part in node if part.isdigit()]
        self._only(node, numbers, wire)
        values = (
            self._value(shape.member, node[part], f"{path}[{index}]", f"{wire}.{part}")
            for index, part in enumerate(sorted(numbers, key=int))
        )
        return [value for value in values if value is not None]

    def _map(self, shape: Any, node: Tree, path: str, wire: str) -> Given:
        if not shape.serialization.get("flattened"):
            self._only(node, ("entry",), wire)
            inner = node.get("entry", {})
            node, wire = (inner if isinstance(inner, dict) else {}), f"{wire}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        given: Given = {}
        for part, entry in node.items():
            if not isinstance(entry, dict) or not isinstance(key := entry.get(key_name), str):
                self.unknown(entry, f"{wire}.{part}")
                continue
            self._only(entry, (key_name, value_name), f"{wire}.{part}")
            if value_name in entry:
                given[key] = self._value(
                    shape.value, entry[value_name], f"{path}.{key}", f"{wire}.{part}.{value_name}"
                )
        return given

    def _only(self, node: Tree, known: Any, wire: str) -> None:
        for part, below in node.items():
            if part not in known:
                self.unknown(below, f"{wire}.{part}")

    def _scalar(self, kind: str, text: str, path: str) -> Any:
        try:
            if kind in ("integer", "long"):
                return int(text)
            if kind in ("float", "double"):
                return float(text)
            if kind == "boolean":
                return {"true": True, "false": False}[text.lower()]
            if kind == "blob":
                return base64.b64decode(text, validate=True)
        except (ValueError, KeyError, binascii.Error):
            self.flaws.append(Flaw("type", path, text, f"Member must be of type {kind}"))
            return None
        return text
