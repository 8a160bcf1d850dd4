"""What runs where the VIP is: the entries of `services`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudinit.spec import UNIT_KINDS, Service

KEYS = ("unit", "agent", "name", "parameters", "packages", "timeouts", "interval", "movesVip")
TIMEOUTS = ("start", "stop", "monitor")
# A unit's name: systemd.unit(5). A resource's is an XML id.
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")
AGENT = re.compile(r"ocf:[A-Za-z0-9_-]+:[A-Za-z0-9_.-]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# Of Debian and of Amazon Linux alike.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
# What the cluster itself is made of; under itself it could never start.
NOT_UNITS = ("corosync", "pacemaker", "pcsd", "ec2vip-bootstrap", "dbus", "systemd-networkd")
NOT_AGENTS = ("ocf:heartbeat:ec2vip", "ocf:heartbeat:awsvip", "ocf:heartbeat:IPaddr2")
OURS = re.compile(r"(ec2vip|vip|vip-group)(-\d+)?")
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
        raise ServiceError(f"has the movesVip {moves!r}; set it to true or false")
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
    """What is wrong with the names of services beside each other's."""
    for number, service in enumerate(services):
        if service.name in [earlier.name for earlier in services[:number]]:
            yield (
                f"services has two called {service.name}, and the cluster tells them apart by name; give one "
                "of them another name"
            )


def _refuse_unknown(entry: Mapping[Any, Any], known: Sequence[str], where: str = "") -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
            raise ServiceError(f"has the unknown key {where}{key}; {hint}")


def _agent(entry: Mapping[str, Any]) -> str:
    unit, agent = entry.get("unit"), entry.get("agent")
    if (unit is None) == (agent is None):
        have = "neither unit nor agent" if unit is None else f"both unit {unit} and agent {agent}"
        raise ServiceError(f"has {have}; set one: unit for systemd's, such as nginx, or agent for an OCF one")
    if agent is not None:
        if not AGENT.fullmatch(str(agent)):
            raise ServiceError(
                f"has the agent {agent!r}; write it as ocf:PROVIDER:NAME, such as ocf:heartbeat:Filesystem"
            )
        if agent in NOT_AGENTS:
            raise ServiceError(f"has the agent {agent}, which moves addresses; list the address in vips")
        return str(agent)
    name = str(unit)
    kind = name[name.rfind(".") :] if "." in name else ".service"
    if not UNIT.fullmatch(name) or name.startswith(("-", ".")):
        raise ServiceError(f"has the unit {unit!r}; write a unit's name, such as nginx or nginx.service")
    if kind in (".target", ".slice", ".scope", ".device", ".swap"):
        raise ServiceError(
            f"has the unit {name}, and the cluster runs {', '.join(UNIT_KINDS)}; name such a one"
        )
    if name.removesuffix(".service") in NOT_UNITS:
        raise ServiceError(f"has the unit {name}, which the cluster itself needs; remove it")
    if name.partition(".")[0].endswith("@"):
        raise ServiceError(f"has the unit {name}, a template; name an instance of it, such as web@1")
    return f"systemd:{name.removesuffix('.service')}"


def _name(given: object, agent: str) -> str:
    name = str(given) if given is not None else re.sub(r"[^A-Za-z0-9_.-]", "-", agent.rpartition(":")[2])
    if not NAME.fullmatch(name):
        raise ServiceError(
            f"has the name {name!r}; set name to letters, digits, -, _ and ., a letter first, 64 at most"
        )
    if OURS.fullmatch(name):
        raise ServiceError(f"has the name {name}, which a VIP's own resource has; set name to another")
    return name


def _parameters(given: object, agent: str) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ServiceError(f"has the parameters {given!r}; write a mapping, such as {{directory: /srv}}")
    if given and agent.startswith("systemd:"):
        raise ServiceError("has parameters, and a systemd unit has none; remove them")
    found = {}
    for key, value in given.items():
        if not PARAMETER.fullmatch(str(key)):
            raise ServiceError(
                f"has the parameter {key!r}; an OCF parameter's name is letters, digits, _ and -"
            )
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str | int | float) or any(c in str(value) for c in "\n\r\0"):
            raise ServiceError(f"has the parameter {key} {value!r}; set it to one line of text or a number")
        found[str(key)] = str(value)
    return found


def _packages(given: object) -> tuple[str, ...]:
    wanted = [given] if isinstance(given, str) else given
    if not isinstance(wanted, Sequence):
        raise ServiceError(f"has the packages {given!r}; write a list, such as [nginx]")
    for name in wanted:
        if not PACKAGE.fullmatch(str(name)):
            raise ServiceError(f"has the package {name!r}; write its name alone, such as nginx")
    return tuple(str(name) for name in wanted)


def _timeouts(given: object) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise ServiceError(f"has the timeouts {given!r}; write a mapping, such as {{start: 120}}")
    _refuse_unknown(given, TIMEOUTS, "timeouts.")
    return {str(key): _seconds(f"timeouts.{key}", value) for key, value in given.items()}


def _seconds(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not SECONDS_MIN <= value <= SECONDS_MAX:
        raise ServiceError(
            f"has the {key} {value!r}, which is not a whole number from {SECONDS_MIN} to {SECONDS_MAX}; "
            f"set {key} in seconds"
        )
    return value
