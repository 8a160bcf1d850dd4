"""Two nodes, one of them the holder, and a client, for tests that read as a sequence of events.

holder = scenario.holder
holder.power_off()
scenario.client.sees(scenario.vip, within_s=5)
assert scenario.holder != holder
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.hollow import eventually
from tests.cluster.labs import WHOLE_LIMIT_S, on
from tests.drill.pair import Pair
from tests.drill.probe import answers
from tests.lab.faults import Fault, Faults
from tests.lab.lab import Lab


@dataclass(frozen=True)
class Node:
    """One node of the pair; two are equal if they are the same instance."""

    instance_id: str
    lab: Lab

    @property
    def _faults(self) -> Faults:
        return Faults(self.lab)

    def power_off(self) -> Fault:
        """Cut the machine's power until the fault's end."""
        return self._faults.power_loss(self.instance_id)

    def hang(self) -> Fault:
        """Freeze the machine until the fault's end."""
        return self._faults.hang(self.instance_id)

    def run(self, *argv: str) -> str:
        """The output of a command in the node. Raises CommandError if it fails."""
        return on(self.lab, self.instance_id, *argv)

    def tries(self, *argv: str) -> str | None:
        """The output of a command in the node; None if it fails."""
        return self.lab.try_in(self.instance_id, argv)


@dataclass(frozen=True)
class Client:
    """The client host."""

    lab: Lab

    def sees(self, address: str, within_s: float) -> None:
        """Wait until the address answers. Fails if it does not within that time."""
        eventually(lambda: answers(self.lab.in_client(), address), within_s, f"{address} answers")


@dataclass(frozen=True)
class Scenario:
    """A whole pair, and the present role of each node."""

    lab: Lab
    pair: Pair

    @property
    def vip(self) -> str:
        return self.pair.vip

    @property
    def client(self) -> Client:
        return Client(self.lab)

    @property
    def nodes(self) -> list[Node]:
        return [Node(instance_id, self.lab) for instance_id in self.pair.node_ids]

    @property
    def holder(self) -> Node:
        """The node that has the VIP in EC2 now."""
        instance_id = self.pair.holder()
        assert instance_id, f"nobody has {self.vip}"
        return Node(instance_id, self.lab)

    @property
    def other(self) -> Node:
        """The node that does not have the VIP."""
        (found,) = [node for node in self.nodes if node != self.holder]
        return found

    def becomes_whole(self) -> None:
        """Wait until the pair is whole."""
        self.pair.wait_until_whole(WHOLE_LIMIT_S)
