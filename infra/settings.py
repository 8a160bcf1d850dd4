"""The table of settings: each is a field, with its key, type, default, text and reading beside it.

All else follows from it: what a stack's file may say (`infra/config.py`), what the component takes
(`infra/pair.py`), and, by `python -m tests.docs`, the schema in Pulumi.yaml and docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

import pulumi

from cloudinit.platforms import PLATFORMS
from cloudinit.spec import Service

from . import readings
from .clients import ClientRule
from .reader import Reader

T = TypeVar("T")
STRING, STRINGS, FLAG, INTEGER = "string", "array<string>", "boolean", "integer"
OBJECT, OBJECTS = "object", "array<object>"
# How a stack's file gives an empty value, if our default for it is not of the setting's type.
NOTHING: Mapping[str, object] = {STRING: "", OBJECTS: []}
# Below half a second a busy node is taken for a dead one; above half a minute nobody calls it fail-over.
TOKEN_MS_MIN, TOKEN_MS_MAX = 500, 30_000
# A node's own bounds (cloudinit/node/bootstrap.sh: packages, key, joining) add up to some twenty minutes. A node
# that gives up says so at once, so we only wait as long for a silent one.
READY_MINUTES, READY_MINUTES_MAX = 20, 120


@dataclass(frozen=True)
class Setting:
    """A key that a stack's file may have: its type and default as Pulumi has them, and its text for users.

    If it is `secret`, the file must hold it encrypted, and the stack keeps it encrypted from end to end.
    """

    key: str
    kind: str
    default: object
    meaning: str
    secret: bool = False


def told(read: Callable[[Reader], object], *settings: Setting) -> dict[str, object]:
    """The metadata of a field that `read` reads from these settings."""
    return {"read": read, "settings": settings}


def setting(
    key: str,
    kind: str,
    default: T,
    read: Callable[[Reader, str], T | None],
    meaning: str,
    *,
    secret: bool = False,
) -> T:
    """A field that is read from one setting, and has the default if nothing is read."""
    declared = Setting(key, kind, default or NOTHING.get(kind, default), meaning, secret)

    def value(reader: Reader) -> T:
        found = read(reader, key)
        return default if found is None else found

    return field(default=default, repr=not secret, metadata=told(value, declared))


def optional(
    key: str, read: Callable[[Reader, str], T | None], meaning: str, *, secret: bool = False
) -> T | None:
    """A field that is read from a text, and None if the text is empty."""
    return setting(key, STRING, None, read, meaning, secret=secret)


def flag(key: str, default: bool, meaning: str) -> bool:
    """A field that is true or false."""
    return setting(key, FLAG, default, Reader.flag, meaning)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The pair's addresses. The first of `vips` is the output `vip`, and the others are kept with it."""

    vips: tuple[IPv4Address, ...] = field(
        metadata=told(
            readings.vips,
            Setting(
                "vip",
                STRING,
                "",
                "The address that floats, an IPv4 address of the subnet. Required, unless vips is set.",
            ),
            Setting(
                "vips",
                STRINGS,
                [],
                "Several floating addresses, in place of vip. The first one is the output vip, and the others "
                "stay with it. The instance type's interfaces must have room for all. A change replaces both "
                "nodes.",
            ),
        )
    )
    node_ips: tuple[IPv4Address, IPv4Address] = field(
        metadata=told(
            readings.node_ips,
            Setting(
                "nodeIps",
                STRINGS,
                [],
                "Required. The two nodes' own addresses, in any order; the node with the lower one sets the "
                "cluster's resources up. An address can't go from one node to the other.",
            ),
        )
    )


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """Where a stack's file says that the pair lives; `infra/resolve.py` makes a `Site` of it.

    Exactly one of `vpc_cidr`, `vpc_id` and `subnet_id` is set; `subnet_cidr` is set with the first two.
    """

    vpc_cidr: IPv4Network | None = optional(
        "vpcCidr", Reader.network, "Makes a VPC with this CIDR. Set one of vpcCidr, vpcId, subnetId."
    )
    vpc_id: str | None = optional(
        "vpcId",
        readings.text(r"vpc-[0-9a-f]{8,17}", "vpc-0123456789abcdef0"),
        "Makes the subnet in this VPC, which exists already.",
    )
    subnet_cidr: IPv4Network | None = optional(
        "subnetCidr", Reader.network, "The new subnet's CIDR; required with vpcCidr and with vpcId."
    )
    subnet_id: str | None = optional(
        "subnetId",
        readings.text(r"subnet-[0-9a-f]{8,17}", "subnet-0123456789abcdef0"),
        "Uses this subnet, which exists already, with its own routes.",
    )
    availability_zone: str | None = optional(
        "availabilityZone",
        readings.zone,
        "The zone of the new subnet, and so of both nodes. If it is empty, the stack chooses the first zone "
        "that has the instance type, and keeps it.",
    )


