"""What all faults share: each is in force from its making until `undo()`, and is recorded in the timeline."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.lab.errors import LabError
from tests.lab.network_plan import link_of
from tests.lab.process import run
from tests.lab.timeline import Timeline

if TYPE_CHECKING:
    from tests.lab.lab import Lab


class Fault:
    """A fault in force until `undo()`, or to the end of its `with` block. Ending it twice does no harm."""

    def __init__(
        self, name: str, effect: AbstractContextManager[None], timeline: Timeline, **told: Any
    ) -> None:
        """Begin the fault by entering `effect`; leaving it will end the fault."""
        self.name, self.told = name, told
        self._effect, self._timeline = effect, timeline
        effect.__enter__()
        self.in_force = True
        self._tell("begins")

    def undo(self) -> None:
        """End the fault. Raises LabError if something of it can't be put back."""
        if not self.in_force:
            return
        self.in_force = False
        self._effect.__exit__(None, None, None)
        self._tell("ends")

    def _tell(self, what: str) -> None:
        self._timeline.append("fault", fault=self.name, what=what, **self.told)

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"Fault({self.name}, {self.told}, {'in force' if self.in_force else 'over'})"


@contextmanager
def filtering(lab: Lab, **rules: Sequence[str]) -> Iterator[None]:
    """Put nft rules in front of the VPC's own, in a separate table; the VPC's rules do not change.

    Each has its hook: `forward` between interfaces, `input` to one of the fabric's services, `output` from one.
    They apply to established flows too, because these chains come before the one that lets such flows pass.
    """
    table = f"fault_{uuid.uuid4().hex[:8]}"
    lines = [f"table inet {table} {{"]
    for hook, wanted in rules.items():
        lines += [f"  chain {hook}_ {{", f"    type filter hook {hook} priority filter - 10; policy accept;"]
        lines += [*(f"    {rule}" for rule in wanted), "  }"]
    run([*lab.in_fabric(), "nft", "-f", "-"], input="\n".join([*lines, "}"]) + "\n")
    try:
        yield
    finally:
        # We make the table first in case somebody has deleted it already: so deleting it never fails.
        gone = f"table inet {table}\ndelete table inet {table}\n"
        run([*lab.in_fabric(), "nft", "-f", "-"], input=gone)


def described(lab: Lab, node: str) -> dict[str, Any]:
    """The instance as EC2 describes it. Raises LabError if there is none with that id."""
    for reservation in lab.client().describe_instances(Filters=[{"Name": "instance-id", "Values": [node]}])[
        "Reservations"
    ]:
        for found in reservation["Instances"]:
            return dict(found)
    raise LabError(f"there is no instance {node!r}", "see `make status` for the nodes")


def state_of(lab: Lab, node: str) -> str:
    """The state of the instance in EC2, such as `running`."""
    return str(described(lab, node)["State"]["Name"])


def eni_of(lab: Lab, node: str) -> str:
    """The id of the node's network interface."""
    return str(described(lab, node)["NetworkInterfaces"][0]["NetworkInterfaceId"])


def link(lab: Lab, end: str) -> str:
    """The name of the fabric's end of a node's interface, or of the client's if `end` is CLIENT."""
    return CLIENT_LINK if end == CLIENT else link_of(eni_of(lab, end))


CLIENT = "client"
CLIENT_LINK = "client0"
