"""Subnets with their owners, and their address reservations with the fields that moto forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from . import tags

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World


class SubnetsApi(EC2BaseResponse):  # type: ignore[misc]
    """Create and Describe with the owner's account; reservations with description and tags."""

    world: World
    given: Given

    def create_subnet(self) -> ActionResult:
        result = super().create_subnet()
        return ActionResult({"Subnet": Shown("subnet", result.result["Subnet"], self.world)})

    def describe_subnets(self) -> ActionResult:
        result = super().describe_subnets()
        return ActionResult(
            {"Subnets": [Shown("subnet", subnet, self.world) for subnet in result.result["Subnets"]]}
        )

    def describe_vpcs(self) -> ActionResult:
        result = super().describe_vpcs()
        return ActionResult({"Vpcs": [Shown("vpc", vpc, self.world) for vpc in result.result["Vpcs"]]})

    def create_subnet_cidr_reservation(self) -> ActionResult:
        result = super().create_subnet_cidr_reservation()
        made = result.result["SubnetCidrReservation"]
        made.description = self.given.get("Description")
        made.add_tags(tags.of_kind(self.given, "subnet-cidr-reservation"))
        return result


class Shown:
    """A subnet or VPC as EC2 shows it: moto's, with the account that owns it."""

    def __init__(self, kind: str, shown: Any, world: World) -> None:
        self._shown = shown
        self.owner_id = world.owner_of(shown.id)
        self.arn = world.arn("ec2", f"{kind}/{shown.id}", account=self.owner_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)
