"""Faults of the VIP: who has it in EC2 and in a node's system, and who may move it according to IAM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.lab.errors import LabError
from tests.lab.faults.core import eni_of
from tests.lab.network_plan import GUEST_LINK

if TYPE_CHECKING:
    from tests.lab.lab import Lab


def interface_with(ec2: Any, address: str) -> dict[str, Any]:
    """The network interface that has the address in EC2. Raises LabError if none has."""
    match = [{"Name": "addresses.private-ip-address", "Values": [address]}]
    for found in ec2.describe_network_interfaces(Filters=match)["NetworkInterfaces"]:
        return dict(found)
    raise LabError(f"no interface has {address}", "wait until the pair is whole: `make status`")


THIEF = "thief"
"""The description of an interface that took the VIP."""


def steal_again(lab: Lab, vip: str) -> None:
    """Let the interface that stole the VIP, and has lost it since, take it again."""
    ec2 = lab.client()
    match = [{"Name": "description", "Values": [THIEF]}]
    (found,) = ec2.describe_network_interfaces(Filters=match)["NetworkInterfaces"]
    _assign(ec2, found["NetworkInterfaceId"], vip)


@contextmanager
def stolen(lab: Lab, vip: str) -> Iterator[None]:
    """A third interface, attached to nothing, takes the VIP in EC2.

    At the end we delete that interface. If it still has the VIP, we first give the VIP back to the interface
    that lost it.
    """
    ec2 = lab.client()
    victim = interface_with(ec2, vip)
    groups = [group["GroupId"] for group in victim["Groups"]]
    made = ec2.create_network_interface(SubnetId=victim["SubnetId"], Groups=groups, Description=THIEF)
    thief = made["NetworkInterface"]["NetworkInterfaceId"]
    _assign(ec2, thief, vip)
    yield
    if _has(ec2, thief, vip):
        _assign(ec2, victim["NetworkInterfaceId"], vip)
    ec2.delete_network_interface(NetworkInterfaceId=thief)


def _assign(ec2: Any, eni: str, address: str) -> None:
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=[address], AllowReassignment=True
    )


def _has(ec2: Any, eni: str, address: str) -> bool:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    return address in [item["PrivateIpAddress"] for item in found["PrivateIpAddresses"]]


@contextmanager
def os_address_deleted(lab: Lab, node: str, vip: str) -> Iterator[None]:
    """The holder's system loses the VIP; EC2 still delivers to it.

    At the end we put it back, unless the cluster has done so or has moved the VIP in the meantime.
    """
    listed = delete_address(lab, node, vip)
    yield
    if _has(lab.client(), eni_of(lab, node), vip) and not _listed(lab, node, vip):
        lab.run_in(node, ["ip", "address", "add", *listed, "dev", GUEST_LINK])


def delete_address(lab: Lab, node: str, address: str) -> list[str]:
    """Take the address from the node's system for good. Returns it as `_listed` does.

    Raises LabError if the system does not have it.
    """
    listed = _listed(lab, node, address)
    if not listed:
        raise LabError(f"the system of {node} does not have {address}", "name the holder: `make status`")
    # The address may be there twice with different prefixes: one from a network tool, one from IPaddr2.
    lab.run_in(node, ["ip", "address", "flush", "to", address, "dev", GUEST_LINK])
    return listed


def has_address(lab: Lab, node: str, address: str) -> bool:
    """Whether the node's system has the address."""
    return bool(_listed(lab, node, address))


@contextmanager
def os_address_added(lab: Lab, node: str, vip: str) -> Iterator[None]:
    """The system of a node that is not the holder has the VIP too, as if a network tool had put it there.

    At the end we delete it again, unless the node has become the holder and its system has no other entry.
    """
    if _listed(lab, node, vip):
        raise LabError(f"the system of {node} has {vip} already", "name the other node: `make status`")
    lab.run_in(node, ["ip", "address", "add", f"{vip}/32", "dev", GUEST_LINK])
    yield
    shown = lab.run_in(node, ["ip", "-4", "-oneline", "address", "show", "dev", GUEST_LINK]).stdout
    held = re.findall(rf"inet ({re.escape(vip)}/\d+)", shown)
    if f"{vip}/32" in held and (len(held) > 1 or not _has(lab.client(), eni_of(lab, node), vip)):
        lab.run_in(node, ["ip", "address", "delete", f"{vip}/32", "dev", GUEST_LINK])


def _listed(lab: Lab, node: str, address: str) -> list[str]:
    """The address as the node's system has it: `[CIDR, "brd", BROADCAST]` or `[CIDR]`, or empty."""
    shown = lab.run_in(node, ["ip", "-4", "-oneline", "address", "show", "dev", GUEST_LINK]).stdout
    found = re.search(rf"inet ({re.escape(address)}/\d+)(?: (brd) (\S+))?", shown)
    return [word for word in found.groups() if word] if found else []


@contextmanager
def role_detached(lab: Lab, node: str) -> Iterator[None]:
    """The node loses its instance profile. At the end it gets it back, unless it has another one by then.

    As on EC2, credentials that it already has work until they expire.
    """
    ec2 = lab.client()
    associations = _associations(ec2, node)
    if not associations:
        raise LabError(f"{node} has no instance profile", "give it one")
    (association,) = associations
    ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    yield
    if not _associations(ec2, node):
        profile = {"Arn": association["IamInstanceProfile"]["Arn"]}
        ec2.associate_iam_instance_profile(InstanceId=node, IamInstanceProfile=profile)


def _associations(ec2: Any, node: str) -> list[dict[str, Any]]:
    match = [{"Name": "instance-id", "Values": [node]}]
    found = ec2.describe_iam_instance_profile_associations(Filters=match)
    return [item for item in found["IamInstanceProfileAssociations"] if item["State"] == "associated"]
