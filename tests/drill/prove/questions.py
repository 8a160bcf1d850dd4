"""What no public source says of EC2's answers, asked safely: two interfaces of our own, no instance.

The same questions go to an emulator in this process. So a report can put AWS's answer beside the lab's, and
neither is written down here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.emulator import Emulator

ASKED = Config(parameter_validation=False, retries={"mode": "standard", "max_attempts": 5})
"""EC2 shall refuse what is wrong, not the SDK."""
NAME = "asks what EC2 answers; may be deleted"
IDS = re.compile(r"\b(eni|subnet|vpc|sg|i)-[0-9a-f]{8,17}\b")
SUCCESS = "success"


@dataclass(frozen=True)
class Ground:
    """Two unattached interfaces in one subnet; the first has `spare` as a secondary address."""

    ec2: Any
    subnet: ipaddress.IPv4Network
    one: str
    other: str
    primary: str
    others_primary: str
    spare: str

    def assign(self, eni: str, *addresses: str, move: bool = True) -> None:
        self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=list(addresses), AllowReassignment=move
        )

    def unassign(self, eni: str, *addresses: str) -> None:
        self.ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=list(addresses))

    def describe(self, **asked: Any) -> None:
        self.ec2.describe_network_interfaces(**asked)


@dataclass(frozen=True)
class Question:
    """A call, and the row of the fidelity table (tests/lab/README.md) that its answer settles.

    `switch` is the setting of the emulator that makes the lab answer otherwise, if there is one.
    """

    name: str
    row: str
    ask: Callable[[Ground], None]
    switch: str = ""


@dataclass(frozen=True)
class Answer:
    """What EC2 said, and what the lab says: an error's code and text without ids, or SUCCESS."""

    question: Question
    said: str
    lab: str

    @property
    def same_code(self) -> bool:
        """Whether both said the same but for the text."""
        return self.said.partition(":")[0] == self.lab.partition(":")[0]


QUESTIONS: Sequence[Question] = (
    Question(
        "assign what the interface has already",
        "assigning what the interface has already",
        lambda on: on.assign(on.one, on.spare),
        switch="same_eni_reassign",
    ),
    Question(
        "the same without AllowReassignment",
        "assigning what the interface has already",
        lambda on: on.assign(on.one, on.spare, move=False),
        switch="same_eni_reassign",
    ),
    Question(
        "assign the interface's own primary address",
        "another interface's primary",
        lambda on: on.assign(on.one, on.primary),
    ),
    Question(
        "assign another interface's primary address",
        "another interface's primary",
        lambda on: on.assign(on.one, on.others_primary),
    ),
    Question(
        "take another's address without AllowReassignment",
        "address of another interface, no AllowReassignment",
        lambda on: on.assign(on.other, on.spare, move=False),
    ),
    Question(
        "assign an address outside the subnet",
        "outside the subnet, not an address",
        lambda on: on.assign(on.one, str(on.subnet.broadcast_address + 9)),
    ),
    Question(
        "assign what is no address",
        "outside the subnet, not an address",
        lambda on: on.assign(on.one, "10.0.0.300"),
    ),
    Question(
        "assign the router's address",
        "the subnet's five reserved addresses",
        lambda on: on.assign(on.one, str(on.subnet.network_address + 1)),
    ),
    Question(
        "assign the last address",
        "the subnet's five reserved addresses",
        lambda on: on.assign(on.one, str(on.subnet.broadcast_address)),
    ),
    Question(
        "unassign the primary address",
        "unassigning the primary; nothing named",
        lambda on: on.unassign(on.one, on.primary),
    ),
    Question(
        "unassign nothing",
        "unassigning the primary; nothing named",
        lambda on: on.ec2.unassign_private_ip_addresses(NetworkInterfaceId=on.one),
    ),
    Question(
        "unassign what another interface has",
        "late Unassign by the former holder",
        lambda on: on.unassign(on.other, on.spare),
    ),
    Question(
        "assign to an interface that is not there",
        "unknown interface",
        lambda on: on.assign("eni-0123456789abcdef0", on.spare),
    ),
    Question(
        "assign to a malformed id",
        "unknown interface",
        lambda on: on.assign("eni-xyz", on.spare),
    ),
    Question(
        "describe a malformed id",
        "unknown interface",
        lambda on: on.describe(NetworkInterfaceIds=["eni-xyz"]),
    ),
    Question(
        "describe by a filter that does not exist",
        "Describe: filters",
        lambda on: on.describe(Filters=[{"Name": "no-such-filter", "Values": ["1"]}]),
    ),
    Question(
        "assign without naming an interface",
        "missing parameter, EC2",
        lambda on: on.ec2.assign_private_ip_addresses(PrivateIpAddresses=[on.spare]),
    ),
    Question(
        "tag with the same key twice",
        "tags, EC2",
        lambda on: on.ec2.create_tags(
            Resources=[on.one], Tags=[{"Key": "team", "Value": "a"}, {"Key": "team", "Value": "b"}]
        ),
    ),
    Question(
        "tag with a key of AWS's own",
        "tags, EC2",
        lambda on: on.ec2.create_tags(Resources=[on.one], Tags=[{"Key": "aws:team", "Value": "a"}]),
    ),
)


