"""Security groups with AWS's quota of rules, and with ARNs of the right partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from . import quotas

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World


class GroupsApi(EC2BaseResponse):  # type: ignore[misc]
    """Create and Describe with ARNs of the right partition, Authorize within the quota."""

    world: World
    given: Given

    def create_security_group(self) -> ActionResult:
        return self._with_arns(super().create_security_group())

    def describe_security_groups(self) -> ActionResult:
        return self._with_arns(super().describe_security_groups())

    def authorize_security_group_ingress(self) -> ActionResult:
        self._check_room("ingress_rules")
        return super().authorize_security_group_ingress()

    def authorize_security_group_egress(self) -> ActionResult:
        self._check_room("egress_rules")
        return super().authorize_security_group_egress()

    def _with_arns(self, result: ActionResult) -> ActionResult:
        groups: list[Any] = [
            group for groups in self.ec2_backend.groups.values() for group in groups.values()
        ]
        for group in groups:
            group.arn = self.world.arn("ec2", f"security-group/{group.id}")
        return result

    def _check_room(self, rules: str) -> None:
        group = self.ec2_backend.get_security_group_from_id(self.given.get("GroupId", ""))
        # moto counts the rules of both IP versions together.
        self.ec2_backend._verify_group_will_respect_rule_count_limit = lambda *_, **__: None
        if group is not None:
            quotas.check_rules(getattr(group, rules), self.given.get("IpPermissions", []))
