"""The names and tags of everything that a pair is made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pulumi

from .errors import quoted, raise_if_any, shown

# The stack's own tags: a resource's name, the pair that it belongs to, and a digest of what replaces a node.
NAME, PAIR, MADE_FROM = "Name", "ec2vip:pair", "ec2vip:made-from"
OWN = (NAME, PAIR, MADE_FROM)
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
TAGS_MAX, KEY_LENGTH_MAX, VALUE_LENGTH_MAX = 50, 128, 256
# Beside \p{L}, \p{Z} and \p{N} in the patterns of IAM's and Systems Manager's tags (botocore's models).
TAG_SIGNS = "_.:/=+-@"
# A role's name has 64 characters at most; Pulumi adds eight to `NAME-role`:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
NAME_LENGTH_MAX = 64 - len("-role") - 8
# What a tag's value, an IAM path and a parameter's name all take; * and ? would be wildcards in a policy.
PART = re.compile(r"[A-Za-z0-9_.-]+")


def full_name(project: str, stack: str, name: str) -> str:
    """The name that tells a pair from every other one in the account: the value of the tag `ec2vip:pair`."""
    return f"{project}/{stack}/{name}"


@dataclass(frozen=True)
class Scope:
    """A pair's component, as its parts see it: whose children they are and what they are called.

    `pair` is the component, `name` its name, `extra_tags` the user's. Raises ConfigError if the name does
    not fit AWS.
    """

    pair: pulumi.ComponentResource
    name: str
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        raise_if_any(list(name_problems(pulumi.get_project(), pulumi.get_stack(), self.name)))

    @property
    def full_name(self) -> str:
        """The pair's name in the account: `ec2vip/dev/ec2vip`."""
        return full_name(pulumi.get_project(), pulumi.get_stack(), self.name)

    def part(self, role: str) -> str:
        """The name of the part with that role: `ec2vip-subnet`."""
        return f"{self.name}-{role}"

    def tags(self, role: str) -> dict[str, str]:
        """The tags of the part with that role."""
        return {**self.extra_tags, NAME: self.part(role), PAIR: self.full_name}

    def options(self, **options: object) -> pulumi.ResourceOptions:
        """Resource options that make the part the pair's child."""
        return pulumi.ResourceOptions(parent=self.pair, **options)  # type: ignore[arg-type]

    def asks(self) -> pulumi.InvokeOptions:
        """Options for a look-up by the pair's provider: in its account and Region, not the default one's."""
        return pulumi.InvokeOptions(parent=self.pair)


def name_problems(project: str, stack: str, name: str) -> Iterator[str]:
    """Why a pair of that project, stack and name cannot have its full name in tags, paths and policies."""
    for what, part in (("project", project), ("stack", stack), ("pair", name)):
        if not PART.fullmatch(part):
            yield (
                f"{what} {part!r} has characters other than letters, digits, _, . and -, which IAM and the "
                f"Systems Manager refuse here; rename the {what}"
            )
    if len(name) > NAME_LENGTH_MAX:
        yield (
            f"pair {name} has {len(name)} characters, but its role's name has room for only {NAME_LENGTH_MAX}; "
            "shorten it"
        )
    if (length := len(full_name(project, stack, name))) > VALUE_LENGTH_MAX:
        yield (
            f"{full_name(project, stack, name)} has {length} characters, and AWS takes {VALUE_LENGTH_MAX} in the "
            "tag's value; shorten the project's or the stack's name"
        )


def tag_problems(tags: Mapping[str, object]) -> Iterator[str]:
    """Which of the user's tags AWS, or this stack, would refuse."""
    for key, value in tags.items():
        if not isinstance(value, str):
            yield (
                f"tags {shown(key)} {quoted(value)} is not a text; put the value of {shown(key)} in quotes in "
                "ec2vip:tags"
            )
        elif len(value) > VALUE_LENGTH_MAX:
            yield f"tags {shown(key)} has {len(value)} characters, and AWS takes {VALUE_LENGTH_MAX}; shorten it"
        if not 1 <= len(key) <= KEY_LENGTH_MAX:
            yield f"tags {quoted(key)} has {len(key)} characters, and AWS takes 1 to {KEY_LENGTH_MAX}; rename it"
        if key.lower().startswith("aws:"):
            yield f"tags {shown(key)} starts with aws:, which AWS keeps for itself; rename it in ec2vip:tags"
        if key in OWN:
            yield f"tags {key} is one of the stack's own; remove it from ec2vip:tags"
    yield from _case_problems(tags)
    for text in dict.fromkeys([*tags, *(value for value in tags.values() if isinstance(value, str))]):
        if strange := "".join(dict.fromkeys(c for c in text if not _is_in_every_tag(c))):
            yield (
                f"tags {shown(text)} has {quoted(strange)}, but all AWS services take only letters, digits, "
                f"spaces and {TAG_SIGNS} in tags; remove {quoted(strange)} in ec2vip:tags"
            )
    if len(tags) > TAGS_MAX - len(OWN):
        yield f"tags has {len(tags)} entries, and AWS takes {TAGS_MAX} with the stack's {len(OWN)}; remove some"


def _case_problems(tags: Mapping[str, object]) -> Iterator[str]:
    """Which keys are the same to IAM, which ignores case."""
    for number, key in enumerate(tags):
        for other in [*OWN, *list(tags)[:number]]:
            if key != other and key.lower() == other.lower():
                yield (
                    f"tags {shown(key)} differs from {shown(other)} only in upper and lower case, so IAM takes "
                    "it for a duplicate; rename or remove it in ec2vip:tags"
                )


def _is_in_every_tag(character: str) -> bool:
    """Whether IAM and Systems Manager take the character in a tag; EC2's own resources take more."""
    return unicodedata.category(character)[0] in "LZN" or character in TAG_SIGNS