@dataclass(frozen=True, kw_only=True)
class PairSettings(Addresses):
    """What a stack's file, or your own program, says about a pair, apart from where it lives.

    Pulumi.yaml and docs/settings.md have the same order. None stands for a value that is left empty.
    """

    public_ips: bool = flag(
        "publicIps",
        True,
        "Gives the nodes public addresses, and a new subnet a route to the internet. If it is false, give the "
        "nodes another way to their packages and to the EC2 API (NAT, or endpoints with an image that has the "
        "packages). A change replaces both nodes.",
    )
    source_dest_check: bool = flag(
        "sourceDestCheck",
        True,
        "If it is true, EC2 drops a node's packets that are neither from nor to its addresses. Set it to "
        "false for nodes that forward packets, such as gateways. A change is made in place.",
    )
    endpoints: bool = flag(
        "endpoints",
        False,
        "Makes interface endpoints in the subnet: for the EC2 API, and for the Systems Manager if ssm, "
        "encryptionKey or a platform that builds needs it.",
    )
    instance_type: str = setting(
        "instanceType",
        STRING,
        "t3.micro",
        readings.text(r"[a-z0-9-]+\.[a-z0-9-]+", "t3.micro"),
        "The instance type of both nodes. A change stops and starts them, one after the other.",
    )
    platform: str = setting(
        "platform",
        STRING,
        "al2023",
        readings.choice(list(PLATFORMS)),
        "The nodes' system (al2023, debian12, …). The first up takes its newest image, and the stack keeps "
        "that. A node of al2023 builds the cluster stack at its first boot, unless Amazon's archives have it "
        "by then.",
    )
    package_repository: str = setting(
        "packageRepository",
        STRING,
        "",
        readings.repository,
        "The https address of a CentOS Stream 9 tree (the folder with HighAvailability, AppStream and BaseOS in "
        "it). A node of al2023 takes the cluster stack from there, if its own archives lack it, and builds "
        "nothing. Set it together with packageRepositoryKey. A change replaces both nodes.",
    )
    package_repository_key: str = setting(
        "packageRepositoryKey",
        STRING,
        "",
        readings.repository_key,
        "The https address of the key that signs packageRepository, then # and the key's fingerprint: 40 "
        "hexadecimal digits in capitals, without spaces. Another key at that address is refused. A change "
        "replaces both nodes.",
    )
    ami_id: pulumi.Input[str] | None = optional(
        "amiId",
        readings.text(r"ami-[0-9a-f]{8,17}", "ami-0123456789abcdef0"),
        "An image of your own in place of the platform's. A change replaces both nodes.",
    )
    clients: tuple[ClientRule, ...] = setting(
        "clients",
        OBJECTS,
        (),
        readings.clients,
        "Who may reach the VIP: a list of {protocol: tcp, udp or icmp; ports: 443 or 8000-8010; cidr or "
        "securityGroup}. Every entry also admits the stack's own client group; an entry without a cidr or a "
        "securityGroup admits only that group.",
    )
    services: tuple[Service, ...] = setting(
        "services",
        OBJECTS,
        (),
        readings.services,
        "Services that run on the VIP's holder and start after the VIP, in this order: a list of {unit: a "
        "systemd unit} or {agent: ocf:heartbeat:NAME; parameters}, each with an optional name, packages, "
        "timeouts {start, stop, monitor} and interval in seconds, and movesVip. A change replaces both nodes.",
    )
    key_name: str | None = optional(
        "keyName",
        readings.text(r"[ -~]{1,255}", "operators"),
        "An EC2 key pair for the nodes. No rule admits SSH; see clients and ssm.",
    )
    ssm: bool = flag(
        "ssm",
        False,
        "Lets Session Manager in (adds the managed policy AmazonSSMManagedInstanceCore to the role). Debian's "
        "images lack the agent, and are refused.",
    )
    token_ms: int = setting(
        "tokenMs",
        INTEGER,
        1000,
        readings.integer(TOKEN_MS_MIN, TOKEN_MS_MAX, "milliseconds"),
        "Corosync's token time-out in milliseconds (500 to 30000): how long a node may be silent before the "
        "other takes over. A change replaces both nodes.",
    )
    encryption_key: bytes | None = optional(
        "encryptionKey",
        readings.encryption_key,
        "Encrypts the traffic between the nodes: 128 to 3072 random bytes in base64, set with --secret. If it "
        "is empty, the traffic is not encrypted. The nodes fetch it from the Systems Manager at their first "
        "boot. A change replaces both nodes.",
        secret=True,
    )
    ready_timeout_minutes: int = setting(
        "readyTimeoutMinutes",
        INTEGER,
        READY_MINUTES,
        readings.integer(0, READY_MINUTES_MAX, "minutes, 0 for an up that does not wait"),
        "How long a new node may take from its start until it has joined the cluster (0 to 120). An up waits "
        "for it before it changes the other node, and before it ends. With 0 an up does not wait, and changes "
        "both nodes at once.",
    )
    permissions_boundary: str | None = optional(
        "permissionsBoundary",
        readings.boundary,
        "The ARN of a managed policy that bounds what the nodes' role may ever do. A user with the deployer's "
        "policy must set it; see docs/permissions.md.",
    )
    tags: Mapping[str, str] = field(
        default_factory=dict,
        metadata=told(
            lambda reader: reader.mapping("tags"),
            Setting(
                "tags",
                OBJECT,
                {},
                "Tags for every resource that can have them, in addition to the stack's own.",
            ),
        ),
    )

    @property
    def fetches_parameters(self) -> bool:
        """Whether a node fetches something from the Systems Manager at its first boot.

        That is Corosync's key, and the installer of a platform whose archives lack the cluster stack. An image of
        the user's own is taken to have the packages.
        """
        builds = PLATFORMS[self.platform].build is not None and self.ami_id is None
        return builds or self.encryption_key is not None


S = TypeVar("S", Addresses, SiteSettings, PairSettings)


def read(kind: type[S], reader: Reader, known: Addresses | None = None) -> S:
    """The settings of that class as the reader has them, with those of `known` taken from there.

    If anything is wrong, the reader's problems have it; do not use the result then.
    """
    values = vars(known) if known else {}
    found = {each.name: each.metadata["read"](reader) for each in fields(kind) if each.name not in values}
    return kind(**values, **found)


def _table() -> Iterator[Setting]:
    for kind in (Addresses, SiteSettings, PairSettings):
        for each in fields(kind):
            yield from each.metadata["settings"]


SETTINGS: Mapping[str, Setting] = {each.key: each for each in _table()}
"""Every setting by its key, in the order in which users read about them."""
