"""What the measures need of an account: a pair, hosts that can ping it, and a free address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.drill.run_command import Commands

SAME_SUBNET, OTHER_SUBNET = "the same subnet", "another subnet"
"""Where a client can be, seen from the nodes."""


@dataclass(frozen=True)
class Ground:
    """A whole pair in an account, which the measures may move addresses on, and break.

    `ec2` is a client of the user's, who may be far from the Region. `clients` has the instance ids of hosts that
    can ping, by SAME_SUBNET and OTHER_SUBNET; either may be missing. `spare` is an address of the nodes' subnet
    that nobody has. `holder` says which node has the VIP in EC2. `wait_until_whole` raises LabError if the pair
    is broken for too long.
    """

    ec2: Any
    commands: Commands
    nodes: tuple[str, str]
    clients: Mapping[str, str]
    spare: str
    holder: Callable[[], str | None]
    wait_until_whole: Callable[[], None]

    def standby(self) -> str:
        """The node that does not have the VIP."""
        holder = self.holder()
        return next(node for node in self.nodes if node != holder)
