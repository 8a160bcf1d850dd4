"""A scripted EC2 with two nodes, which an `up` watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pulumi
from botocore.exceptions import ClientError

from infra.watch import Expected, Watch

A, B, VIP = "ec2vip-a", "ec2vip-b", "10.0.250.185"
ADDRESSES = {A: "10.0.250.186", B: "10.0.250.187"}
NOW = datetime.now(timezone.utc)
DONE = "[    1.0] x\r\nec2vip: settings: done (1 s)\r\nec2vip: bootstrap done (23 s)\r\n"
FAILED = "ec2vip: bootstrap failed: packages: not within 900 s\r\nlogin: "


class Ec2:
    """A scripted EC2: it shows instances and consoles, and records the reboots."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.consoles: dict[str, str] = {}
        self.posted = NOW + timedelta(seconds=1)
        self.rebooted: list[str] = []
        self.on_reboot: Callable[[str], None] = lambda instance_id: None
        self.refuses: dict[str, Exception] = {}
        self.nitro = True

    def add(self, name: str, **changes: Any) -> str:
        """Add a running instance; returns its id.

        `changes` may set state, holds, launched, made_from, instance_type, profile, tagged, called and address.
        """
        self.nodes[name] = {
            "state": "running",
            "holds": False,
            "launched": NOW,
            "profile": "profile",
            "tagged": True,
            "called": name,
            "address": ADDRESSES.get(name, "10.0.250.9"),
        } | changes
        return f"i-{name}"

    def describe_instances(self, Filters: list[dict[str, Any]], NextToken: str = "") -> Any:  # noqa: N803
        """One instance per page, as EC2 may do."""
        self._refuse("describe_instances")
        wanted = {each["Name"]: each["Values"] for each in Filters}
        page = int(NextToken or 0)
        found = [self._shown(name) for name in self.nodes if self._passes(name, wanted)]
        more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
        return {"Reservations": [{"Instances": found[page : page + 1]}], **more}

    def _passes(self, name: str, wanted: Mapping[str, list[str]]) -> bool:
        node = self.nodes[name]
        values = {
            "tag:ec2vip:pair": "ec2vip" if node["tagged"] else "",
            "instance-id": f"i-{name}",
            "subnet-id": "subnet",
            "private-ip-address": node["address"],
        }
        return all(values[each] in allowed for each, allowed in wanted.items())

    def _shown(self, name: str) -> dict[str, Any]:
        node = self.nodes[name]
        addresses = [node["address"], *([VIP] if node["holds"] else [])]
        return {
            "PrivateIpAddress": node["address"],
            "InstanceId": f"i-{name}",
            "State": {"Name": node["state"]},
            "InstanceType": node.get("instance_type", "t3.micro"),
            "LaunchTime": node["launched"],
            "IamInstanceProfile": {"Arn": f"arn:aws:iam::1:instance-profile/{node['profile']}"},
            "Tags": [
                {"Key": "Name", "Value": node["called"]},
                {"Key": "ec2vip:made-from", "Value": node.get("made_from", "new")},
            ],
            "NetworkInterfaces": [{"PrivateIpAddresses": [{"PrivateIpAddress": a} for a in addresses]}],
        }

    def get_console_output(self, InstanceId: str, Latest: bool = False) -> Any:  # noqa: N803
        self._refuse("get_console_output")
        if Latest and not self.nitro:
            raise error("UnsupportedOperation")
        text = self.consoles.get(InstanceId, "")
        return {"Timestamp": self.posted, "Output": text}

    def reboot_instances(self, InstanceIds: list[str]) -> None:  # noqa: N803
        self.rebooted += InstanceIds
        self.on_reboot(InstanceIds[0])

    def _refuse(self, call: str) -> None:
        if call in self.refuses:
            raise self.refuses[call]


def error(code: str) -> ClientError:
    """The exception that boto3 raises for an EC2 error with that code."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


def watching(ec2: Ec2, known: Mapping[str, str] | None = None, minutes: float = 20) -> Watch:
    """A watch of the pair; `known` are the ids in Pulumi's state, by name."""

    async def knows() -> Mapping[str, str]:
        return known or {}

    expected = Expected(
        profile=pulumi.Output.from_input("profile"), addresses=ADDRESSES, subnet_id="subnet", known=knows
    )
    return Watch("ec2vip", VIP, expected, timedelta(minutes=minutes), lambda: ec2)
