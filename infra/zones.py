"""The Availability Zone of a new subnet: one that has the nodes' instance type, and always the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pulumi
import pulumi_aws as aws

from .errors import ConfigError, looked_up
from .tags import Scope


def zones_with(instance_type: str, opts: pulumi.InvokeOptions) -> list[str]:
    """The zones that offer the instance type, sorted by name. Raises ConfigError if there is none."""
    setting, remedy = (
        f"instanceType {instance_type}",
        "set ec2vip:instanceType to one that this Region has, such as t3.micro",
    )
    found = looked_up(
        setting,
        remedy,
        lambda: aws.ec2.get_instance_type_offerings(
            location_type="availability-zone",
            filters=[
                aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[instance_type])
            ],
            opts=opts,
        ),
    )
    if not found.locations:
        raise ConfigError([f"{setting} is offered in no zone of this Region; {remedy}"])
    return sorted(found.locations)


def _ordinary_zones(opts: pulumi.InvokeOptions) -> list[str]:
    """The zones that every account has. Local Zones and the like need an opt-in, and cost more."""
    found = aws.get_availability_zones(
        state="available",
        filters=[aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])],
        opts=opts,
    )
    return list(found.names)


def check_zone(zone: str, instance_type: str, offering: Sequence[str], where: str) -> str:
    """The zone, if it offers the instance type.

    `where` is the setting that decides the zone, as `key value`. Raises ConfigError, with the zones that offer the
    type, if this one does not.
    """
    if zone in offering:
        return zone
    raise ConfigError(
        [
            f"{where} does not offer {instance_type} (zones that do: {', '.join(offering)}); set "
            f"ec2vip:{where.partition(' ')[0]} to another, or ec2vip:instanceType to a type that it offers"
        ]
    )


def new_zone(
    scope: Scope, zone: str | None, instance_type: str, region: str, served: Collection[str]
) -> pulumi.Input[str]:
    """The zone of a new subnet: the user's, or else the first that has all the pair needs.

    We keep the latter in the state, by the Region's name, so that new zones do not move the subnet. `served` are
    the zones that have the endpoints' services; empty if they do not matter or are not known. Raises ConfigError
    if no zone has what the pair needs.
    """
    opts = scope.asks()
    offering = zones_with(instance_type, opts)
    if zone is not None:
        return check_zone(zone, instance_type, offering, f"availabilityZone {zone}")
    ordinary = set(_ordinary_zones(opts))
    fit = [name for name in offering if name in ordinary and (not served or name in served)]
    if not fit:
        raise ConfigError(
            [
                f"instanceType {instance_type} is offered in no zone of {region} that suits the pair; set "
                "ec2vip:instanceType to another one, such as t3.micro"
            ]
        )
    kept = pulumi.Stash(
        scope.part(f"zone-{region}"), input=fit[0], opts=scope.options(ignore_changes=["input"])
    )
    checked: pulumi.Output[str] = pulumi.Output.from_input(kept.output).apply(
        lambda name: check_zone(
            name, instance_type, offering, f"availabilityZone {name} (chosen at the first up)"
        )
    )
    return checked