def ask_all(ec2: Any, subnet_id: str, tags: Sequence[dict[str, str]]) -> list[Answer]:
    """Ask EC2 every question in this subnet, and the emulator the same. What was made is removed.

    `ec2` is a client made with ASKED. Each interface has the `tags`. Raises ClientError if EC2 refuses to make
    or to remove an interface.
    """
    with _ground(ec2, subnet_id, tags) as ground:
        said = [_said(question, ground) for question in QUESTIONS]
    region = ec2.meta.region_name
    with _emulated(ground.subnet, region) as emulated, _ground(*emulated, tags) as ground:
        lab = [_said(question, ground) for question in QUESTIONS]
    return [Answer(*each) for each in zip(QUESTIONS, said, lab, strict=True)]


def _said(question: Question, ground: Ground) -> str:
    try:
        question.ask(ground)
    except ClientError as error:
        known = {
            ground.spare: "SPARE",
            ground.primary: "PRIMARY",
            ground.others_primary: "OTHER",
        }
        text = IDS.sub(r"\1-…", str(error.response["Error"].get("Message", "")))
        for address, name in known.items():
            text = re.sub(rf"\b{re.escape(address)}\b", name, text)
        return f"{error.response['Error']['Code']}: {text}"
    return SUCCESS


@contextmanager
def _ground(ec2: Any, subnet_id: str, tags: Sequence[dict[str, str]]) -> Iterator[Ground]:
    (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    made: list[dict[str, Any]] = []
    try:
        for count in (1, 0):
            asked: dict[str, Any] = {"SecondaryPrivateIpAddressCount": count} if count else {}
            made.append(
                ec2.create_network_interface(
                    SubnetId=subnet_id,
                    Description=NAME,
                    TagSpecifications=[{"ResourceType": "network-interface", "Tags": list(tags)}],
                    **asked,
                )["NetworkInterface"]
            )
        one, other = made
        (spare,) = (each["PrivateIpAddress"] for each in one["PrivateIpAddresses"] if not each["Primary"])
        yield Ground(
            ec2=ec2,
            subnet=ipaddress.IPv4Network(subnet["CidrBlock"]),
            one=one["NetworkInterfaceId"],
            other=other["NetworkInterfaceId"],
            primary=one["PrivateIpAddress"],
            others_primary=other["PrivateIpAddress"],
            spare=spare,
        )
    finally:
        for interface in made:
            with _gone_is_well():
                ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])


@contextmanager
def _gone_is_well() -> Iterator[None]:
    """Do not mind if the interface is gone already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidNetworkInterfaceID.NotFound":
            raise


@contextmanager
def _emulated(cidr: ipaddress.IPv4Network, region: str) -> Iterator[tuple[Any, str]]:
    """An emulated account with a subnet of this CIDR: a client and the subnet's id."""
    emulator = Emulator(region=region)
    try:
        server = emulator.serve("127.0.0.1")
        key, secret = emulator.administrator
        ec2 = boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=server.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=ASKED,
        )
        network = cidr if cidr.prefixlen <= 28 else cidr.supernet(new_prefix=28)
        vpc = ec2.create_vpc(CidrBlock=str(network))["Vpc"]["VpcId"]
        yield ec2, ec2.create_subnet(VpcId=vpc, CidrBlock=str(network))["Subnet"]["SubnetId"]
    finally:
        emulator.close()
