"""Which interface has which private addresses: as Describe, the routes and the metadata have it."""

from __future__ import annotations

import ipaddress
import itertools
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .scheduler import Scheduler
from .settings import Settings

Record = Callable[[dict[str, Any]], None]
Place = tuple[str, str]  # VPC and address: two VPCs may use the same ranges


class View:
    """The secondary addresses as one part of EC2 sees them, possibly with a lag."""

    def __init__(self) -> None:
        self._holder: dict[Place, str] = {}
        self._applied: dict[Place, int] = {}
        self._lock = threading.Lock()

    def apply(self, place: Place, eni_id: str | None, version: int) -> bool:
        """Put an address on an interface, or on none. Returns False if a newer version is in place."""
        with self._lock:
            if self._applied.get(place, -1) > version:
                return False
            self._applied[place] = version
            self._holder.pop(place, None)
            if eni_id is not None:
                self._holder[place] = eni_id
            return True

    def of(self, eni_id: str) -> tuple[str, ...]:
        with self._lock:
            return tuple(address for (_, address), holder in self._holder.items() if holder == eni_id)

    def drop(self, eni_id: str) -> None:
        """Forget a deleted interface and its addresses."""
        with self._lock:
            for place in [place for place, holder in self._holder.items() if holder == eni_id]:
                del self._holder[place]


class AddressBook:
    """Carries a change of secondary addresses to Describe and to the routes, then to the metadata.

    AWS calls the remapping asynchronous and says to confirm it by the metadata's `local-ipv4s`
    (API_AssignPrivateIpAddresses). So here the metadata follow the routes and never lead them.
    """

    def __init__(
        self, settings: Settings, scheduler: Scheduler, on_change: Callable[[], None], record: Record
    ) -> None:
        self.described, self.routed, self.metadata = View(), View(), View()
        self._settings = settings
        self._scheduler = scheduler
        self._on_change = on_change
        self._record = record
        self._versions = itertools.count()

    def changed(self, vpc_id: str, addresses: Iterable[str], eni_id: str | None) -> None:
        """Carry on a change of these secondaries: now on the interface, or on none (`eni_id` None)."""
        settings = self._settings
        for address in addresses:
            place, version = (vpc_id, address), next(self._versions)
            self._scheduler.after(
                settings.describe_lag_s, partial(self.described.apply, place, eni_id, version)
            )
            self._scheduler.after(settings.route_delay_s, partial(self._route, place, eni_id, version))

    def adopt(self, vpc_id: str, addresses: Iterable[str], eni_id: str) -> None:
        """Put the secondaries of a new interface into effect everywhere at once."""
        for address in addresses:
            version = next(self._versions)
            for view in (self.described, self.routed, self.metadata):
                view.apply((vpc_id, address), eni_id, version)

    def refresh_metadata(self, vpc_id: str, addresses: Iterable[str], eni_id: str) -> None:
        """Bring the metadata up to date at once, as a reboot or start does."""
        wanted = set(addresses)
        for address in set(self.metadata.of(eni_id)) - wanted:
            self.metadata.apply((vpc_id, address), None, next(self._versions))
        for address in wanted:
            self.metadata.apply((vpc_id, address), eni_id, next(self._versions))

    def drop(self, eni_id: str) -> None:
        for view in (self.described, self.routed, self.metadata):
            view.drop(eni_id)

    def _route(self, place: Place, eni_id: str | None, version: int) -> None:
        if self.routed.apply(place, eni_id, version):
            self._record({"kind": "route", "address": place[1], "eni_id": eni_id})
            self._on_change()
        self._scheduler.after(self._settings.imds_delay_s, partial(self._show, place, eni_id, version))

    def _show(self, place: Place, eni_id: str | None, version: int) -> None:
        if self.metadata.apply(place, eni_id, version):
            self._record({"kind": "imds-address", "address": place[1], "eni_id": eni_id})


def reserved(cidr: str) -> set[str]:
    """The first four and the last address of a subnet, which AWS keeps. Source: VPC guide, subnet sizing."""
    network = ipaddress.IPv4Network(cidr)
    return {str(network[index]) for index in (0, 1, 2, 3, -1)}
