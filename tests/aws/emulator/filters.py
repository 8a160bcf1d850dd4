"""The filters of DescribeNetworkInterfaces. Source of their names and meaning: botocore's EC2 model."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError


def matches(eni: Any, filters: Mapping[str, list[str]]) -> bool:
    """Whether an interface passes all filters, which `check` has accepted.

    It passes a filter if one of the filter's values matches one of its own; `*` and `?` are wildcards.
    """
    return all(
        any(pattern(wanted).fullmatch(value) for wanted in values for value in _values(eni, name))
        for name, values in filters.items()
    )


def check(filters: Iterable[str]) -> None:
    """Raise `InvalidParameterValue` for a filter that AWS does not have."""
    for name in filters:
        if name not in _FILTERS and not name.startswith("tag:"):
            raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")


def _values(eni: Any, name: str) -> list[str]:
    if name.startswith("tag:"):
        return [tag["value"] for tag in eni.get_tags() if tag["key"] == name.removeprefix("tag:")]
    found = _FILTERS[name](eni)
    values = found if isinstance(found, list) else [found]
    return [_text(value) for value in values if value is not None]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.lru_cache(maxsize=512)
def pattern(wanted: str) -> re.Pattern[str]:
    """A pattern for AWS's wildcards: `*` is any text, `?` one character; a backslash makes either literal."""
    parts = re.split(r"(\\[*?\\]|[*?])", wanted)
    kinds = {"*": ".*", "?": "."}
    return re.compile(
        "".join(kinds.get(part) or re.escape(part.removeprefix("\\")) for part in parts), re.DOTALL
    )


def _attachment(name: str) -> Callable[[Any], Any]:
    return lambda eni: getattr(eni.attachment, name) if eni.attachment else None


def _addresses(name: str) -> Callable[[Any], Any]:
    return lambda eni: [item.get(name) for item in eni.private_ip_addresses]


def _association(name: str) -> Callable[[Any], Any]:
    return lambda eni: (eni.association or {}).get(name)


_FILTERS: dict[str, Callable[[Any], Any]] = {
    "addresses.association.owner-id": _association("ipOwnerId"),
    "addresses.association.public-ip": _association("publicIp"),
    "addresses.primary": _addresses("Primary"),
    "addresses.private-ip-address": _addresses("PrivateIpAddress"),
    "association.allocation-id": _association("allocationId"),
    "association.association-id": _association("associationId"),
    "association.ip-owner-id": _association("ipOwnerId"),
    "association.public-dns-name": _association("publicDnsName"),
    "association.public-ip": _association("publicIp"),
    "attachment.attachment-id": _attachment("attachment_id"),
    "attachment.delete-on-termination": _attachment("delete_on_termination"),
    "attachment.device-index": _attachment("device_index"),
    "attachment.instance-id": _attachment("instance_id"),
    "attachment.instance-owner-id": _attachment("instance_owner_id"),
    "attachment.status": _attachment("status"),
    "availability-zone": lambda eni: eni.availability_zone,
    "description": lambda eni: eni.description,
    "group-id": lambda eni: [group.id for group in eni.group_set],
    "group-name": lambda eni: [group.name for group in eni.group_set],
    "interface-type": lambda eni: eni.interface_type,
    "mac-address": lambda eni: eni.mac_address,
    "network-interface-id": lambda eni: eni.id,
    "owner-id": lambda eni: eni.owner_id,
    "private-dns-name": lambda eni: eni.private_dns_name,
    "private-ip-address": _addresses("PrivateIpAddress"),
    "requester-id": lambda eni: eni.requester_id,
    "requester-managed": lambda eni: eni.requester_managed,
    "source-dest-check": lambda eni: eni.source_dest_check,
    "status": lambda eni: eni.status,
    "subnet-id": lambda eni: eni.subnet_id,
    "tag-key": lambda eni: [tag["key"] for tag in eni.get_tags()],
    "vpc-id": lambda eni: eni.vpc_id,
}
