"""The VPC's data plane in one network namespace: routes, security groups, and the way to the services.

Every network interface is a veth pair: the guest's end is `ens5` in the node's namespace, the other end is in
the namespace `fabric`. As in a VPC, a packet reaches a guest only along the /32 route of an address that is
*assigned in EC2*, whatever the guest's system thinks. A guest answers only to an address that *its system*
has.

Forwarding uses a next hop and a fixed neighbour entry. Like EC2's mapping service, it never asks the guests:
an ARP request that nobody answers would cost a second, which EC2 does not lose.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TypeVar

from tests.aws.emulator import GroupRule, Interface
from tests.lab import userns
from tests.lab.network_plan import (
    API,
    CLIENT,
    CLIENT_ADDRESS,
    CLIENT_GATEWAY,
    FABRIC,
    GUEST_LINK,
    IMDS,
    MIRROR,
    RESOLVER,
    link_of,
)
from tests.lab.process import run

T = TypeVar("T")


def in_namespace(name: str, action: Callable[[], T]) -> T:
    """Run `action` in a thread that has entered the network namespace; sockets that it makes stay there."""
    from pyroute2 import netns

    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            netns.setns(name)
            result.append(action())
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def link_name(interface: Interface) -> str:
    """The name of the fabric's end of an interface."""
    return link_of(interface.eni_id)


def namespace_of(interface: Interface) -> str:
    """The node's network namespace: named after its instance, or the interface if it has none."""
    return interface.instance_id or interface.eni_id


@dataclass
class Fabric:
    """The namespaces and what is in them now. `apply()` makes them follow what EC2 says."""

    _links: dict[str, Interface] = field(default_factory=dict)
    _routes: dict[str, str] = field(default_factory=dict)
    _gateways: set[str] = field(default_factory=set)
    _rules: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def build(self) -> None:
        """Make the namespaces `fabric` and `client` with the services' addresses; drop packets by default."""
        run(["ip", "netns", "add", FABRIC])
        run(["ip", "netns", "add", CLIENT])
        for setting in (
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.rp_filter=1",
            "net.ipv4.conf.default.rp_filter=1",
            "net.ipv4.conf.default.proxy_arp=1",
        ):
            _sysctl(setting)
        _ip(
            FABRIC,
            "link set lo up",
            *(f"addr add {address}/32 dev lo" for address in (IMDS, RESOLVER, API, MIRROR, CLIENT_GATEWAY)),
            # As in a VPC, a packet without a route vanishes, and its sender is not told.
            "route add blackhole default",
            f"link add client0 type veth peer name eth0 netns {CLIENT}",
            "link set client0 up",
            f"route add {CLIENT_ADDRESS}/32 dev client0",
        )
        _ip(
            CLIENT,
            "link set lo up",
            "link set eth0 up",
            f"addr add {CLIENT_ADDRESS}/32 dev eth0",
            f"route add default via {CLIENT_GATEWAY} dev eth0 onlink",
        )
        self.apply([], [])

    def plug(self, interface: Interface) -> None:
        """Make the interface's namespaces and veth pair, and bring it up as DHCP would."""
        with self._lock:
            name, link = namespace_of(interface), link_name(interface)
            if name in self._links:
                return
            userns.make(name)
            _ip(
                FABRIC,
                f"link add {link} type veth peer name {GUEST_LINK} address {interface.mac} netns {name}",
                f"link set {link} up",
                f"neigh replace {interface.primary} lladdr {interface.mac} dev {link} nud permanent",
            )
            # The kernel would wait up to 0.8 s before it answers for a neighbour.
            _sysctl(f"net.ipv4.neigh.{link}.proxy_delay=0")
            _ip(name, "link set lo up")
            self._links[name] = interface
        self.lease(interface)

    def lease(self, interface: Interface) -> None:
        """Give the guest's end its primary address and default route, and nothing else."""
        self.unlease(interface)
        prefix = IPv4Network(interface.subnet_cidr).prefixlen
        _ip(
            namespace_of(interface),
            "link set lo up",
            f"link set {GUEST_LINK} up",
            f"addr add {interface.primary}/{prefix} brd + dev {GUEST_LINK}",
            f"route add default via {gateway(interface.subnet_cidr)} dev {GUEST_LINK}",
        )

    def unlease(self, interface: Interface) -> None:
        """Remove the guest's addresses, and the links and rules that it made.

        A machine without power answers nothing, and boots without them.
        """
        name = namespace_of(interface)
        shown = run(["ip", "-n", name, "-o", "link"]).stdout.splitlines()
        made = {line.split(": ")[1].split("@")[0] for line in shown}
        # -force goes on after errors: one end of a pair takes the other along, and the kernel's own stay.
        gone = "".join(f"link delete {link}\n" for link in sorted(made - {GUEST_LINK, "lo"}))
        run(["ip", "-n", name, "-force", "-batch", "-"], input=gone, check=False)
        run(["ip", "netns", "exec", name, "nft", "flush", "ruleset"])
        for link in (GUEST_LINK, "lo"):
            _ip(name, f"link set {link} down", f"addr flush dev {link}")

    def unplug(self, interface: Interface) -> None:
        """Remove the interface's namespace, and with it both ends of its pair."""
        with self._lock:
            name = namespace_of(interface)
            if self._links.pop(name, None):
                self._routes = {a: link for a, link in self._routes.items() if link != link_name(interface)}
                userns.remove(name)

    def apply(self, interfaces: Iterable[Interface], rules: Iterable[GroupRule]) -> list[str]:
        """Make routes, gateways and security groups follow EC2. Returns what changed, a line each."""
        with self._lock:
            plugged = [item for item in interfaces if namespace_of(item) in self._links]
            changes = self._apply_routes(plugged)
            text = ruleset(plugged, rules)
            if text != self._rules:
                run(["ip", "netns", "exec", FABRIC, "nft", "-f", "-"], input=text)
                self._rules = text
                changes.append("security groups")
            return changes

    def _apply_routes(self, interfaces: list[Interface]) -> list[str]:
        commands, wanted, changes = [], {}, []
        for subnet in {item.subnet_cidr for item in interfaces}:
            if (address := gateway(subnet)) not in self._gateways:
                commands.append(f"addr add {address}/32 dev lo")
                self._gateways.add(address)
        for item in interfaces:
            for address in item.addresses:
                wanted[address] = link_name(item)
                if self._routes.get(address) != link_name(item):
                    hop = "" if address == item.primary else f"via {item.primary} "
                    commands.append(
                        f"route replace {address}/32 {hop}dev {link_name(item)}" + (" onlink" * bool(hop))
                    )
                    changes.append(f"{address} -> {namespace_of(item)}")
        for address in self._routes.keys() - wanted.keys():
            commands.append(f"route delete {address}/32")
            changes.append(f"{address} -> nowhere")
        if commands:
            _ip(FABRIC, *commands)
        self._routes = wanted
        return changes


