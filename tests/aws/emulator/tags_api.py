"""Tags on existing resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from . import tags

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World


class TagsApi(EC2BaseResponse):  # type: ignore[misc]
    """CreateTags, which checks the keys if an instance's metadata show its tags."""

    world: World
    given: Given

    def create_tags(self) -> ActionResult:
        found = [self.world.find_instance(resource_id) for resource_id in self.given["Resources"]]
        if any(
            each is not None and each.metadata_options.instance_metadata_tags == "enabled" for each in found
        ):
            tags.check_metadata(tag["Key"] for tag in self.given["Tags"])
        return super().create_tags()
