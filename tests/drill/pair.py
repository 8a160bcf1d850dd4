"""The pair under test, seen from outside: who the nodes are, who holds the VIP in EC2 and in the nodes' systems.

Works on any EC2. What needs a shell on the nodes goes through `Cloud`, which the lab implements.
"""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.drill.probe import answers
from tests.lab.errors import LabError

POLL_S = 0.1


class Cloud(Protocol):
    """How the drill reaches an EC2 and its instances."""

    name: str
    """`lab` or `aws`."""

    def ec2(self) -> Any:
        """A boto3 EC2 client."""

    def client_prefix(self) -> Sequence[str]:
        """The words before a command that run it on a host that may reach the VIP."""

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        """The output of a command on a node, as root; None where it failed or the node can't be reached."""

    def cut_power(self, instance_id: str) -> None:
        """Stop the machine between two instructions."""


@dataclass(frozen=True)
class NodeView:
    """One node at one moment. `cluster` is `online`, `offline`, `pending`, … or `unknown` where nobody tells."""

    name: str
    instance_id: str
    address: str
    state: str
    cluster: str
    holds_in_ec2: bool
    holds_in_os: bool


class Pair:
    """Two nodes and their VIP."""

    def __init__(self, cloud: Cloud, vip: str, node_ids: Sequence[str]) -> None:
        self.cloud, self.vip, self.node_ids = cloud, vip, list(node_ids)

    def holder(self) -> str | None:
        """The instance whose network interface has the VIP in EC2, None where neither has it."""
        held = self._instances()
        return next((key for key, (_, addresses) in held.items() if self.vip in addresses[1:]), None)

    def _instances(self) -> dict[str, tuple[dict[str, Any], list[str]]]:
        """Instance id → its description, and its addresses with the primary first."""
        found = {}
        for reservation in self.cloud.ec2().describe_instances(InstanceIds=self.node_ids)["Reservations"]:
            for item in reservation["Instances"]:
                listed = [a for card in item["NetworkInterfaces"] for a in card["PrivateIpAddresses"]]
                listed.sort(key=lambda entry: not entry["Primary"])
                found[item["InstanceId"]] = (item, [entry["PrivateIpAddress"] for entry in listed])
        return {key: found[key] for key in self.node_ids if key in found}

    def nodes(self) -> list[NodeView]:
        """Both nodes, from EC2, from their systems and from the cluster."""
        described = self._instances()
        cluster = self.cluster_states()
        views = []
        for key, (item, addresses) in described.items():
            name = next((tag["Value"] for tag in item.get("Tags", []) if tag["Key"] == "Name"), key)
            listing = self.cloud.run_on(key, ["ip", "-4", "-brief", "address"]) or ""
            views.append(
                NodeView(
                    name=name,
                    instance_id=key,
                    address=item.get("PrivateIpAddress", ""),
                    state=item["State"]["Name"],
                    cluster=cluster.get(name, "unknown"),
                    holds_in_ec2=self.vip in addresses[1:],
                    holds_in_os=self.vip in re.findall(r"(\d+\.\d+\.\d+\.\d+)/\d+", listing),
                )
            )
        return views

    def cluster_states(self) -> dict[str, str]:
        """Node name → state, as the first node that answers sees it."""
        for key in self.node_ids:
            if output := self.cloud.run_on(key, ["crm_mon", "--one-shot", "--output-as=xml"]):
                return cluster_states(output)
        return {}

    def answers(self) -> bool:
        """Whether the client gets an answer from the VIP."""
        return answers(self.cloud.client_prefix(), self.vip)

    def flaws(self) -> list[str]:
        """What is wrong with the pair now; empty where it is whole.

        Whole is: both nodes running and online, exactly one has the VIP in EC2, the same one and no other has
        it in its system, and a client reaches it.
        """
        nodes = self.nodes()
        flaws = [f"{n.name} is {n.state}" for n in nodes if n.state != "running"]
        flaws += [f"{n.name} is {n.cluster} in the cluster" for n in nodes if n.cluster != "online"]
        ec2, system = [n.name for n in nodes if n.holds_in_ec2], [n.name for n in nodes if n.holds_in_os]
        if len(ec2) != 1 or ec2 != system:
            flaws.append(
                f"the VIP is with {ec2 or 'nobody'} in EC2 and with {system or 'nobody'} in the nodes' systems"
            )
        elif not self.answers():
            flaws.append(f"the VIP does not answer the client though {ec2[0]} has it")
        return flaws

    def wait_until_whole(self, within_s: float, progress: Callable[[str], None] = lambda _: None) -> None:
        """Return as soon as nothing is wrong. Raises LabError with what still is after `within_s` seconds."""
        deadline = time.monotonic() + within_s
        said = ""
        while flaws := self.flaws():
            if "; ".join(flaws) != said:
                progress(said := "; ".join(flaws))
            if time.monotonic() > deadline:
                raise LabError(
                    f"after {within_s:.0f} s: {'; '.join(flaws)}",
                    "see the nodes' journals: `make shell NODE=a`",
                )
            time.sleep(POLL_S)

    def wait_for_holder_other_than(self, old: str, within_s: float) -> str:
        """The new holder in EC2, as soon as there is one. Raises LabError where there is none in time."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if (new := self.holder()) not in (None, old):
                return str(new)
            time.sleep(POLL_S)
        raise LabError(
            f"{old} still holds the VIP after {within_s:.0f} s",
            "see the nodes' journals: `make shell NODE=a`",
        )


def cluster_states(crm_mon: str) -> dict[str, str]:
    """Node name → state, from the XML of crm_mon (Pacemaker 2.1 and 3)."""
    states = {}
    for node in ElementTree.fromstring(crm_mon).iterfind("nodes/node"):
        flags = [
            flag for flag in ("pending", "unclean", "standby", "maintenance") if node.get(flag) == "true"
        ]
        states[node.get("name", "")] = (
            flags[0] if flags else "online" if node.get("online") == "true" else "offline"
        )
    return states
