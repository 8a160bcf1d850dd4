"""The stack's configuration, loaded once into typed and frozen values."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import boto3
import pulumi
from botocore.exceptions import BotoCoreError

from cloudinit.platforms import PLATFORMS
from cloudinit.spec import Service

from . import addressing
from .clients import ClientRule, ClientRuleError, parse_rule, quota_problems
from .errors import raise_if_any
from .reader import Reader
from .services import ServiceError, naming_problems, parse_service
from .tags import tag_problems

KEYS = (
    "vip",
    "vips",
    "nodeIps",
    "vpcCidr",
    "vpcId",
    "subnetCidr",
    "subnetId",
    "availabilityZone",
    "publicIps",
    "sourceDestCheck",
    "endpoints",
    "instanceType",
    "platform",
    "packageRepository",
    "packageRepositoryKey",
    "amiId",
    "clients",
    "services",
    "keyName",
    "ssm",
    "tokenMs",
    "encryptionKey",
    "readyTimeoutMinutes",
    "permissionsBoundary",
    "tags",
)
# The keys whose values the stack keeps secret from end to end.
SECRET = ("encryptionKey",)
# What dnf and curl take for one address: `baseurl` is a list, with commas or spaces between its entries.
HTTPS = r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%+=@/-]*)?"
# Debian's archive has no package of the agent (packages.debian.org), so a node could not install it signed.
NO_AGENT = (
    "set ec2vip:platform to al2023 or ubuntu2404, or ec2vip:amiId to an image that has the agent, or ec2vip:ssm "
    "to false"
)
# Below half a second a busy node is taken for a dead one; above half a minute nobody calls it fail-over.
TOKEN_MS_MIN, TOKEN_MS_MAX = 500, 30_000
# A node's own bounds (cloudinit/node/bootstrap.sh: packages, key, joining) add up to some twenty minutes. It says
# so at once if it gives up, so only a node that says nothing is waited for as long.
READY_MINUTES, READY_MINUTES_MAX = 20, 120
# corosync.conf(5), `keyfile`: from 1024 bits on. To 32768, but a standard parameter of the Systems Manager holds
# 4 KB, and of base64 that is three quarters:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
ENCRYPTION_KEY_BYTES_MIN, ENCRYPTION_KEY_BYTES_MAX = 128, 3072
ENCRYPTION_KEY_COMMAND = "openssl rand -base64 -A 256 | pulumi config set --secret encryptionKey"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What a stack's file says. A value is None where the file leaves it empty.

    Exactly one of `vpc_cidr`, `vpc_id` and `subnet_id` is set; `subnet_cidr` is set with the first two.
    `vip` is the first or only floating address, `more_vips` are the others.
    `token_ms` is in milliseconds. `ready_timeout_minutes` is 0 where an `up` does not wait for the nodes.
    """

    vip: IPv4Address
    more_vips: tuple[IPv4Address, ...]
    node_ips: tuple[IPv4Address, IPv4Address]
    vpc_cidr: IPv4Network | None
    vpc_id: str | None
    subnet_cidr: IPv4Network | None
    subnet_id: str | None
    availability_zone: str | None
    public_ips: bool
    source_dest_check: bool
    endpoints: bool
    instance_type: str
    platform: str
    package_repository: str
    package_repository_key: str
    ami_id: str | None
    clients: tuple[ClientRule, ...]
    services: tuple[Service, ...]
    key_name: str | None
    ssm: bool
    token_ms: int
    encryption_key: bytes | None = field(repr=False)
    ready_timeout_minutes: int
    permissions_boundary: str | None
    tags: Mapping[str, str]

    @property
    def vips(self) -> tuple[IPv4Address, ...]:
        """All the floating addresses, the first one first."""
        return (self.vip, *self.more_vips)

    @classmethod
    def load(cls, config: pulumi.Config) -> StackConfig:
        """Read and check the current stack's settings. Raises ConfigError with all that is wrong."""
        prefix = f"{config.name}:"
        settings = pulumi.runtime.get_config_env()
        values = {
            key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)
        }
        secrets = pulumi.runtime.get_config_secret_keys_env()
        return cls.parse(values, secrets=secrets, region=settings.get("aws:region"))

    @classmethod
    def parse(
        cls, values: Mapping[str, str], *, secrets: Collection[str] = (), region: str | None = None
    ) -> StackConfig:
        """Check settings given as Pulumi gives them: texts by key without the namespace, lists as JSON.

        `secrets` are the keys, with the namespace, that the stack's file holds encrypted; `region` is the AWS
        provider's, where it is known. Raises ConfigError with all that is wrong.
        """
        reader = Reader("ec2vip", values, secrets, SECRET)
        reader.refuse_unknown(KEYS)
        reader.refuse_secrets(KEYS)
        vips = _vips(reader)
        nodes = reader.addresses("nodeIps", 2)
        if not reader.is_set("nodeIps"):
            reader.require("nodeIps", "[10.0.250.186, 10.0.250.187]")
        vpc_cidr, subnet_cidr = reader.network("vpcCidr"), reader.network("subnetCidr")
        _check_where(reader, vpc_cidr, subnet_cidr)
        reader.problems += addressing.pair_problems(
            vips, nodes, subnet_cidr, "vips" if reader.is_set("vips") else "vip"
        )
        read: dict[str, Any] = {
            "vpc_id": reader.text("vpcId", r"vpc-[0-9a-f]{8,17}", "vpc-0123456789abcdef0"),
            "subnet_id": reader.text("subnetId", r"subnet-[0-9a-f]{8,17}", "subnet-0123456789abcdef0"),
            "availability_zone": _zone(reader, region),
            "public_ips": reader.flag("publicIps", True),
            "source_dest_check": reader.flag("sourceDestCheck", True),
            "endpoints": reader.flag("endpoints", False),
            "instance_type": reader.text("instanceType", r"[a-z0-9-]+\.[a-z0-9-]+", "t3.micro") or "t3.micro",
            "platform": reader.choice("platform", list(PLATFORMS), "al2023"),
            **_repository(reader),
            "ami_id": reader.text("amiId", r"ami-[0-9a-f]{8,17}", "ami-0123456789abcdef0"),
            "clients": _clients(reader),
            "services": _services(reader),
            "key_name": reader.text("keyName", r"[ -~]{1,255}", "operators"),
            "ssm": reader.flag("ssm", False),
            "token_ms": reader.integer("tokenMs", 1000, TOKEN_MS_MIN, TOKEN_MS_MAX, "milliseconds"),
            "encryption_key": _encryption_key(reader),
            "ready_timeout_minutes": reader.integer(
                "readyTimeoutMinutes",
                READY_MINUTES,
                0,
                READY_MINUTES_MAX,
                "minutes, 0 for an up that does not wait",
            ),
            "permissions_boundary": _boundary(reader, region),
            "tags": reader.mapping("tags"),
        }
        reader.problems += tag_problems(read["tags"])
        reader.problems += quota_problems(read["clients"])
        if read["ssm"] and read["ami_id"] is None and not PLATFORMS[read["platform"]].has_ssm_agent:
            reader.wrong(
                "ssm", f"needs the SSM agent, and the image of {read['platform']} has none", NO_AGENT
            )
        raise_if_any(reader.problems)
        vip, *more = vips
        return cls(
            vip=vip,
            more_vips=tuple(more),
            node_ips=nodes,  # type: ignore[arg-type]
            vpc_cidr=vpc_cidr,
            subnet_cidr=subnet_cidr,
            **read,
        )


