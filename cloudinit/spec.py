"""The one description of a node, from which we derive everything in its user data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

#: Corosync splits the token into retransmissions of at least 30 ms: token / (4 + 0.2) >= 30 ms
#: (corosync.conf(5), `token_retransmits_before_loss_const`; exec/totemconfig.c).
MIN_TOKEN_MS = 126
#: The most that Red Hat supports (article 3068821); beyond it nobody would call it fail-over.
MAX_TOKEN_MS = 300_000


#: How many hex digits of a key's SHA-256 are in the user data. They are enough to tell keys apart, and useless for
#: finding a key, which has at least 128 random bytes.
KEY_DIGEST_DIGITS = 12


def digest_of(key: bytes) -> str:
    """What we tell a node about Corosync's key: the first digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:KEY_DIGEST_DIGITS]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the pair: its Pacemaker node name (also its host name) and its fixed private address."""

    name: str
    address: IPv4Address


@dataclass(frozen=True, kw_only=True)
class Service:
    """What runs where the first VIP is: a systemd unit or an OCF agent, under its name in the cluster.

    `agent` is as Pacemaker writes it, `systemd:nginx` or `ocf:heartbeat:Filesystem`; only an OCF agent has
    `parameters`. `packages` are what it needs. Times are in seconds; None stands for what the agent advises, or
    for our default for units. If `moves_vip`, a failure that restarts do not mend moves the VIP to the other node.
    """

    name: str
    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    start_s: int | None = None
    stop_s: int | None = None
    monitor_s: int | None = None
    interval_s: int | None = None
    moves_vip: bool = True

    @property
    def unit(self) -> str | None:
        """The systemd unit's full name; None for an OCF agent."""
        kind, _, name = self.agent.partition(":")
        if kind != "systemd":
            return None
        return name if name.endswith(UNIT_KINDS) else f"{name}.service"


#: How the address of a key ends.
FINGERPRINT = re.compile("#[0-9A-F]{40}$")

#: The kinds of systemd units that Pacemaker runs and that make sense beside an address.
UNIT_KINDS = (".service", ".socket", ".timer", ".path", ".mount")


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """What one node must know at first boot.

    `members` are Corosync's node ids 1 and 2, in this order; the first puts the resources into the cluster.
    `vips` are the floating addresses; if it can, the cluster keeps the others with the first one. `services` run
    where the first VIP is, and start in this order. `token_ms` is Corosync's token time-out in milliseconds.
    `package_repository` is the address of a CentOS Stream 9 tree (the folder with HighAvailability, AppStream and
    BaseOS in it). `package_repository_key` is the address of the key that signs it, then # and the key's
    fingerprint. Only a platform with a `build` uses them: it then takes from there what its own archives lack, and
    builds nothing.

    `key_parameter` names the Systems Manager parameter (a SecureString) that holds Corosync's key in base64; if it
    is empty, the members' traffic is not encrypted. `key_digest` is `digest_of` that key, so another key changes
    the user data and makes a new node. `installer_parameter` likewise names the parameter with
    `userdata.installer`. `installer_digest` is the whole SHA-256 of that, because the node runs it. A platform
    with a `build` needs both.

    Raises ValueError if the values contradict each other: the node would only find out at boot.
    """

    cluster_name: str
    name: str
    members: tuple[Member, Member]
    vips: tuple[IPv4Address, ...]
    prefix_length: int
    platform: str
    services: tuple[Service, ...] = ()
    token_ms: int = 1000
    package_repository: str = ""
    package_repository_key: str = ""
    key_parameter: str = ""
    key_digest: str = ""
    installer_parameter: str = ""
    installer_digest: str = ""

    def __post_init__(self) -> None:
        first, second = self.members
        if self.name not in (first.name, second.name):
            raise ValueError(
                f"node {self.name!r} is not one of the members {first.name!r} and {second.name!r}; "
                "name one of them"
            )
        if first.name == second.name:
            raise ValueError(
                f"both members are named {first.name!r}; Pacemaker tells nodes apart by name; rename one"
            )
        if not self.vips:
            raise ValueError("vips is empty, but a pair needs a floating address; set at least one")
        addresses = (first.address, second.address, *self.vips)
        if len(set(addresses)) != len(addresses):
            raise ValueError(
                f"the members {first.address} and {second.address} and the VIPs "
                f"{', '.join(map(str, self.vips))} must be {len(addresses)} different addresses"
            )
        subnet = self.subnet
        for address in addresses:
            if address not in subnet:
                raise ValueError(
                    f"address {address} is outside {subnet}; the members and the VIPs must share a subnet"
                )
        if not MIN_TOKEN_MS <= self.token_ms <= MAX_TOKEN_MS:
            raise ValueError(
                f"token_ms {self.token_ms} is outside {MIN_TOKEN_MS}..{MAX_TOKEN_MS}, the range that Corosync can "
                "keep"
            )
        if bool(self.package_repository) != bool(self.package_repository_key):
            raise ValueError(
                f"package_repository {self.package_repository!r} and package_repository_key "
                f"{self.package_repository_key!r} go together: the nodes install only signed packages; set both"
            )
        if self.package_repository and not FINGERPRINT.search(self.package_repository_key):
            raise ValueError(
                f"package_repository_key {self.package_repository_key!r} has no fingerprint: nodes would trust "
                "any key at that address; append # and the key's 40 hexadecimal digits"
            )
        for what in ("key", "installer"):
            parameter, digest = getattr(self, f"{what}_parameter"), getattr(self, f"{what}_digest")
            if bool(parameter) != bool(digest):
                raise ValueError(
                    f"{what}_parameter {parameter!r} and {what}_digest {digest!r} go together: by the digest a "
                    "node tells the right content from an old one; set both"
                )

    @property
    def subnet(self) -> IPv4Network:
        """The subnet that the VIPs and both members are in."""
        return IPv4Network((self.vips[0], self.prefix_length), strict=False)

    @property
    def member(self) -> Member:
        """This node among the members."""
        return next(member for member in self.members if member.name == self.name)

    @property
    def peer(self) -> Member:
        """The other member."""
        return next(member for member in self.members if member.name != self.name)

    @property
    def bootstraps(self) -> bool:
        """Whether this is the node that puts the resources into the cluster."""
        return self.name == self.members[0].name
