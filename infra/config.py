"""The stack's configuration, loaded once into typed and frozen values."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi

from cloudinit.platforms import PLATFORMS
from cloudinit.spec import Service

from . import addressing
from .clients import ClientRule, ClientRuleError, parse_rule
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
    "tags",
)
# Below half a second a busy node is taken for a dead one; above half a minute nobody calls it fail-over.
TOKEN_MS_MIN, TOKEN_MS_MAX = 500, 30_000
# A node's own bounds (cloudinit/bootstrap.sh: packages, key, joining) add up to some twenty minutes; it says so at
# once where it gives up, so only a node that says nothing is waited for as long.
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
    encryption_key: bytes | None
    ready_timeout_minutes: int
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
        reader = Reader("ec2vip", values, secrets)
        reader.refuse_unknown(KEYS)
        vips = _vips(reader)
        nodes = reader.addresses("nodeIps", 2)
        if values.get("nodeIps", "[]") in ("", "[]"):
            reader.require("nodeIps", "[10.0.250.186, 10.0.250.187]")
        vpc_cidr, subnet_cidr = reader.network("vpcCidr"), reader.network("subnetCidr")
        _check_where(reader, vpc_cidr, subnet_cidr)
        reader.problems += addressing.pair_problems(
            vips, nodes, subnet_cidr, "vips" if _is_there(reader, "vips") else "vip"
        )
        read: dict[str, Any] = {
            "vpc_id": reader.text("vpcId", r"vpc-[0-9a-f]{8,17}", "vpc-0123456789abcdef0"),
            "subnet_id": reader.text("subnetId", r"subnet-[0-9a-f]{8,17}", "subnet-0123456789abcdef0"),
            "availability_zone": _zone(reader, region),
            "public_ips": reader.flag("publicIps", True),
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
            "tags": reader.mapping("tags"),
        }
        reader.problems += tag_problems(read["tags"])
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


def _is_there(reader: Reader, key: str) -> bool:
    """Whether a list or a text is set to something."""
    return reader.values.get(key, "").strip() not in ("", "[]")


def _vips(reader: Reader) -> tuple[IPv4Address, ...]:
    """The floating addresses: the one of `vip`, or those of `vips`."""
    if _is_there(reader, "vip") and _is_there(reader, "vips"):
        reader.wrong(
            "vip", "is set beside vips", "set ec2vip:vips alone; its first address is the output vip"
        )
    if _is_there(reader, "vips"):
        return reader.addresses("vips")
    if not _is_there(reader, "vip"):
        reader.require("vip", "10.0.250.185")
    vip = reader.address("vip")
    return () if vip is None else (vip,)


def _check_where(reader: Reader, vpc_cidr: IPv4Network | None, subnet_cidr: IPv4Network | None) -> None:
    """The rules for the four settings that say where the pair lives."""
    chosen = [key for key in ("vpcCidr", "vpcId", "subnetId") if reader.values.get(key)]
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
            if reader.values.get(key):
                reader.wrong(key, "cannot be set beside subnetId, which has its own", f"remove ec2vip:{key}")
    elif chosen and not reader.values.get("subnetCidr"):
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


def _repository(reader: Reader) -> dict[str, str]:
    """The repository and the key that signs it: packages are only taken signed, and the key by its fingerprint."""
    examples = {
        "packageRepository": "https://mirror.example/9-stream",
        "packageRepositoryKey": f"https://mirror.example/RPM-GPG-KEY#{'0123456789ABCDEF' * 2}01234567",
    }
    read = {
        key: reader.text(key, r"https://[!-~]+" + r"#[0-9A-F]{40}" * key.endswith("Key"), example)
        for key, example in examples.items()
    }
    there = [key for key in examples if reader.values.get(key)]
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
    if f"{reader.namespace}:services" in reader.secrets:
        reader.problems.append(
            "services holds a secret, and everyone with ec2:DescribeInstanceAttribute can read what the nodes are "
            "told; let the service fetch it, and take it out of ec2vip:services"
        )
        return ()
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
    except binascii.Error:
        reader.problems.append(f"encryptionKey is not base64; set it with: {ENCRYPTION_KEY_COMMAND}")
        return None
    if not ENCRYPTION_KEY_BYTES_MIN <= len(key) <= ENCRYPTION_KEY_BYTES_MAX:
        reader.problems.append(
            f"encryptionKey has {len(key)} bytes, and Corosync and the parameter that holds it take "
            f"{ENCRYPTION_KEY_BYTES_MIN} to {ENCRYPTION_KEY_BYTES_MAX}; set it with: {ENCRYPTION_KEY_COMMAND}"
        )
        return None
    return key
