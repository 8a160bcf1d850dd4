"""Placement groups, which moto does not have."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import EC2_RESOURCE_TO_PREFIX

from .interfaces_api import fail
from .model import TERMINATED

if TYPE_CHECKING:
    from .world import World

STRATEGIES = ("cluster", "spread", "partition")

# moto tags only resources whose id has a prefix that it knows.
EC2_RESOURCE_TO_PREFIX["placement-group"] = "pg"


class PlacementApi(EC2BaseResponse):  # type: ignore[misc]
    """Create, Describe and Delete of placement groups."""

    world: World

    def create_placement_group(self) -> ActionResult:
        name = self._get_param("GroupName")
        strategy = self._get_param("Strategy", "cluster")
        if not name:
            raise fail("MissingParameter", "The request must contain the parameter groupName")
        if strategy not in STRATEGIES:
            raise fail(
                "InvalidParameterValue",
                f"Value ({strategy}) for parameter strategy is invalid. Use {', '.join(STRATEGIES)}.",
            )
        if name in self.world.placement_groups:
            raise fail("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        self.error_on_dryrun()
        group_id = f"pg-{secrets.token_hex(8)}1"
        group: dict[str, Any] = {
            "GroupName": name,
            "GroupId": group_id,
            "State": "available",
            "Strategy": strategy,
            "GroupArn": self.world.arn("ec2", f"placement-group/{name}"),
        }
        if strategy == "spread":
            group["SpreadLevel"] = self._get_param("SpreadLevel", "rack")
        if strategy == "partition":
            group["PartitionCount"] = self._get_int_param("PartitionCount", 1)
        self.world.placement_groups[name] = group
        for key, value in self._parse_tag_specification().get("placement-group", {}).items():
            ec2_backends[self.world.account_id][self.world.region].create_tags([group_id], {key: value})
        return ActionResult({"PlacementGroup": self._shown(group)})

    def describe_placement_groups(self) -> ActionResult:
        groups = list(self.world.placement_groups.values())
        filters = self._filters_from_querystring()
        names = self._get_param("GroupNames", [])
        for name in names:
            self._known(name)
        groups = [group for group in groups if not names or group["GroupName"] in names]
        ids = self._get_param("GroupIds", [])
        groups = [group for group in groups if not ids or group["GroupId"] in ids]
        for name, values in filters.items():
            key = {"group-name": "GroupName", "state": "State", "strategy": "Strategy"}.get(name)
            if key is None:
                raise fail("InvalidParameterValue", f"The filter '{name}' is invalid")
            groups = [group for group in groups if group[key] in values]
        return ActionResult({"PlacementGroups": [self._shown(group) for group in groups]})

    def delete_placement_group(self) -> ActionResult:
        name = self._get_param("GroupName")
        self._known(name)
        if any(
            found.placement.group_name == name and found.state != TERMINATED
            for found in self.ec2_backend.all_instances()
        ):
            raise fail(
                "InvalidPlacementGroup.InUse", f"The placement group {name} is in use and may not be deleted."
            )
        self.error_on_dryrun()
        del self.world.placement_groups[name]
        return EmptyResult()

    def _known(self, name: str) -> None:
        if name not in self.world.placement_groups:
            raise fail("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")

    def _shown(self, group: dict[str, Any]) -> dict[str, Any]:
        tags = self.ec2_backend.describe_tags(filters={"resource-id": [group["GroupId"]]})
        return {**group, "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in tags]}
