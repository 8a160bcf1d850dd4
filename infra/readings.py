"""Reads and checks the settings, each by itself, with functions of the reader and the key.

They return None if a setting is absent, empty or wrong, and tell the reader what is wrong.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import IPv4Address

import boto3
from botocore.exceptions import BotoCoreError

from cloudinit.spec import Service

from .clients import ClientRule, ClientRuleError, parse_rule
from .reader import Reader
from .services import ServiceError, naming_problems, parse_service

# What both dnf and curl take for one address: dnf's `baseurl` is a list, which commas or spaces separate.
HTTPS = r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%+=@/-]*)?"
FINGERPRINT = r"#[0-9A-F]{40}"
REPOSITORY_EXAMPLE = "https://mirror.example/9-stream"
REPOSITORY_KEY_EXAMPLE = f"https://mirror.example/RPM-GPG-KEY#{'0123456789ABCDEF' * 2}01234567"
# corosync.conf(5), `keyfile`: 1024 to 32768 bits. But a standard parameter of Systems Manager holds 4 KB, and
# base64 leaves three quarters of that:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
ENCRYPTION_KEY_BYTES_MIN, ENCRYPTION_KEY_BYTES_MAX = 128, 3072
ENCRYPTION_KEY_COMMAND = "openssl rand -base64 -A 256 | pulumi config set --secret encryptionKey"


def text(pattern: str, example: str) -> Callable[[Reader, str], str | None]:
    """Reads a text that matches the pattern as a whole."""
    return lambda reader, key: reader.text(key, pattern, example)


def choice(choices: Collection[str]) -> Callable[[Reader, str], str | None]:
    """Reads one of the choices."""
    return lambda reader, key: reader.choice(key, choices)


def integer(low: int, high: int, unit: str) -> Callable[[Reader, str], int | None]:
    """Reads a whole number from low to high."""
    return lambda reader, key: reader.integer(key, low, high, unit)


def vips(reader: Reader) -> tuple[IPv4Address, ...]:
    """The floating addresses: the one of `vip`, or those of `vips`."""
    if reader.is_set("vip") and reader.is_set("vips"):
        reader.wrong(
            "vip", "is set together with vips", "set only ec2vip:vips; its first address is the output vip"
        )
    if reader.is_set("vips"):
        return reader.addresses("vips")
    if not reader.is_set("vip"):
        reader.require("vip", "10.0.250.185")
    vip = reader.address("vip")
    return () if vip is None else (vip,)


def node_ips(reader: Reader) -> tuple[IPv4Address, ...]:
    """The two nodes' own addresses."""
    nodes = reader.addresses("nodeIps", 2)
    if not reader.is_set("nodeIps"):
        reader.require("nodeIps", "[10.0.250.186, 10.0.250.187]")
    return nodes


def zone(reader: Reader, key: str) -> str | None:
    """An Availability Zone of the AWS provider's Region, if that is known."""
    name, region = reader.text(key, r"[a-z]{2}(-[a-z0-9]+)+-?[0-9]?[a-z]", "us-east-1a"), reader.region
    if name and region and not name.startswith(region):
        reader.wrong(key, f"is not in {region}", f"set ec2vip:{key} to one of {region}")
    return name


def boundary(reader: Reader, key: str) -> str | None:
    """The ARN of a managed policy, in the partition of the AWS provider's Region if that is known."""
    region = reader.region
    arn = reader.text(
        key,
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[!-~]+",
        "arn:aws:iam::123456789012:policy/ec2vip-boundary",
    )
    try:
        partition = boto3.Session().get_partition_for_region(region) if region else None
    except BotoCoreError:  # the AWS provider judges a Region that botocore does not know
        partition = None
    if arn and partition and arn.split(":")[1] != partition:
        reader.wrong(
            key,
            f"is not in {partition}, the partition of {region}",
            f"set ec2vip:{key} to a policy in that partition, arn:{partition}:iam::…",
        )
    return arn


def repository(reader: Reader, key: str) -> str | None:
    """The address of a repository."""
    return _https(reader, key, REPOSITORY_EXAMPLE)


def repository_key(reader: Reader, key: str) -> str | None:
    """The address of the key that signs the repository, with the key's fingerprint.

    Adds a problem if only one of the two settings is set, because a node takes only signed packages.
    """
    address = _https(reader, key, REPOSITORY_KEY_EXAMPLE, FINGERPRINT)
    examples = {"packageRepository": REPOSITORY_EXAMPLE, key: REPOSITORY_KEY_EXAMPLE}
    there = [each for each in examples if reader.is_set(each)]
    if len(there) == 1:
        (missing,) = examples.keys() - there
        reader.wrong(
            there[0],
            f"is set without {missing}, but the nodes install only signed packages",
            f"set ec2vip:{missing} too, such as {examples[missing]}",
        )
    return address


def _https(reader: Reader, key: str, example: str, ending: str = "") -> str | None:
    """An https address with that ending, and without a user name or password.

    Others could read those on the nodes, so we refuse them, and no message shows them.
    """
    authority = reader.values.get(key, "").strip().partition("://")[2].partition("/")[0]
    if "@" in authority:
        reader.problems.append(
            f"{key} contains a user name or a password, but the nodes get the address in a parameter that is "
            f"not encrypted; set ec2vip:{key} to an address without them, such as {example}"
        )
        return None
    return reader.text(key, HTTPS + ending, example)


def clients(reader: Reader, key: str) -> tuple[ClientRule, ...]:
    """The rules of all entries."""
    rules: list[ClientRule] = []
    for index, entry in enumerate(reader.entries(key)):
        try:
            rules += parse_rule(entry)
        except ClientRuleError as e:
            reader.problems.append(f"{key}[{index}] {e}")
    for rule, count in Counter(rules).items():
        if count > 1:
            reader.problems.append(
                f"{key} lists {rule.service} from {rule.source or 'the client group'} {count} times, but AWS "
                "refuses a duplicate rule; keep only one"
            )
    return tuple(rules)


def services(reader: Reader, key: str) -> tuple[Service, ...]:
    """What runs where the first VIP is."""
    found: list[Service] = []
    for index, entry in enumerate(reader.entries(key)):
        try:
            found.append(parse_service(entry))
        except ServiceError as e:
            reader.problems.append(f"{key}[{index}] {e}")
    reader.problems += naming_problems(found)
    return tuple(found)


def encryption_key(reader: Reader, key: str) -> bytes | None:
    """Corosync's key, which no message shows."""
    given = reader.secret(key, ENCRYPTION_KEY_COMMAND)
    if given is None:
        return None
    try:
        found = base64.b64decode(given, validate=True)
    except ValueError:  # also what is not ASCII
        reader.problems.append(f"{key} is not base64; set it with: {ENCRYPTION_KEY_COMMAND}")
        return None
    if not ENCRYPTION_KEY_BYTES_MIN <= len(found) <= ENCRYPTION_KEY_BYTES_MAX:
        reader.problems.append(
            f"{key} has {len(found)} bytes, but Corosync and the parameter that holds the key take "
            f"{ENCRYPTION_KEY_BYTES_MIN} to {ENCRYPTION_KEY_BYTES_MAX}; set it with: {ENCRYPTION_KEY_COMMAND}"
        )
        return None
    return found
