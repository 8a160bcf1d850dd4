"""What runs where the VIP is: the entries of `services`."""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from cloudinit import cib
from cloudinit.platforms import PLATFORMS
from cloudinit.spec import UNIT_KINDS, Member, NodeSpec, Service

from .errors import quoted, shown

KEYS = ("unit", "agent", "name", "parameters", "packages", "timeouts", "interval", "movesVip")
TIMEOUTS = ("start", "stop", "monitor")
# A unit's name: systemd.unit(5). A resource's is an XML id.
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")
AGENT = re.compile(r"ocf:[A-Za-z0-9_-]+:[A-Za-z0-9_.-]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# A package's name in Debian and Amazon Linux alike. To apt, `name-` means "remove it", and `name+` "install it".
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9+._-]*[A-Za-z0-9._])?")
# Units of the cluster or of the node itself. Under the cluster they could never start, or would end with a move.
_NETWORK_UNITS = {
    unit.partition("@")[0] for platform in PLATFORMS.values() for unit in platform.network_units
}
NOT_UNITS = re.compile(
    r"(ec2vip|corosync|pacemaker|pcsd|dbus|systemd|polkit|cloud-(init|config|final)|network(ing)?|NetworkManager|"
    rf"ifup|dhclient|dhcpcd|{'|'.join(map(re.escape, sorted(_NETWORK_UNITS)))})([-@.].*)?"
)
OTHER_KINDS = (".target", ".slice", ".scope", ".device", ".swap", ".automount", ".snapshot")
NOT_AGENTS = ("ocf:heartbeat:ec2vip", "ocf:heartbeat:awsvip", "ocf:heartbeat:IPaddr2")
# Ids that pcs makes up in the CIB, for the cluster's properties and defaults, and for a resource's parts.
PCS_IDS = (
    "cib-bootstrap-options",
    "rsc_defaults",
    "op_defaults",
    "build-resource-defaults",
    "build-operation-defaults",
)
PCS_PARTS = re.compile(r".*-(instance_attributes|meta_attributes|[a-z_]+-interval-[0-9]+m?s?)(-.*)?")
# Seconds. An hour is longer than anybody waits for an address.
SECONDS_MIN, SECONDS_MAX = 1, 3600


class ServiceError(ValueError):
    """What is wrong with one entry of `services`."""


def parse_service(entry: object) -> Service:
    """One entry of `services`. Raises ServiceError."""
    if not isinstance(entry, Mapping):
        raise ServiceError("is not a mapping; write {unit: nginx} or {agent: ocf:heartbeat:Filesystem}")
    _refuse_unknown(entry, KEYS)
    agent = _agent(entry)
    given = _timeouts(entry.get("timeouts", {}))
    moves = entry.get("movesVip", True)
    if not isinstance(moves, bool):
        raise ServiceError(f"has the movesVip {quoted(moves)}; set it to true or false")
    return Service(
        name=_name(entry.get("name"), agent),
        agent=agent,
        parameters=_parameters(entry.get("parameters", {}), agent),
        packages=_packages(entry.get("packages", ())),
        start_s=given.get("start"),
        stop_s=given.get("stop"),
        monitor_s=given.get("monitor"),
        interval_s=None if entry.get("interval") is None else _seconds("interval", entry["interval"]),
        moves_vip=moves,
    )


def naming_problems(services: Sequence[Service]) -> Iterator[str]:
    """Which services have the name of an earlier one."""
    for number, service in enumerate(services):
        if service.name in [earlier.name for earlier in services[:number]]:
            yield (
                f"services has two entries named {service.name}, but the cluster tells services apart by name; "
                "rename one"
            )


@functools.cache
def own_names() -> tuple[str, ...]:
    """The names and ids that the stack itself makes in the CIB, from the very commands that make them."""
    address = IPv4Address("10.0.0.4")
    members = (Member(name="a", address=address + 1), Member(name="b", address=address + 2))
    spec = NodeSpec(
        cluster_name="a",
        name="a",
        members=members,
        vips=(address, address + 3),
        prefix_length=24,
        platform=next(iter(PLATFORMS)),
        services=(Service(name="service", agent="systemd:service"),),
    )
    made = [group.name for group in cib.groups(spec)]
    made += [resource.name for group in cib.groups(spec) for resource in (group.in_ec2, group.in_os)]
    made += [word[3:] for words in cib.commands(spec) for word in words if word.startswith("id=")]
    return tuple(sorted({*made, cib.SETTINGS_PROPERTY, *PCS_IDS}))


def _refuse_unknown(entry: Mapping[Any, Any], known: Sequence[str], where: str = "") -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
            raise ServiceError(f"has the unknown key {where}{shown(str(key))}; {hint}")