def _vips(reader: Reader) -> tuple[IPv4Address, ...]:
    """The floating addresses: the one of `vip`, or those of `vips`."""
    if reader.is_set("vip") and reader.is_set("vips"):
        reader.wrong(
            "vip", "is set beside vips", "set ec2vip:vips alone; its first address is the output vip"
        )
    if reader.is_set("vips"):
        return reader.addresses("vips")
    if not reader.is_set("vip"):
        reader.require("vip", "10.0.250.185")
    vip = reader.address("vip")
    return () if vip is None else (vip,)


def _check_where(reader: Reader, vpc_cidr: IPv4Network | None, subnet_cidr: IPv4Network | None) -> None:
    """The rules for the four settings that say where the pair lives."""
    chosen = [key for key in ("vpcCidr", "vpcId", "subnetId") if reader.is_set(key)]
    if len(chosen) != 1:
        have = (
            f"{' and '.join(chosen)} are set together"
            if chosen
            else "none of vpcCidr, vpcId, subnetId is set"
        )
        reader.problems.append(
            f"{have}; set exactly one: ec2vip:vpcCidr for a new VPC, ec2vip:vpcId for a new subnet in one of "
            "yours, ec2vip:subnetId for a subnet of yours"
        )
    if "subnetId" in chosen:
        for key in ("subnetCidr", "availabilityZone"):
            if reader.is_set(key):
                reader.wrong(key, "cannot be set beside subnetId, which has its own", f"remove ec2vip:{key}")
    elif chosen and not reader.is_set("subnetCidr"):
        reader.require("subnetCidr", "10.0.250.0/24")
    for key, network in (("vpcCidr", vpc_cidr), ("subnetCidr", subnet_cidr)):
        if network:
            reader.problems += addressing.network_problems(key, network)
    if vpc_cidr and subnet_cidr:
        reader.problems += addressing.nesting_problems(subnet_cidr, vpc_cidr)


