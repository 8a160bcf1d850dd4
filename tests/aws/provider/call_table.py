"""The format of a table of API calls, and how to compare calls with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """One call. `many`: once or more often. `only_warns`: the provider only logs a failure."""

    action: str
    many: bool = False
    only_warns: bool = False


@dataclass(frozen=True)
class When:
    """Calls that the provider makes together, if the condition holds."""

    condition: str
    calls: tuple[Row, ...]


Row = Call | When


def when(condition: str, *calls: Row) -> When:
    """Calls under a condition."""
    return When(condition, calls)


def polled(action: str) -> Call:
    """A call that waits for a state."""
    return Call(action, many=True)


EC2_TAGS = (
    when("tags are gone", Call("ec2:DeleteTags")),
    when("tags are new or changed", Call("ec2:CreateTags")),
)
TAGS: dict[str, tuple[Row, ...]] = {
    "ec2": EC2_TAGS,
    "role": (
        when("tags are gone", Call("iam:UntagRole")),
        when("tags are new or changed", Call("iam:TagRole")),
    ),
    "profile": (
        when("tags are gone", Call("iam:UntagInstanceProfile")),
        when("tags are new or changed", Call("iam:TagInstanceProfile")),
    ),
    "parameter": (
        when("tags are gone", Call("ssm:RemoveTagsFromResource")),
        when("tags are new or changed", Call("ssm:AddTagsToResource")),
    ),
    "none": (),
}


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The calls of one resource type."""

    file: str
    at: str
    create: tuple[Row, ...]
    read: tuple[Row, ...]
    update: tuple[Row, ...] = ()
    delete: tuple[Row, ...]
    tags: str = "ec2"
    framework: bool = False

    def own(self, operation: str) -> tuple[Row, ...]:
        """The rows of an operation, without the read at its end."""
        rows: tuple[Row, ...] = getattr(self, operation)
        return (*TAGS[self.tags], *rows) if operation == "update" else rows

    def rows(self, operation: str) -> tuple[Row, ...]:
        """All rows of an operation."""
        reads = operation in ("create", "update") and not self.framework
        return (*self.own(operation), *(self.read if reads else ()))


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """The calls of one look-up."""

    file: str
    calls: tuple[Row, ...] = field(default=())


def condense(rows: Sequence[Row], calls: Sequence[str]) -> set[int] | None:
    """The places of the rows' calls that were made; None if other calls were made, or in another order."""
    pattern = "".join(_patterns(rows, [0]))
    found = re.fullmatch(pattern, "".join(f"{call};" for call in calls))
    if found is None:
        return None
    return {int(name[1:]) for name, text in found.groupdict().items() if text}


def flat(rows: Sequence[Row]) -> list[Call]:
    """The calls of the rows, each at its place."""
    return [call for row in rows for call in (flat(row.calls) if isinstance(row, When) else [row])]


def _patterns(rows: Sequence[Row], place: list[int]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, When):
            yield "(?:" + "".join(_patterns(row.calls, place)) + ")?"
            continue
        yield f"(?P<c{place[0]}>(?:{re.escape(row.action)};)" + ("+" if row.many else "") + ")"
        place[0] += 1