def gateway(subnet_cidr: str) -> str:
    """The VPC router's address: the subnet's first after its own (AWS VPC user guide, subnet sizing)."""
    return str(IPv4Network(subnet_cidr).network_address + 1)


def ruleset(interfaces: list[Interface], rules: Iterable[GroupRule]) -> str:
    """Security groups as an nftables file: stateful, allow-only, at both ends of every flow.

    As on EC2, metadata and name service are exempt. Established flows go on after a rule is removed, as EC2's
    tracked connections do.
    """
    rules = list(rules)
    members: dict[str, list[str]] = {}
    for item in interfaces:
        for group in item.security_group_ids:
            members.setdefault(group, []).extend(item.addresses)
    lines = ["table inet vpc", "delete table inet vpc", "table inet vpc {"]
    for item in interfaces:
        for way, end in (("ingress", "saddr"), ("egress", "daddr")):
            verdict = "accept" if way == "ingress" else "return"
            lines.append(f"  chain {way}_{link_name(item)} {{")
            for rule in rules:
                applies = rule.direction == way and rule.group_id in item.security_group_ids
                if applies and (match := _match(rule, end, members)):
                    lines.append(f"    {match} {verdict}")
            lines += ["    drop", "  }"]
    into = ", ".join(f'"{link_name(item)}" : jump ingress_{link_name(item)}' for item in interfaces)
    out_of = ", ".join(f'"{link_name(item)}" : jump egress_{link_name(item)}' for item in interfaces)
    lines += [
        "  chain transit {",
        "    type filter hook forward priority filter; policy drop;",
        "    ct state established,related accept",
        *([f"    iifname vmap {{ {out_of} }}", f"    oifname vmap {{ {into} }}"] if interfaces else []),
        '    oifname "client0" accept',
        "  }",
        "  chain services {",
        "    type filter hook input priority filter; policy accept;",
        "    ct state established,related accept",
        f"    ip daddr {{ {IMDS}, {RESOLVER} }} accept",
        *([f"    iifname vmap {{ {out_of} }}"] if interfaces else []),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _match(rule: GroupRule, end: str, members: dict[str, list[str]]) -> str:
    """The rule's condition in nft's syntax; empty if it names a group without members."""
    if rule.cidr is not None:
        peers = rule.cidr
    else:
        peers = ", ".join(members.get(rule.source_group_id or "", []))
        if not peers:
            return ""
    words = [f"ip {end} {{ {peers} }}"]
    if rule.protocol in ("tcp", "udp"):
        words.append(f"{rule.protocol} dport {rule.from_port}-{rule.to_port}")
    elif rule.protocol == "icmp":
        words.append("ip protocol icmp" if rule.from_port == -1 else f"icmp type {rule.from_port}")
    elif rule.protocol != "-1":
        words.append(f"ip protocol {rule.protocol}")
    return " ".join(words)


def _sysctl(setting: str) -> None:
    run(["ip", "netns", "exec", FABRIC, "sysctl", "-q", "-w", setting])


def _ip(namespace: str, *commands: str) -> None:
    """Run ip(8) commands in a namespace, all in one process; the first failure ends it."""
    run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(commands) + "\n")
