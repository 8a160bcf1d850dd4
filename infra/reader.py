"""Reads a stack's settings one by one and collects everything that is wrong with them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from .errors import shown

T = TypeVar("T")

# The deepest setting is a list of mappings of mappings; what is deeper is a mistake.
DEPTH_MAX = 16


class Reader:
    """Typed access to settings that Pulumi hands over as text, with lists and mappings as JSON.

    A setting that is absent or empty reads as None, or as no entries. A wrong one reads the same, and adds its
    value, rule and remedy to `problems`. `secrets` are the keys, with the namespace, that the stack's file holds
    encrypted. We refuse those outside `take_secrets` and read them as absent, so that no other message shows a
    value. `region` is the AWS provider's, if it is known.
    """

    def __init__(
        self,
        namespace: str,
        values: Mapping[str, str],
        secrets: Collection[str] = (),
        take_secrets: Collection[str] = (),
        region: str | None = None,
    ) -> None:
        self.namespace = namespace
        self.secrets = secrets
        self.region = region
        self.problems: list[str] = []
        hidden = [key for key in values if self.is_secret(key) and key not in take_secrets]
        self.values = {key: value for key, value in values.items() if key not in hidden}
        self._hidden = frozenset(hidden)

    def is_secret(self, key: str) -> bool:
        """Whether the stack's file holds the key's value encrypted, as a whole or in part."""
        return f"{self.namespace}:{key}" in self.secrets

    def refuse_secrets(self, known: Collection[str]) -> None:
        """Add a problem for every known key with a secret that the stack would use in the clear."""
        for key in sorted(self._hidden & set(known)):
            self.problems.append(
                f"{key} holds a secret, but the stack uses this setting in the clear, and others in the "
                f"account can read it; set {self.namespace}:{key} without --secret, and keep secrets out of it"
            )

    def is_set(self, key: str) -> bool:
        """Whether the key has a value, right or wrong; an empty list or mapping counts as none."""
        value = self.values.get(key, "").strip()
        return key in self._hidden or re.sub(r"\s", "", value) not in ("", "[]", "{}", "null")

    def wrong(self, key: str, rule: str, remedy: str) -> None:
        """Add a problem with the value of `key`."""
        self.problems.append(f"{key} {shown(self.values.get(key, ''))} {rule}; {remedy}")

    def require(self, key: str, example: str) -> None:
        """Add the problem that `key` is missing."""
        self.problems.append(
            f"{key} is not set, and is required; set {self.namespace}:{key}, such as {example}"
        )

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Add a problem for every key that is not known, with the nearest known one."""
        for key in sorted({*self.values, *self._hidden} - set(known)):
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"remove {self.namespace}:{shown(key)}"
            self.problems.append(f"{shown(key)} is not a setting of {self.namespace}; {remedy}")

    def text(self, key: str, pattern: str = ".*", example: str = "") -> str | None:
        """The text, which must match the pattern as a whole."""
        value = self.values.get(key, "").strip()
        if not value:
            return None
        if not re.fullmatch(pattern, value):
            self.wrong(
                key, f"is not of the form {pattern}", f"set {self.namespace}:{key} to one such as {example}"
            )
            return None
        return value

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        """One of the choices."""
        value = self.text(key)
        if value is not None and value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            hint = f"did you mean {near[0]}?" if near else f"set {self.namespace}:{key} to one of them"
            self.wrong(key, f"is not one of {', '.join(choices)}", hint)
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.values.get(key, "").strip().lower()
        if value not in ("", "true", "false"):
            self.wrong(key, "is neither true nor false", f"set {self.namespace}:{key} to one of the two")
        return value == "true" if value in ("true", "false") else None

    def integer(self, key: str, low: int, high: int, unit: str) -> int | None:
        """A whole number from low to high."""
        value = self.values.get(key, "").strip()
        if not value:
            return None
        # Python refuses to read numbers of thousands of digits (sys.set_int_max_str_digits).
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not low <= int(value) <= high:
            self.wrong(
                key, f"is not a whole number from {low} to {high}", f"set {self.namespace}:{key} in {unit}"
            )
            return None
        return int(value)

    def address(self, key: str) -> IPv4Address | None:
        """An IPv4 address."""
        return self._parse(key, self.text(key), IPv4Address, "10.0.250.185")

    def network(self, key: str) -> IPv4Network | None:
        """An IPv4 network, with no bit of a host set."""
        return self._parse(key, self.text(key), IPv4Network, "10.0.250.0/24")

    def addresses(self, key: str, count: int | None = None) -> tuple[IPv4Address, ...]:
        """IPv4 addresses, exactly `count` of them if that is given; empty if any is wrong."""
        items = self._json(key, list, "a list")
        if not items:
            return ()
        count = len(items) if count is None else count
        if len(items) != count:
            self.wrong(
                key, f"has {len(items)} addresses, not {count}", f"list {count} in {self.namespace}:{key}"
            )
        parsed = [self._parse(key, str(item), IPv4Address, "10.0.250.186") for item in items]
        found = tuple(p for p in parsed if p is not None)
        return found if len(found) == len(items) == count else ()

    def entries(self, key: str) -> list[Any]:
        """A list of anything."""
        return self._json(key, list, "a list") or []

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping of anything."""
        return self._json(key, dict, "a mapping") or {}

    def secret(self, key: str, command: str) -> str | None:
        """A text that the stack's file must hold encrypted. No message shows its value."""
        value = self.values.get(key, "").strip()
        if not value:
            return None
        if not self.is_secret(key):
            self.problems.append(f"{key} is a secret, but is stored in plain text; set it with: {command}")
            return None
        return value

    def _json(self, key: str, kind: type[T], article: str) -> T | None:
        value = self.values.get(key, "").strip()
        if not value:
            return None
        try:
            parsed = json.loads(value)
            if _depth(parsed) > DEPTH_MAX:
                parsed = None
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, kind):
            self.wrong(
                key, f"is not {article}", f"write {self.namespace}:{key} as {article} in the stack's file"
            )
            return None
        return parsed

    def _parse(self, key: str, value: str | None, parser: Callable[[str], T], example: str) -> T | None:
        if value is None:
            return None
        try:
            return parser(value)
        except ValueError as e:
            self.problems.append(
                f"{key} {shown(value)} does not parse ({shown(str(e))}); set {self.namespace}:{key} to a value "
                f"such as {example}"
            )
            return None


def _depth(value: object) -> int:
    """How deep lists and mappings are nested."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
