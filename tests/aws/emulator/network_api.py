"""Refuses to delete resources on which others depend; moto would delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from .interfaces_api import fail

if TYPE_CHECKING:
    from .world import World


class NetworkApi(EC2BaseResponse):  # type: ignore[misc]
    """Deletions, only in the order that AWS demands. The texts are real errors from the issues named."""

    world: World

    def delete_subnet(self) -> ActionResult:
        subnet_id = self._get_param("SubnetId")
        if any(eni.subnet_id == subnet_id for eni in self.ec2_backend.enis.values()):
            # aws/aws-cdk#14456
            raise fail(
                "DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            )
        return super().delete_subnet()

    def delete_security_group(self) -> ActionResult:
        group_id = self._get_param("GroupId")
        group = self.ec2_backend.get_security_group_from_id(group_id)
        if group is not None and group.name == "default":
            raise fail(
                "CannotDelete",
                f'the specified group: "{group_id}" name: "default" cannot be deleted by a user',
            )
        used = any(each.id == group_id for eni in self.ec2_backend.enis.values() for each in eni.group_set)
        referenced = any(
            rule.source_group_id == group_id and rule.group_id != group_id for rule in self.world.rules()
        )
        if used or referenced:
            # hashicorp/terraform-provider-aws#1671
            raise fail("DependencyViolation", f"resource {group_id} has a dependent object")
        return super().delete_security_group()

    def detach_internet_gateway(self) -> ActionResult:
        vpc_id = self._get_param("VpcId")
        if any(eni.vpc_id == vpc_id and eni.public_ip for eni in self.ec2_backend.enis.values()):
            # hashicorp/terraform#2199
            raise fail(
                "DependencyViolation",
                f"Network {vpc_id} has some mapped public address(es). "
                "Please unmap those public address(es) before detaching the gateway.",
            )
        return super().detach_internet_gateway()

    def delete_vpc(self) -> ActionResult:
        vpc_id = self._get_param("VpcId")
        gateways = any(
            gateway.vpc is not None and gateway.vpc.id == vpc_id
            for gateway in self.ec2_backend.internet_gateways.values()
        )
        groups = any(group.name != "default" for group in self.ec2_backend.groups.get(vpc_id, {}).values())
        if gateways or groups:
            raise fail("DependencyViolation", f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        return super().delete_vpc()
