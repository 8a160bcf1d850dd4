"""Look-ups of instances, their types, images and zones: internal/service/ec2/ec2_*_data_source.go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cloud import Cloud, ProviderError, absent
from .schema import Values


@dataclass(frozen=True, kw_only=True)
class Function:
    """One look-up: its arguments, and what it does with them."""

    label: str
    arguments: tuple[str, ...] = ()
    look_up: Callable[[Cloud, Values], Values]


def filters(arguments: Values, tags: str = "tags", **more: str | None) -> dict[str, Any]:
    """The `Filters` argument for the filters, the tags and `more` of the API's names; or nothing."""
    given = [(name.replace("_", "-"), [value]) for name, value in more.items() if value]
    given += [(f"tag:{key}", [value]) for key, value in arguments.get(tags, {}).items()]
    given += [(one["name"], one["values"]) for one in arguments.get("filters", [])]
    return {"Filters": [{"Name": name, "Values": values} for name, values in given]} if given else {}


def the_one(label: str, found: list[Values]) -> Values:
    """The only object found. Raises ProviderError if there are none or several."""
    if not found:
        absent(label)
    if len(found) > 1:
        raise ProviderError(
            f"multiple {label}s matched; use additional constraints to reduce matches to a single {label}"
        )
    return found[0]


def get_availability_zones(cloud: Cloud, arguments: Values) -> Values:
    """The Region's zones that the account may use."""
    zones = cloud.ec2.describe_availability_zones(**filters(arguments, state=arguments.get("state")))
    zones = sorted(zones["AvailabilityZones"], key=lambda zone: str(zone["ZoneName"]))
    return {
        "id": cloud.region,
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": sorted({zone.get("GroupName", cloud.region) for zone in zones}),
    }


def get_instances(cloud: Cloud, arguments: Values) -> Values:
    """Instances; only running ones, unless the arguments name other states."""
    wanted = filters(arguments, "instanceTags").get("Filters", [])
    states = arguments.get("instanceStateNames") or ["running"]
    wanted.append({"Name": "instance-state-name", "Values": states})
    pages = cloud.ec2.get_paginator("describe_instances").paginate(Filters=wanted)
    instances = [each for page in pages for r in page["Reservations"] for each in r["Instances"]]
    return {
        "id": cloud.region,
        "ids": [each["InstanceId"] for each in instances],
        "privateIps": [each["PrivateIpAddress"] for each in instances if each.get("PrivateIpAddress")],
        "publicIps": [each["PublicIpAddress"] for each in instances if each.get("PublicIpAddress")],
        "ipv6Addresses": [],
        "instanceStateNames": states,
    }


def get_instance_type(cloud: Cloud, arguments: Values) -> Values:
    """Facts about an instance type."""
    name = arguments["instanceType"]
    found = cloud.ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    if not found:
        absent(f"EC2 Instance Type ({name})")
    return {
        "id": name,
        "instanceType": name,
        "burstablePerformanceSupported": found[0].get("BurstablePerformanceSupported", False),
        "currentGeneration": found[0].get("CurrentGeneration", False),
        "supportedArchitectures": found[0]["ProcessorInfo"]["SupportedArchitectures"],
        "maximumIpv4AddressesPerInterface": found[0]["NetworkInfo"]["Ipv4AddressesPerInterface"],
    }


def get_instance_type_offerings(cloud: Cloud, arguments: Values) -> Values:
    """Which instance types the Region offers, or which places do, by `locationType`."""
    where = arguments.get("locationType")
    pages = cloud.ec2.get_paginator("describe_instance_type_offerings").paginate(
        **filters(arguments), **({"LocationType": where} if where else {})
    )
    offerings = [one for page in pages for one in page["InstanceTypeOfferings"]]
    return {
        "id": cloud.region,
        "instanceTypes": [one["InstanceType"] for one in offerings],
        "locations": [one["Location"] for one in offerings],
        "locationTypes": [one["LocationType"] for one in offerings],
    }


def get_ami(cloud: Cloud, arguments: Values) -> Values:
    """The newest image that the filters find; ProviderError for none, or several without `mostRecent`."""
    owners = {"Owners": arguments["owners"]} if arguments.get("owners") else {}
    found = cloud.ec2.describe_images(
        **owners, **filters(arguments), IncludeDeprecated=bool(arguments.get("includeDeprecated"))
    )["Images"]
    if not found:
        absent("EC2 AMI")
    if len(found) > 1 and not arguments.get("mostRecent"):
        raise ProviderError(
            "Your query returned more than one result. Please try a more specific search criteria, or set "
            "`most_recent` attribute to true."
        )
    newest = max(found, key=lambda image: str(image["CreationDate"]))
    return {
        "id": newest["ImageId"],
        "imageId": newest["ImageId"],
        "name": newest["Name"],
        "architecture": newest["Architecture"],
        "rootDeviceName": newest.get("RootDeviceName"),
    }
