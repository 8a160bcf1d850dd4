"""What a VPC or a subnet has already that is in the pair's way."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError

from .errors import shown
from .network import EndpointService
from .tags import PAIR

# All states but terminated: a stopped node keeps its addresses.
STATES = ("pending", "running", "stopping", "stopped", "shutting-down")


def account() -> str:
    """The number of the account that Pulumi's AWS provider works in."""
    return str(aws.get_caller_identity().account_id)


def taken_problems(subnet_id: str, settings: Mapping[IPv4Address, str], pair_tag: str) -> Iterator[str]:
    """Which of the addresses are on an interface that belongs to none of this pair's nodes.

    `settings` has the setting of each address. `pair_tag` is the value of the tag `ec2vip:pair` on the pair's
    nodes. EC2 would silently move such an address, because the agent assigns it with AllowReassignment.
    """
    found = aws.ec2.get_network_interfaces(
        filters=[
            aws.ec2.GetNetworkInterfacesFilterArgs(name="subnet-id", values=[subnet_id]),
            aws.ec2.GetNetworkInterfacesFilterArgs(
                name="addresses.private-ip-address", values=[str(address) for address in settings]
            ),
        ]
    )
    if not found.ids:
        return
    ours = aws.ec2.get_instances(instance_tags={PAIR: pair_tag}, instance_state_names=list(STATES)).ids
    for interface_id in sorted(found.ids):
        interface = aws.ec2.get_network_interface(id=interface_id)
        instance_id = next((a.instance_id for a in interface.attachments or [] if a.instance_id), None)
        if instance_id in ours:
            continue
        on = f" of {instance_id}" if instance_id else ""
        for address in (IPv4Address(text) for text in interface.private_ips):
            if address in settings:
                yield (
                    f"{settings[address]} {address} is on {interface_id}{on} "
                    f"({shown(interface.description or 'no description')}; account {interface.owner_id}), and the "
                    f"pair would take it away; free it, or set ec2vip:{settings[address]} to another address"
                )


@dataclass(frozen=True)
class Reservation:
    """A CIDR reservation of a subnet. An `explicit` one keeps AWS from choosing its addresses."""

    reservation_id: str
    cidr: IPv4Network
    explicit: bool
    note: str


def reservations(subnet_id: str, make_client: Callable[[], Any]) -> tuple[Reservation, ...]:
    """The subnet's reservations of IPv4 addresses. Warns, and returns none, if the program cannot ask EC2.

    The provider has no look-up for them, so the program asks with its own client, which finds credentials in the
    stack's settings and the environment.
    """
    found: list[dict[str, Any]] = []
    request = {"SubnetId": subnet_id}
    try:
        client = make_client()
        while True:
            answer = client.get_subnet_cidr_reservations(**request)
            found += answer["SubnetIpv4CidrReservations"]
            if not answer.get("NextToken"):
                break
            request["NextToken"] = answer["NextToken"]
    except (BotoCoreError, ClientError) as error:
        pulumi.log.warn(
            f"the CIDR reservations of {subnet_id} are not known ({error}); if one covers an address of the pair, "
            "the update fails; give Pulumi's program a Region, credentials and ec2:GetSubnetCidrReservations"
        )
        return ()
    return tuple(
        Reservation(
            one["SubnetCidrReservationId"],
            ipaddress.IPv4Network(one["Cidr"]),
            one["ReservationType"] == "explicit",
            one.get("Description", ""),
        )
        for one in found
    )


def covered(
    found: Sequence[Reservation], addresses: Sequence[IPv4Address], note: str
) -> frozenset[IPv4Address]:
    """The addresses that somebody else's explicit reservation covers: reservations may not overlap.

    A reservation of a single address with the pair's `note` is the pair's own, and stays.
    """
    others = [one for one in found if one.explicit and not (one.cidr.prefixlen == 32 and one.note == note)]
    return frozenset(a for a in addresses if any(a in one.cidr for one in others))


def prefix_problems(found: Sequence[Reservation], settings: Mapping[IPv4Address, str]) -> Iterator[str]:
    """Which of the addresses are in a reservation from which AWS assigns prefixes."""
    for address, key in settings.items():
        for one in found:
            if address in one.cidr and not one.explicit:
                yield (
                    f"{key} {address} is in the reservation {one.reservation_id} ({one.cidr}) of the type prefix, "
                    f"which AWS assigns prefixes from; set ec2vip:{key} to an address outside it"
                )


def endpoint_problems(vpc_id: str, services: Sequence[EndpointService], pair_tag: str) -> Iterator[str]:
    """Which services have somebody else's endpoint with a private name in the VPC; EC2 allows only one.

    The pair does not use that endpoint: its security group decides who may, and the pair must not change that.
    """
    for service in services:
        named = {"vpc_id": vpc_id, "service_name": service.name}
        other = _endpoint(**named)
        if other == SEVERAL and _endpoint(**named, tags={PAIR: pair_tag}) is None:
            pulumi.log.warn(
                f"{vpc_id} has several endpoints of {service.name}; if one has the private DNS name, the "
                "update fails"
            )
        elif (
            other not in (None, SEVERAL)
            and other.private_dns_enabled
            and (other.tags or {}).get(PAIR) != pair_tag
        ):
            yield (
                f"endpoints true needs the private DNS name of {service.name}, which {other.id} already has in "
                f"{vpc_id}; set ec2vip:endpoints to false and admit the nodes' security group to that endpoint"
            )


SEVERAL = "several"


def _endpoint(**by: Any) -> Any:
    """The endpoint, None if there is none, or SEVERAL."""
    try:
        return aws.ec2.get_vpc_endpoint(**by)
    except Exception as e:
        # pulumi_aws raises a bare Exception for every failure; these are the provider's texts for none and many.
        if "no matching" in str(e):
            return None
        if "multiple" in str(e):
            return SEVERAL
        raise