def _agent(entry: Mapping[str, Any]) -> str:
    unit, agent = entry.get("unit"), entry.get("agent")
    if (unit is None) == (agent is None):
        have = (
            "neither unit nor agent"
            if unit is None
            else f"both unit {shown(str(unit))} and agent {shown(str(agent))}"
        )
        raise ServiceError(f"has {have}; set one: unit for systemd's, such as nginx, or agent for an OCF one")
    if agent is not None:
        if not AGENT.fullmatch(str(agent)):
            raise ServiceError(
                f"has the agent {quoted(agent)}; write it as ocf:PROVIDER:NAME, such as ocf:heartbeat:Filesystem"
            )
        if agent in NOT_AGENTS:
            raise ServiceError(f"has the agent {agent}, which moves addresses; list the address in vips")
        return str(agent)
    return f"systemd:{_unit(str(unit))}"


def _unit(name: str) -> str:
    """The unit's name as Pacemaker takes it: without the kind, if that is .service."""
    if not UNIT.fullmatch(name) or name.startswith(("-", ".")):
        raise ServiceError(
            f"has the unit {quoted(name)}; write a unit's name, such as nginx or nginx.service"
        )
    stem, dot, kind = name.rpartition(".")
    if f".{kind}" in UNIT_KINDS:
        own = stem
    elif dot and (f".{kind}" in OTHER_KINDS or kind.isalpha()):
        # `php8.2-fpm` is a service's name; `foo.bar` is a slip, for which systemd would look for foo.bar.service.
        raise ServiceError(
            f"has the unit {shown(name)}, but the cluster runs only {', '.join(UNIT_KINDS)}; name a unit of "
            "these kinds"
        )
    else:
        own = name
    if NOT_UNITS.fullmatch(own):
        raise ServiceError(f"has the unit {shown(name)}, which the cluster itself needs; remove it")
    if own.endswith("@"):
        raise ServiceError(f"has the unit {shown(name)}, a template; name an instance of it, such as web@1")
    return name.removesuffix(".service")


def _name(given: object, agent: str) -> str:
    name = str(given) if given is not None else re.sub(r"[^A-Za-z0-9_.-]", "-", agent.rpartition(":")[2])
    if not NAME.fullmatch(name):
        raise ServiceError(
            f"has the name {quoted(name)}; set name to letters, digits, -, _ and ., a letter first, at most 64"
        )
    for own in own_names():
        if name == own or name.startswith(f"{own}-"):
            raise ServiceError(
                f"has the name {name}, but the stack names its own parts {own}; choose another name"
            )
    if PCS_PARTS.fullmatch(name):
        raise ServiceError(
            f"has the name {name}, but pcs names a resource's parts like that; choose another name"
        )
    return name


def _parameters(given: object, agent: str) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ServiceError(
            f"has the parameters {quoted(given)}; write a mapping, such as {{directory: /srv}}"
        )
    if given and agent.startswith("systemd:"):
        raise ServiceError("has parameters, but a systemd unit takes none; remove them")
    found = {}
    for key, value in given.items():
        if not PARAMETER.fullmatch(str(key)):
            raise ServiceError(
                f"has the parameter {quoted(key)}; an OCF parameter's name is letters, digits, _ and -"
            )
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str | int | float) or not _is_line(str(value)):
            raise ServiceError(
                f"has the parameter {key} {quoted(value)}; set it to one line of text or a number"
            )
        found[str(key)] = str(value)
    return found


def _is_line(text: str) -> bool:
    """Whether the text is one line, not blank, without control characters (Unicode's C categories)."""
    return bool(text.strip()) and not any(
        unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in text
    )


def _packages(given: object) -> tuple[str, ...]:
    wanted = [given] if isinstance(given, str) else given
    if not isinstance(wanted, Sequence):
        raise ServiceError(f"has the packages {quoted(given)}; write a list, such as [nginx]")
    for name in wanted:
        if not PACKAGE.fullmatch(str(name)):
            raise ServiceError(f"has the package {quoted(name)}; write its name alone, such as nginx")
    return tuple(str(name) for name in wanted)


def _timeouts(given: object) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise ServiceError(f"has the timeouts {quoted(given)}; write a mapping, such as {{start: 120}}")
    _refuse_unknown(given, TIMEOUTS, "timeouts.")
    return {str(key): _seconds(f"timeouts.{key}", value) for key, value in given.items()}


def _seconds(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not SECONDS_MIN <= value <= SECONDS_MAX:
        raise ServiceError(
            f"has the {key} {quoted(value)}, which is not a whole number from {SECONDS_MIN} to {SECONDS_MAX}; "
            f"set {key} in seconds"
        )
    return value
