"""The inputs of a resource type, and what it does if they change."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .cloud import Cloud

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's placeholder for a value that a preview cannot know (sdk/go/common/resource/plugin/rpc.go)."""

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Property:
    """One input.

    `replaces` says whether a change needs a new object: always, or by the inputs before and after. `computed`
    marks an optional input that AWS fills in; leaving it out changes nothing. `kind` is how two values compare:
    `value`, `set` (a list without order), `map`, `json` (a document's text) or `block` (with `block`, its own
    inputs). `unread` marks an input that the API does not always return; the known value then stands in.
    """

    required: bool = False
    replaces: bool | Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = False
    computed: bool = False
    default: Any = None
    kind: str = "value"
    block: Mapping[str, Property] = field(default_factory=dict)
    unread: bool = False

    def is_replacing(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Whether a change from the inputs before to those after needs a new object."""
        return self.replaces(before, after) if callable(self.replaces) else self.replaces


REGION = Property(computed=True, replaces=True)
TAGS = Property(kind="map")


class ResourceType(abc.ABC):
    """A resource type: its inputs, and the calls that terraform-provider-aws makes for it (see `calls.py`).

    `token` is Pulumi's name for the type, `label` the provider's own in messages. With `autoname`, we make up a
    missing `name` from the resource's name.

    `framework` marks a type of Terraform's newer plugin framework. It takes the state of a new or changed object
    from the plan, without a read, and keeps the old state if a change fails. A type of the older SDK reads the
    object at the end, and keeps the plan as its state if a change fails (terraform-plugin-sdk,
    helper/schema/resource_data.go, Partial).
    """

    token: ClassVar[str]
    label: ClassVar[str]
    inputs: ClassVar[Mapping[str, Property]]
    autoname: ClassVar[bool] = False
    framework: ClassVar[bool] = False

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        """Errors in the inputs, beyond names and presence: pairs of an input and a reason."""
        return []

    @abc.abstractmethod
    def create(self, cloud: Cloud, inputs: Values) -> str:
        """Create the object and return its id."""

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        """Do what remains once the object exists. A failure here does not lose the object."""
        return

    @abc.abstractmethod
    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        """The object's properties, or None if it is gone. `known` are the properties so far."""

    def planned(self, cloud: Cloud, object_id: str, inputs: Values) -> Values:
        """The properties of a framework type's object after a change, without a read."""
        raise NotImplementedError(f"{self.token} is read after each change")

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Change the tags from those of the old properties to those of the new inputs.

        terraform-provider-aws does this before any other change (internal/provider, tags interceptor).
        """
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Change the object in place from the old properties to the new inputs, all but its tags."""
        return

    @abc.abstractmethod
    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        """Remove the object."""
