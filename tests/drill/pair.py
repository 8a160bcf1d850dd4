"""The pair under test, seen from outside: its nodes, and who holds the VIP in EC2 and in their systems.

It works on any EC2. Differences between EC2s go through `Cloud`, which the lab and AWS implement.
"""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.drill.console import failure
from tests.drill.probe import answers
from tests.lab.errors import LabError

CRM_MON = ("crm_mon", "--one-shot", "--output-as=xml")
STATES = ("shutdown", "pending", "unclean", "standby", "maintenance")
"""What crm_mon says of a node that is not simply online. A node that shuts down stays `online` until it has
left, and may have handed the VIP over long before."""


@dataclass(frozen=True)
class Reach:
    """What the drill can do in an EC2 and its instances, and how fast; times in seconds."""

    poll_s: float = 0.1
    """Time between two polls of EC2."""
    whole_limit_s: float = 180.0
    """How long a pair may take to be whole again. A node of the lab reboots in some 15 s."""
    settle_s: float = 0.0
    """How long we leave a broken node alone before we judge the pair, if we cannot look into the node."""
    no_shell: str = ""
    """Why we cannot run commands on the nodes; empty if we can."""
    remedy: str = "see the nodes' journals: `make shell NODE=a`"
    """Where to find the nodes' own logs."""


class Cloud(Protocol):
    """How the drill reaches an EC2 and its instances."""

    name: str
    """`lab` or `aws`."""

    reach: Reach

    def ec2(self) -> Any:
        """A boto3 EC2 client."""

    def client_prefix(self) -> Sequence[str] | None:
        """The prefix that runs a command on a host that can reach the VIP; None if there is no such host."""

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        """The output of a command on a node, as root; None if it failed or the node cannot be reached."""

    def cut_power(self, instance_id: str) -> None:
        """Stop the machine between two instructions."""

    def restore_power(self, instance_id: str) -> None:
        """Start the machine again, whatever state the cut left it in; return when it may boot."""


@dataclass(frozen=True)
class NodeView:
    """One node at one moment.

    `cluster` is `online`, `offline`, `pending`, …, or `unknown` if no node tells. `holds_in_os` is None if
    the node itself does not tell. `in_ec2` and `in_os` are those of the pair's VIPs that it has.
    """

    name: str
    instance_id: str
    address: str
    state: str
    cluster: str
    holds_in_ec2: bool
    holds_in_os: bool | None
    in_ec2: tuple[str, ...] = ()
    in_os: tuple[str, ...] | None = None


