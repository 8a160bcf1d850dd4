"""EC2's actions: moto's, except for those in which moto differs from AWS."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from moto.core.request import Request as MotoRequest
from moto.core.utils import camelcase_to_underscores
from moto.ec2.responses import EC2Response

from .endpoints_api import EndpointsApi
from .groups_api import GroupsApi
from .instances_api import InstancesApi
from .interfaces_api import InterfacesApi
from .network_api import NetworkApi
from .offerings_api import OfferingsApi
from .parameters import Given
from .placement_api import PlacementApi
from .profiles_api import ProfilesApi
from .subnets_api import SubnetsApi
from .tags_api import TagsApi
from .world import World


class Ec2Api(
    InterfacesApi,
    InstancesApi,
    NetworkApi,
    GroupsApi,
    SubnetsApi,
    EndpointsApi,
    OfferingsApi,
    PlacementApi,
    ProfilesApi,
    TagsApi,
    EC2Response,  # type: ignore[misc]
):
    """EC2 for one request, bound to an emulator's world. `given` are the request's validated parameters."""

    def __init__(self, world: World, given: Given) -> None:
        super().__init__()
        self.world = world
        self.given = given

    def serve(self, environ: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Answer a signed request given as a WSGI environ. The caller holds the world's lock."""
        request = MotoRequest(environ)
        request.from_wsgi_server = True
        status, headers, body = self._dispatch(request)
        return int(status), dict(headers), body.encode() if isinstance(body, str) else bytes(body)


@lru_cache(maxsize=1024)
def knows(action: str) -> bool:
    """Whether the emulator has the action."""
    return action != "" and hasattr(Ec2Api, camelcase_to_underscores(action))