def _zone(reader: Reader, region: str | None) -> str | None:
    zone = reader.text("availabilityZone", r"[a-z]{2}(-[a-z0-9]+)+-?[0-9]?[a-z]", "us-east-1a")
    if zone and region and not zone.startswith(region):
        reader.wrong(
            "availabilityZone", f"is not in {region}", f"set ec2vip:availabilityZone to one of {region}"
        )
    return zone


def _boundary(reader: Reader, region: str | None) -> str | None:
    """The ARN of a managed policy, in the partition of the AWS provider's Region if that is known."""
    arn = reader.text(
        "permissionsBoundary",
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[!-~]+",
        "arn:aws:iam::123456789012:policy/ec2vip-boundary",
    )
    try:
        partition = boto3.Session().get_partition_for_region(region) if region else None
    except BotoCoreError:  # a Region that botocore does not know is the AWS provider's to judge
        partition = None
    if arn and partition and arn.split(":")[1] != partition:
        reader.wrong(
            "permissionsBoundary",
            f"is not of the partition {partition} that {region} is in",
            f"set ec2vip:permissionsBoundary to a policy of an account there, arn:{partition}:iam::…",
        )
    return arn


def _repository(reader: Reader) -> dict[str, str]:
    """The repository and the key that signs it: packages are only taken signed, and the key by its fingerprint."""
    examples = {
        "packageRepository": "https://mirror.example/9-stream",
        "packageRepositoryKey": f"https://mirror.example/RPM-GPG-KEY#{'0123456789ABCDEF' * 2}01234567",
    }
    read = {
        key: _https(reader, key, example, r"#[0-9A-F]{40}" if key.endswith("Key") else "")
        for key, example in examples.items()
    }
    there = [key for key in examples if reader.is_set(key)]
    if len(there) == 1:
        (missing,) = examples.keys() - there
        reader.wrong(
            there[0],
            f"is set without {missing}, and packages are only taken signed",
            f"set ec2vip:{missing} too, such as {examples[missing]}",
        )
    return {
        "package_repository": read["packageRepository"] or "",
        "package_repository_key": read["packageRepositoryKey"] or "",
    }


def _https(reader: Reader, key: str, example: str, ending: str) -> str | None:
    """An https address with that ending. Others can read a name and a password in it, and no message has them."""
    authority = reader.values.get(key, "").strip().partition("://")[2].partition("/")[0]
    if "@" in authority:
        reader.problems.append(
            f"{key} has a user name or a password in it, and everyone with ec2:DescribeInstanceAttribute can read "
            f"what the nodes are told; set ec2vip:{key} to an address without one, such as {example}"
        )
        return None
    return reader.text(key, HTTPS + ending, example)


def _clients(reader: Reader) -> tuple[ClientRule, ...]:
    rules: list[ClientRule] = []
    for index, entry in enumerate(reader.entries("clients")):
        try:
            rules += parse_rule(entry)
        except ClientRuleError as e:
            reader.problems.append(f"clients[{index}] {e}")
    for rule, count in Counter(rules).items():
        if count > 1:
            reader.problems.append(
                f"clients says {rule.service} from {rule.source or 'the client group'} {count} times, and "
                "AWS refuses a rule that is there already; remove all but one"
            )
    return tuple(rules)


def _services(reader: Reader) -> tuple[Service, ...]:
    services: list[Service] = []
    for index, entry in enumerate(reader.entries("services")):
        try:
            services.append(parse_service(entry))
        except ServiceError as e:
            reader.problems.append(f"services[{index}] {e}")
    reader.problems += naming_problems(services)
    return tuple(services)


def _encryption_key(reader: Reader) -> bytes | None:
    text = reader.secret("encryptionKey", ENCRYPTION_KEY_COMMAND)
    if text is None:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # also what is not ASCII
        reader.problems.append(f"encryptionKey is not base64; set it with: {ENCRYPTION_KEY_COMMAND}")
        return None
    if not ENCRYPTION_KEY_BYTES_MIN <= len(key) <= ENCRYPTION_KEY_BYTES_MAX:
        reader.problems.append(
            f"encryptionKey has {len(key)} bytes, and Corosync and the parameter that holds it take "
            f"{ENCRYPTION_KEY_BYTES_MIN} to {ENCRYPTION_KEY_BYTES_MAX}; set it with: {ENCRYPTION_KEY_COMMAND}"
        )
        return None
    return key
