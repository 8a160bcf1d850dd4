"""What a resource type takes, and how it behaves when that changes."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .cloud import Cloud

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine puts for a value that a preview cannot know (sdk/go/common/resource/plugin/rpc.go)."""

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Property:
    """One input.

    `replaces` says whether a change needs another object, always or by the inputs before and after. `computed`
    is an optional one that AWS fills in: leaving it out changes nothing. `kind` is how two values compare:
    `value`, `set` (a list without order), `map`, `json` (a document's text) or `block` (with `block`, its own
    inputs). `unread` marks what the API does not always tell, so that what is known already stands in for it.
    """

    required: bool = False
    replaces: bool | Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = False
    computed: bool = False
    default: Any = None
    kind: str = "value"
    block: Mapping[str, Property] = field(default_factory=dict)
    unread: bool = False

    def is_replacing(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Whether a change from those inputs to these needs another object."""
        return self.replaces(before, after) if callable(self.replaces) else self.replaces


REGION = Property(computed=True, replaces=True)
TAGS = Property(kind="map")


class ResourceType(abc.ABC):
    """A type of resource: its inputs, and the calls that terraform-provider-aws makes for it (see `calls.py`).

    `token` is Pulumi's name for it, `label` the provider's own in messages. `autoname` makes up a `name` from
    the resource's when the inputs have none.

    `framework` marks a type of Terraform's newer plugin framework. It takes a new object's and a changed object's
    state from the plan, without reading, and keeps the old state if a change fails. A type of the older SDK
    reads at the end, and keeps the plan as its state if a change fails (terraform-plugin-sdk,
    helper/schema/resource_data.go, Partial).
    """

    token: ClassVar[str]
    label: ClassVar[str]
    inputs: ClassVar[Mapping[str, Property]]
    autoname: ClassVar[bool] = False
    framework: ClassVar[bool] = False

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        """What is wrong with the inputs beyond names and presence: pairs of an input and a reason."""
        return []

    @abc.abstractmethod
    def create(self, cloud: Cloud, inputs: Values) -> str:
        """Make the object and return its id."""

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        """What is left to do once the object is there; a failure here does not lose it."""
        return

    @abc.abstractmethod
    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        """The object's properties, or None if it is gone. `known` are the properties so far."""

    def planned(self, cloud: Cloud, object_id: str, inputs: Values) -> Values:
        """The properties of an object of the framework that nobody reads after a change."""
        raise NotImplementedError(f"{self.token} is read after each change")

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Change the tags from those of the old properties to those of the new inputs.

        terraform-provider-aws does so before any other change (internal/provider, tags interceptor).
        """
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Change the object in place from the old properties to the new inputs, all but its tags."""
        return

    @abc.abstractmethod
    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        """Remove the object."""
