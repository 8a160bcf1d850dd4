"""Which Regions and zones offer which instance types.

Source: moto's copy of AWS's answers to DescribeInstanceTypeOfferings. It lacks China and GovCloud; there we assume
all types in all zones. Sources of the texts: ned1313/Getting-Started-Terraform#44 (a zone without the type),
hashicorp/terraform-provider-aws#9113 (a Region without it).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from moto.core.responses import ActionResult
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.responses._base_response import EC2BaseResponse

from .filters import pattern
from .interfaces_api import fail

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World


class OfferingsApi(EC2BaseResponse):  # type: ignore[misc]
    """DescribeInstanceTypeOfferings."""

    world: World
    given: Given

    def describe_instance_type_offerings(self) -> ActionResult:
        self.error_on_dryrun()
        kind = self.given.get("LocationType", "region")
        wanted = {each["Name"]: each.get("Values", []) for each in self.given.get("Filters", [])}
        for name in wanted:
            if name not in ("instance-type", "location"):
                raise fail("InvalidParameterValue", f"The filter '{name}' is invalid")
        found = [
            {"InstanceType": instance_type, "Location": place, "LocationType": kind}
            for instance_type, places in sorted(offered(self.world.region, kind).items())
            for place in places
            if _passes(wanted, "instance-type", instance_type) and _passes(wanted, "location", place)
        ]
        return ActionResult({"InstanceTypeOfferings": found})


def check_launch(region: str, instance_type: str, zone: str) -> None:
    """Raise `Unsupported` if a type cannot be launched in a zone."""
    zones = offered(region, "availability-zone").get(instance_type, ())
    if not zones:
        raise fail(
            "Unsupported",
            "The requested configuration is currently not supported. "
            "Please check the documentation for supported configurations.",
        )
    if zone not in zones:
        raise fail(
            "Unsupported",
            f"Your requested instance type ({instance_type}) is not supported in your requested Availability Zone "
            f"({zone}). Please retry your request by not specifying an Availability Zone or choosing "
            f"{', '.join(zones)}.",
        )


@functools.lru_cache(maxsize=16)
def offered(region: str, kind: str) -> Mapping[str, tuple[str, ...]]:
    """The places of each type that has any. `kind`: "region", "availability-zone", "availability-zone-id"."""
    places: dict[str, list[str]] = defaultdict(list)
    for each in INSTANCE_TYPE_OFFERINGS[kind].get(region, ()):
        places[each["InstanceType"]].append(each["Location"])
    if not places:
        zones = RegionsAndZonesBackend.zones.get(region, [])
        everywhere = {
            "region": [region],
            "availability-zone": [zone.name for zone in zones],
            "availability-zone-id": [zone.zone_id for zone in zones],
        }[kind]
        places = defaultdict(list, dict.fromkeys(INSTANCE_TYPES, everywhere))
    return {instance_type: tuple(sorted(found)) for instance_type, found in places.items()}


def _passes(wanted: Mapping[str, list[str]], name: str, value: str) -> bool:
    return name not in wanted or any(pattern(each).fullmatch(value) for each in wanted[name])
