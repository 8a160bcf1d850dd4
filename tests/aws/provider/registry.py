"""Everything that the stand-in implements, by Pulumi's names."""

from __future__ import annotations

from .endpoints import VpcEndpoint
from .functions import FUNCTIONS
from .groups import SecurityGroup, SecurityGroupEgressRule, SecurityGroupIngressRule
from .identity import InstanceProfile, Role, RolePolicy, RolePolicyAttachment
from .instances import Instance
from .network import Subnet, SubnetCidrReservation, Vpc
from .parameters import Parameter
from .placement import PlacementGroup
from .routes import InternetGateway, Route, RouteTable, RouteTableAssociation
from .schema import ResourceType
from .tags import Tag

TYPES: dict[str, ResourceType] = {
    kind.token: kind
    for kind in (
        Vpc(),
        Subnet(),
        SubnetCidrReservation(),
        InternetGateway(),
        RouteTable(),
        Route(),
        RouteTableAssociation(),
        VpcEndpoint(),
        SecurityGroup(),
        SecurityGroupIngressRule(),
        SecurityGroupEgressRule(),
        Role(),
        RolePolicy(),
        RolePolicyAttachment(),
        InstanceProfile(),
        Parameter(),
        PlacementGroup(),
        Instance(),
        Tag(),
    )
}

__all__ = ["FUNCTIONS", "TYPES"]
