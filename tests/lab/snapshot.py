"""Snapshots of a pair, to come back to in seconds: disks and addresses in EC2, without any fault in force.

`take` cuts the nodes' power and boots them again; what they had written becomes a layer that no longer
changes. `restore` cuts the power, forgets the layer above, puts the addresses back and boots. Of the API's
state, a snapshot keeps only the nodes' secondary addresses. What Pulumi or anybody else has made in EC2 since
then stays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.lab import changed as changes
from tests.lab import disk
from tests.lab.cgroup import Cgroup
from tests.lab.errors import LabError
from tests.lab.files import read_json, write_whole
from tests.lab.process import run

if TYPE_CHECKING:
    from tests.lab.lab import Lab

FILE = "snapshot.json"


def take(lab: Lab) -> None:
    """Keep the lab's running nodes as they are. Raises LabError if one of them is no longer in EC2."""
    nodes = [key for key, node in lab.state()["nodes"].items() if node["leader"]]
    described = _interfaces(lab, nodes)
    if len(described) < len(nodes):
        raise LabError("a node is not in EC2 any more", "take a snapshot of a whole pair")
    for node in nodes:
        disk.sync(lab.enter(), disk.layers(lab.folder / "nodes" / node / "disk")[-1])
    _each(nodes, lambda node: lab.ask("power-loss", instance_id=node))
    _each(nodes, lambda node: lab.ask("keep-disk", instance_id=node))
    write_whole(lab.folder / FILE, json.dumps({"nodes": nodes, "addresses": described}))
    _each(nodes, lambda node: lab.ask("power-on", instance_id=node))


def restore(lab: Lab, only: Iterable[str] = ()) -> None:
    """Bring the nodes back to the snapshot and boot them; returns when they have power.

    With `only`, it restores just those nodes and moves no address: they join the others again, as after a
    crash. Raises LabError if there is no snapshot, or if a node has been terminated since.
    """
    kept = read_json(lab.folder / FILE)
    if not kept:
        raise LabError(f"lab {lab.name!r} has no snapshot", "take one of a whole pair first")
    nodes = [node for node in kept["nodes"] if not only or node in only]
    states = _states(lab, nodes)
    if gone := [node for node in nodes if states.get(node) not in ("running", "stopped")]:
        raise LabError(
            f"{gone[0]} is {states.get(gone[0], 'gone')}", "start a new lab, and take a new snapshot"
        )
    end_faults(lab, nodes)
    _each(nodes, lambda node: lab.ask("power-loss", instance_id=node))
    _each(nodes, lambda node: lab.ask("reset-disk", instance_id=node))
    if len(nodes) == len(kept["nodes"]):
        _put_back(lab, kept["addresses"], _interfaces(lab, nodes))
    if stopped := [node for node in nodes if states[node] == "stopped"]:
        lab.client().start_instances(InstanceIds=stopped)
    _each([n for n in nodes if n not in stopped], lambda node: lab.ask("power-on", instance_id=node))


def changed(lab: Lab, node: str) -> list[str]:
    """The paths on the node's disk that differ from the snapshot (see tests.lab.changed)."""
    root = lab.folder / "nodes" / node / "disk/root"
    # The program needs its absolute path: a process that enters the lab loses its working folder.
    return run([*lab.enter(), sys.executable, changes.__file__, str(root)]).stdout.splitlines()


def end_faults(lab: Lab, nodes: Iterable[str]) -> None:
    """End all faults in force, even those whose process is gone."""
    lab.ask("end-all-faults")
    for line in run([*lab.in_fabric(), "nft", "list", "tables"]).stdout.splitlines():
        if (name := line.split()[-1]).startswith("fault_"):
            run([*lab.in_fabric(), "nft", "delete", "table", "inet", name])
    for node in nodes:
        group = Cgroup(lab.name, node)
        group.freeze(False)
        group.set_bounds()


def _each(nodes: Iterable[str], action: Any) -> None:
    """Call `action` for all nodes at once; raises the first failure."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(action, nodes))


def _states(lab: Lab, nodes: list[str]) -> dict[str, str]:
    match = [{"Name": "instance-id", "Values": nodes}]
    found = lab.client().describe_instances(Filters=match)["Reservations"]
    return {item["InstanceId"]: item["State"]["Name"] for each in found for item in each["Instances"]}


def _interfaces(lab: Lab, nodes: list[str]) -> dict[str, list[str]]:
    """Interface → its secondary addresses."""
    match = [{"Name": "attachment.instance-id", "Values": nodes}]
    return {
        item["NetworkInterfaceId"]: [
            entry["PrivateIpAddress"] for entry in item["PrivateIpAddresses"] if not entry["Primary"]
        ]
        for item in lab.client().describe_network_interfaces(Filters=match)["NetworkInterfaces"]
    }


def _put_back(lab: Lab, kept: dict[str, list[str]], now: dict[str, list[str]]) -> None:
    """Move back the addresses that are elsewhere, then remove those that no node had."""
    ec2, wanted = lab.client(), {address for addresses in kept.values() for address in addresses}
    for eni, addresses in kept.items():
        if missing := sorted(set(addresses) - set(now.get(eni, []))):
            ec2.assign_private_ip_addresses(
                NetworkInterfaceId=eni, PrivateIpAddresses=missing, AllowReassignment=True
            )
    for eni, addresses in now.items():
        if strange := sorted(set(addresses) - wanted):
            ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=strange)
