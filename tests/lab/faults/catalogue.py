"""Every fault by name, as `make fault` offers it, with what it breaks by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.faults import CLIENT, Fault, Faults
from tests.lab.faults.machine import DAEMONS


@dataclass(frozen=True)
class Target:
    """What a fault hits: `node` (an instance id), along with the pair's `other` node and its VIP."""

    node: str
    other: str
    vip: str


@dataclass(frozen=True)
class Entry:
    """A fault of the catalogue: its name, what it does to a target in words, and how to begin it."""

    name: str
    does: str
    begin: Callable[[Faults, Target], Fault]


def _kill(daemon: str) -> Entry:
    return Entry(f"kill-{daemon}", f"SIGKILL for {daemon}", lambda f, on: f.kill(on.node, daemon))


def _api(kind: str, does: str) -> Entry:
    return Entry(f"api-{kind}", f"the EC2 API {does}", lambda f, on: f.api(on.node, kind))


def _imds(kind: str, does: str) -> Entry:
    return Entry(f"imds-{kind}", f"the metadata service {does}", lambda f, on: f.imds(on.node, kind))


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("power-loss", "the machine loses power", lambda f, on: f.power_loss(on.node)),
        Entry("hang", "the machine stands still", lambda f, on: f.hang(on.node)),
        Entry("stall", "its processes stand still, its kernel does not", lambda f, on: f.stall(on.node)),
        Entry("reboot", "EC2 reboots it", lambda f, on: f.reboot(on.node)),
        *(_kill(daemon) for daemon in DAEMONS),
        Entry("partition", "no packet between the nodes", lambda f, on: f.partition(on.node, on.other)),
        Entry(
            "partition-one-way",
            "no packet from the node to the other",
            lambda f, on: f.partition(on.node, on.other, one_way=True),
        ),
        Entry(
            "partition-corosync",
            "no packet of Corosync between the nodes",
            lambda f, on: f.partition(on.node, on.other, protocol="corosync"),
        ),
        Entry(
            "partition-client",
            "no packet between the node and the client",
            lambda f, on: f.partition(on.node, CLIENT),
        ),
        Entry("isolate", "no packet to or from the node at all", lambda f, on: f.isolate(on.node)),
        Entry("packet-loss", "a fifth of the node's packets get lost", lambda f, on: f.packet_loss(on.node)),
        Entry("dns-down", "the name service does not answer the node", lambda f, on: f.dns_down(on.node)),
        _imds("down", "closes the node's connections"),
        _imds("slow", "takes 3 s for each answer to the node"),
        _imds("hang", "never answers the node"),
        *(_imds(status, f"answers the node with {status}") for status in ("401", "404", "503")),
        _api("down", "closes the node's connections"),
        _api("slow", "takes 3 s for each answer to the node"),
        _api("hang", "never answers the node"),
        _api("throttled", "tells the node RequestLimitExceeded"),
        _api("denied", "tells the node UnauthorizedOperation"),
        _api("expired", "tells the node RequestExpired, as if its clock were wrong"),
        Entry("disk-full", "its disk has 64 KiB left", lambda f, on: f.disk_full(on.node)),
        Entry("clock-step", "its clock is an hour ahead", lambda f, on: f.clock_step(on.node)),
        Entry("cpu-starved", "it has a twentieth of a processor", lambda f, on: f.cpu_starved(on.node)),
        Entry("memory-pressure", "it has 8 MiB of memory left", lambda f, on: f.memory_pressure(on.node)),
        Entry("no-processes", "it can start no process", lambda f, on: f.no_processes(on.node)),
        Entry("vip-stolen", "a third interface takes the VIP in EC2", lambda f, on: f.vip_stolen(on.vip)),
        Entry(
            "os-address-deleted",
            "its system loses the VIP (the node must be the holder)",
            lambda f, on: f.os_address_deleted(on.node, on.vip),
        ),
        Entry(
            "os-address-added",
            "its system gets the VIP too (the node must be the standby)",
            lambda f, on: f.os_address_added(on.node, on.vip),
        ),
        Entry("role-detached", "its instance profile is detached", lambda f, on: f.role_detached(on.node)),
    )
}
