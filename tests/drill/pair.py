"""The pair under test, seen from outside: who the nodes are, who holds the VIP in EC2 and in the nodes' systems.

Works on any EC2. What differs between them goes through `Cloud`, of which the lab is one and AWS another.
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

STATES = ("shutdown", "pending", "unclean", "standby", "maintenance")
"""What crm_mon says of a node that is not simply online. One that shuts down is `online` until it has left, and
may have handed the VIP over long before."""


@dataclass(frozen=True)
class Reach:
    """How far the drill gets into an EC2 and its instances, and at which pace; times in seconds."""

    poll_s: float = 0.1
    """Between two looks at EC2."""
    whole_limit_s: float = 180.0
    """How long a pair may take to be whole again. A node of the lab reboots in some 15 s."""
    settle_s: float = 0.0
    """How long a broken node is left alone before the pair is judged: for where nobody can look into it."""
    no_shell: str = ""
    """Why no commands can be run on the nodes; empty where they can."""
    remedy: str = "see the nodes' journals: `make shell NODE=a`"
    """Where the nodes' own words are."""


class Cloud(Protocol):
    """How the drill reaches an EC2 and its instances."""

    name: str
    """`lab` or `aws`."""

    reach: Reach

    def ec2(self) -> Any:
        """A boto3 EC2 client."""

    def client_prefix(self) -> Sequence[str] | None:
        """The words before a command that run it on a host that may reach the VIP; None where there is none."""

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        """The output of a command on a node, as root; None where it failed or the node can't be reached."""

    def cut_power(self, instance_id: str) -> None:
        """Stop the machine between two instructions."""

    def restore_power(self, instance_id: str) -> None:
        """Start the machine again, in whichever state the cut has left it; returns when it may boot."""


@dataclass(frozen=True)
class NodeView:
    """One node at one moment. `cluster` is `online`, `offline`, `pending`, …; where nobody tells, it is `unknown`
    and `holds_in_os` is None. `in_ec2` and `in_os` are those of the pair's VIPs that it has.
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
    """Two nodes and their VIP; `vips` are all of several, `vip` the first of them."""

    def __init__(self, cloud: Cloud, vip: str, node_ids: Sequence[str], vips: Sequence[str] = ()) -> None:
        self.cloud, self.vip, self.node_ids = cloud, vip, list(node_ids)
        self.vips = list(vips) or [vip]

    def holder(self, vip: str = "") -> str | None:
        """The instance whose network interface has the VIP (the first one) in EC2, None where neither has it."""
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
        """Both nodes, from EC2, from their systems and from the cluster."""
        return self._nodes(self._crm_mon())

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

    def _crm_mon(self) -> str:
        """The cluster as the first node that answers sees it, in crm_mon's XML; empty if none answers."""
        words = ["crm_mon", "--one-shot", "--output-as=xml"]
        return next((said for key in self.node_ids if (said := self.cloud.run_on(key, words))), "")

    def answers(self) -> bool:
        """Whether the client gets an answer from every VIP. Raises LabError where there is no client."""
        prefix = self.cloud.client_prefix()
        if prefix is None:
            raise LabError("there is no client to ask", "say PROBE='ssh bastion'")
        return all(answers(prefix, vip) for vip in self.vips)

    def flaws(self) -> list[str]:
        """What is wrong with the pair now; empty where it is whole.

        Whole is: both nodes running and online, exactly one has each VIP in EC2, the same one and no other has
        it in its system, a client reaches it, and the cluster has given up on no resource. Where there is no shell
        or no client, that part is left out: not knowing is no flaw; EC2's own status checks of the nodes take the
        shell's place.
        """
        reach = self.cloud.reach
        crm_mon = self._crm_mon()
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
            # A failure that the pair has got over is none of its flaws.
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
        """What the nodes that are not in the cluster said on their consoles as their bootstrap gave up."""
        ec2 = self.cloud.ec2()
        said = {
            node.name: failure(ec2, node.instance_id) for node in self.nodes() if node.cluster != "online"
        }
        return [f"{name}: {words}" for name, words in said.items() if words]

    def _failed_checks(self) -> list[str]:
        """EC2's own checks of the running nodes that are not in order (`initializing` while one boots)."""
        found = self.cloud.ec2().describe_instance_status(InstanceIds=self.node_ids)["InstanceStatuses"]
        return [
            f"EC2's {check} of {item['InstanceId']} says {item[key]['Status']}"
            for item in found
            for key, check in (("SystemStatus", "system check"), ("InstanceStatus", "instance check"))
            if item[key]["Status"] != "ok"
        ]

    def wait_until_whole(self, within_s: float, progress: Callable[[str], None] = lambda _: None) -> None:
        """Return as soon as nothing is wrong. Raises LabError with what still is after `within_s` seconds."""
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
        """The new holder in EC2, as soon as there is one. Raises LabError where there is none in time, and
        whatever `check` raises, which is called between two looks.
        """
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if (new := self.holder()) not in (None, old):
                return str(new)
            check()
            time.sleep(self.cloud.reach.poll_s)
        raise LabError(f"{old} still holds the VIP after {within_s:.0f} s", self.cloud.reach.remedy)


def given_up(crm_mon: str) -> list[str]:
    """The resources that the cluster leaves as they are until a person comes, from the XML of crm_mon."""
    found = ElementTree.fromstring(crm_mon).iterfind("resources//resource[@blocked='true']")
    return [f"{resource.get('id')} is blocked; `crm_resource --cleanup` lifts that" for resource in found]


def reasons(crm_mon: str) -> list[str]:
    """What agents gave as the reason of the failures that the cluster remembers, from the XML of crm_mon."""
    return [
        f"{failure.get('op_key', '').rpartition('_')[0]} failed on {failure.get('node')}: {reason}"
        for failure in ElementTree.fromstring(crm_mon).iterfind("failures/failure")
        if (reason := failure.get("exitreason"))
    ]


def cluster_states(crm_mon: str) -> dict[str, str]:
    """Node name → state, from the XML of crm_mon (Pacemaker 2.1 and 3)."""
    states = {}
    for node in ElementTree.fromstring(crm_mon).iterfind("nodes/node"):
        flags = [flag for flag in STATES if node.get(flag) == "true"]
        states[node.get("name", "")] = (
            flags[0] if flags else "online" if node.get("online") == "true" else "offline"
        )
    return states
