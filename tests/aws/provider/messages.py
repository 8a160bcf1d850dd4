"""Converts values between Pulumi's messages and Python."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, struct_pb2


def to_values(message: struct_pb2.Struct) -> dict[str, Any]:
    """A message's values: whole numbers as integers, absent ones left out."""
    values: dict[str, Any] = _plain(json_format.MessageToDict(message))
    return values


def to_struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """Values as a message; None is left out."""
    message = struct_pb2.Struct()
    message.update(_plain(values))
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
