"""Instance profiles of instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import random_iam_instance_profile_association_id

if TYPE_CHECKING:
    from .world import World


class ProfilesApi(EC2BaseResponse):  # type: ignore[misc]
    """The actions that give an instance a profile.

    moto shows the association's id as the profile's, and forgets the instance when an association is replaced.
    """

    world: World

    def associate_iam_instance_profile(self) -> ActionResult:
        result = super().associate_iam_instance_profile()
        show_profile(result.result["IamInstanceProfileAssociation"])
        return result

    def replace_iam_instance_profile_association(self) -> ActionResult:
        """Replace it by a new association (API reference, ReplaceIamInstanceProfileAssociation, its example)."""
        result = super().replace_iam_instance_profile_association()
        association = result.result["IamInstanceProfileAssociation"]
        association.association_id = random_iam_instance_profile_association_id()
        show_profile(association)
        return result


def show_profile(association: Any) -> None:
    """Have DescribeInstances show the association's profile as the instance's."""
    profile = association.iam_instance_profile
    association.instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id}
