"""Instance profiles of existing instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import random_iam_instance_profile_association_id

if TYPE_CHECKING:
    from .world import World


class ProfilesApi(EC2BaseResponse):  # type: ignore[misc]
    """ReplaceIamInstanceProfileAssociation, which creates a new association (API reference, its example)."""

    world: World

    def replace_iam_instance_profile_association(self) -> ActionResult:
        result = super().replace_iam_instance_profile_association()
        association = result.result["IamInstanceProfileAssociation"]
        association.association_id = random_iam_instance_profile_association_id()
        return result