class Pair:
    """Two nodes and their VIP. If there are several, `vips` are all of them, and `vip` is the first."""

    def __init__(self, cloud: Cloud, vip: str, node_ids: Sequence[str], vips: Sequence[str] = ()) -> None:
        self.cloud, self.vip, self.node_ids = cloud, vip, list(node_ids)
        self.vips = list(vips) or [vip]

    def holder(self, vip: str = "") -> str | None:
        """The instance whose interface has the VIP (by default the first) in EC2; None if neither has."""
        found = self.cloud.ec2().describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": self.node_ids}]
        )
        for card in found["NetworkInterfaces"]:
            for address in card["PrivateIpAddresses"]:
                if address["PrivateIpAddress"] == (vip or self.vip) and not address["Primary"]:
                    return str(card["Attachment"]["InstanceId"])
        return None

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
        """Both nodes as EC2, their systems and the cluster show them."""
        return self._nodes(self.crm_mon())

    def _nodes(self, crm_mon: str) -> list[NodeView]:
        described = self._instances()
        cluster = cluster_states(crm_mon) if crm_mon else {}
        views = []
        for key, (item, addresses) in described.items():
            name = next((tag["Value"] for tag in item.get("Tags", []) if tag["Key"] == "Name"), key)
            listing = self.cloud.run_on(key, ["ip", "-4", "-brief", "address"])
            held = re.findall(r"(\d+\.\d+\.\d+\.\d+)/\d+", listing or "")
            in_ec2 = tuple(vip for vip in self.vips if vip in addresses[1:])
            in_os = None if listing is None else tuple(vip for vip in self.vips if vip in held)
            views.append(
                NodeView(
                    name=name,
                    instance_id=key,
                    address=item.get("PrivateIpAddress", ""),
                    state=item["State"]["Name"],
                    cluster=cluster.get(name, "unknown"),
                    holds_in_ec2=self.vip in in_ec2,
                    holds_in_os=None if in_os is None else self.vip in in_os,
                    in_ec2=in_ec2,
                    in_os=in_os,
                )
            )
        return views

    def crm_mon(self, *options: str) -> str:
        """crm_mon's XML from the first node that answers; empty if none does."""
        words = [*CRM_MON, *options]
        return next((said for key in self.node_ids if (said := self.cloud.run_on(key, words))), "")

    def answers(self) -> bool:
        """Whether the client gets an answer from every VIP. Raises LabError if there is no client."""
        prefix = self.cloud.client_prefix()
        if prefix is None:
            raise LabError("no client is set to test the VIP", "set PROBE='ssh bastion'")
        return all(answers(prefix, vip) for vip in self.vips)

    def flaws(self) -> list[str]:
        """What is wrong with the pair now; empty if the pair is whole.

        In a whole pair, both nodes run and are online. Exactly one node has each VIP in EC2, and the same
        node alone has it in its system. A client reaches each VIP, and the cluster has given up on no
        resource. Without a shell or a client, we leave that part out: what we do not know is not a flaw.
        EC2's own status checks of the nodes stand in for the shell.
        """
        reach = self.cloud.reach
        crm_mon = self.crm_mon()
        nodes = self._nodes(crm_mon)
        flaws = [f"{n.name} is {n.state}" for n in nodes if n.state != "running"]
        if reach.no_shell:
            flaws += self._failed_checks()
        else:
            flaws += [f"{n.name} is {n.cluster} in the cluster" for n in nodes if n.cluster != "online"]
        if lost := set(self.node_ids) - {n.instance_id for n in nodes}:
            flaws.append(f"EC2 does not know {', '.join(sorted(lost))}")
        misplaced = [flaw for vip in self.vips for flaw in self._flaws_of(vip, nodes)]
        if crm_mon:
            flaws += given_up(crm_mon)
            # A failure that the pair has recovered from is not a flaw.
            misplaced += reasons(crm_mon) if misplaced else []
        return flaws + misplaced

    def _flaws_of(self, vip: str, nodes: Sequence[NodeView]) -> list[str]:
        """What is wrong with one VIP."""
        called = "the VIP" if len(self.vips) == 1 else f"the VIP {vip}"
        ec2, system = (
            [n.name for n in nodes if vip in n.in_ec2],
            [n.name for n in nodes if vip in (n.in_os or ())],
        )
        if self.cloud.reach.no_shell:
            if len(ec2) != 1:
                return [f"{called} is with {ec2 or 'nobody'} in EC2"]
        elif len(ec2) != 1 or ec2 != system:
            return [
                f"{called} is with {ec2 or 'nobody'} in EC2 and with {system or 'nobody'} in the nodes' systems"
            ]
        prefix = self.cloud.client_prefix()
        if prefix is not None and not answers(prefix, vip):
            return [f"{called} does not answer the client though {ec2[0]} has it"]
        return []

    def failures(self) -> list[str]:
        """The console lines with which bootstraps gave up, of the nodes that are not in the cluster."""
        ec2 = self.cloud.ec2()
        said = {
            node.name: failure(ec2, node.instance_id) for node in self.nodes() if node.cluster != "online"
        }
        return [f"{name}: {words}" for name, words in said.items() if words]

    def _failed_checks(self) -> list[str]:
        """EC2's own checks of the running nodes that do not say `ok` (`initializing` while a node boots)."""
        found = self.cloud.ec2().describe_instance_status(InstanceIds=self.node_ids)["InstanceStatuses"]
        return [
            f"EC2's {check} of {item['InstanceId']} says {item[key]['Status']}"
            for item in found
            for key, check in (("SystemStatus", "system check"), ("InstanceStatus", "instance check"))
            if item[key]["Status"] != "ok"
        ]

    def wait_until_whole(self, within_s: float, progress: Callable[[str], None] = lambda _: None) -> None:
        """Return once the pair is whole. Raises LabError with the flaws left after `within_s` seconds."""
        deadline = time.monotonic() + within_s
        said = ""
        while flaws := self.flaws():
            if "; ".join(flaws) != said:
                progress(said := "; ".join(flaws))
            if time.monotonic() > deadline:
                flaws += self.failures()
                raise LabError(f"after {within_s:.0f} s: {'; '.join(flaws)}", self.cloud.reach.remedy)
            time.sleep(self.cloud.reach.poll_s)

    def wait_for_holder_other_than(
        self, old: str, within_s: float, check: Callable[[], None] = lambda: None
    ) -> str:
        """The new holder in EC2, as soon as there is one.

        Raises LabError if there is none in time. Between two polls we call `check`, and pass on whatever it
        raises.
        """
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if (new := self.holder()) not in (None, old):
                return str(new)
            check()
            time.sleep(self.cloud.reach.poll_s)
        raise LabError(f"{old} still holds the VIP after {within_s:.0f} s", self.cloud.reach.remedy)


def given_up(crm_mon: str) -> list[str]:
    """The resources that the cluster leaves alone until a person acts (blocked), from crm_mon's XML."""
    found = ElementTree.fromstring(crm_mon).iterfind("resources//resource[@blocked='true']")
    return [f"{resource.get('id')} is blocked; `crm_resource --cleanup` clears that" for resource in found]


def reasons(crm_mon: str) -> list[str]:
    """The agents' reasons for the failures that the cluster remembers, from crm_mon's XML."""
    return [
        f"{failure.get('op_key', '').rpartition('_')[0]} failed on {failure.get('node')}: {reason}"
        for failure in ElementTree.fromstring(crm_mon).iterfind("failures/failure")
        if (reason := failure.get("exitreason"))
    ]


def cluster_states(crm_mon: str) -> dict[str, str]:
    """Node name → state, from crm_mon's XML (Pacemaker 2.1 and 3)."""
    states = {}
    for node in ElementTree.fromstring(crm_mon).iterfind("nodes/node"):
        flags = [flag for flag in STATES if node.get(flag) == "true"]
        states[node.get("name", "")] = (
            flags[0] if flags else "online" if node.get("online") == "true" else "offline"
        )
    return states
