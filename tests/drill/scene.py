"""A pair of the lab during a fault: who is who, what is broken, and how to mend it."""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from botocore.exceptions import BotoCoreError, ClientError

from tests.drill.pair import Pair
from tests.lab.ending import ENDING
from tests.lab.errors import LabError
from tests.lab.faults import Fault, Faults
from tests.lab.lab import Lab
from tests.lab.timeline import Event

FAILURES = (LabError, BotoCoreError, ClientError)
"""What may go wrong in the lab or the pair while the drill runs, as opposed to bugs in the drill."""

STEADY_S = 3.0
"""How long a pair that is whole again must stay so, with the same holder (s)."""

FORGET_LIMIT_S = 180.0
"""Failures expire after `failure-timeout` (60 s), and the cluster looks once a minute; the rest is margin."""


class Scene:
    """One pair, its `holder` and its `other` node as of the last `look()`, and what is broken now.

    Every fault is recorded. `cure()` undoes those that the VIP cannot survive, `heal()` all.
    """

    def __init__(self, lab: Lab, pair: Pair, progress: Callable[[str], None] = lambda _: None) -> None:
        self.lab, self.pair, self.progress = lab, pair, progress
        self.faults = Faults(lab)
        self.holder = self.other = ""
        self._cures: list[Callable[[], None]] = []
        self._heals: list[Callable[[], None]] = []
        self._aside: list[Future[None]] = []
        self._pool = ThreadPoolExecutor()

    def look(self) -> None:
        """Note who holds the VIP in EC2 now. Raises LabError if neither node does."""
        holder = self.pair.holder()
        if holder is None:
            raise LabError(f"nobody has {self.pair.vip} in EC2", "see `make status`")
        self.holder = holder
        (self.other,) = (node for node in self.pair.node_ids if node != holder)

    # --- breaking ------------------------------------------------------------------------------------------

    def cause(self, *faults: Fault) -> None:
        """Name the faults that the VIP cannot survive: `cure()` ends them before anything else is mended."""
        self._cures += [fault.undo for fault in faults]

    def later(self, heal: Callable[[], None]) -> None:
        """Have `heal()` call this, before what was registered earlier."""
        self._heals.append(heal)

    def aside(self, work: Callable[[], None]) -> None:
        """Run `work` in the background: some commands go on long after the VIP has moved."""
        self._aside.append(self._pool.submit(work))

    def command(self, node: str, *argv: str) -> None:
        """Run a command in the node. Raises LabError if it fails."""
        self.lab.run_in(node, argv)

    def check_aside(self) -> None:
        """Raise the error of the background work that has failed so far, if any."""
        for future in self._aside:
            if future.done():
                future.result()

    # --- mending -------------------------------------------------------------------------------------------

    def cure(self) -> None:
        """End the faults that `cause` named, or all faults if it named none."""
        if not self._cures:
            self.heal()
        while self._cures:
            self._cures.pop()()

    def heal(self) -> None:
        """End everything that is broken, the latest first.

        If one cannot be ended, we still end the others. Raises LabError with all that went wrong.
        """
        wrong = []
        with ENDING.held():
            for step in [*reversed(self._cures), *reversed(self._heals), self.faults.undo_all]:
                try:
                    step()
                except FAILURES as error:
                    wrong.append(str(error))
            self._cures.clear()
            self._heals.clear()
            for future in self._aside:
                with contextlib.suppress(*FAILURES):
                    future.result()
            self._aside.clear()
        if wrong:
            raise LabError(f"could not undo every fault: {'; '.join(wrong)}", "see `make status`")

    # --- what became of it ---------------------------------------------------------------------------------

    def wait_until_steady(self, within_s: float) -> None:
        """Return once the pair is whole and stays so for STEADY_S with the same holder.

        Both nodes are members, exactly one has the VIP in EC2 and in its system, and a client reaches it.
        Raises LabError with what is still wrong after `within_s` seconds.
        """
        deadline = time.monotonic() + within_s
        pair = self.pair
        while True:
            pair.wait_until_whole(max(1.0, deadline - time.monotonic()), self.progress)
            holder, until = pair.holder(), time.monotonic() + STEADY_S
            while time.monotonic() < until and pair.holder() == holder:
                time.sleep(pair.cloud.reach.poll_s)
            if pair.holder() == holder and not pair.flaws():
                return
            if time.monotonic() > deadline:
                raise LabError(
                    f"within {within_s:.0f} s the pair did not stay whole for {STEADY_S:g} s",
                    pair.cloud.reach.remedy,
                )

    def wait_until_forgotten(self) -> float:
        """Return once the cluster holds no failure against a node; the result is how long that took (s).

        Raises LabError if it still holds one after FORGET_LIMIT_S: a person would have to clean up.
        """
        begun = time.monotonic()
        said = ""
        while remembered := self.remembered():
            if (words := ", ".join(remembered)) != said:
                self.progress(f"waiting until the cluster forgets its failures: {(said := words)}")
            if time.monotonic() - begun > FORGET_LIMIT_S:
                raise LabError(f"after {FORGET_LIMIT_S:.0f} s the cluster still remembers failures: {said}")
            time.sleep(0.5)
        return time.monotonic() - begun

    def remembered(self) -> list[str]:
        """The failures that count against a node now, as `RESOURCE on NODE`."""
        said = self.pair.crm_mon("--include=failcounts")
        return failures(said) if said else ["no node answers"]

    def wait_until_active(self, units: Sequence[str], within_s: float) -> None:
        """Return once the units are active on both nodes.

        Raises LabError with those that are not after `within_s` seconds.
        """
        deadline = time.monotonic() + within_s
        while wrong := self._inactive(units):
            if time.monotonic() > deadline:
                raise LabError(f"after {within_s:.0f} s: {', '.join(wrong)}", "see the nodes' journals")
            time.sleep(0.5)

    def _inactive(self, units: Sequence[str]) -> list[str]:
        return [
            f"{unit} is {state} on {node}"
            for node in self.pair.node_ids
            for unit, state in zip(units, self._states(node, units), strict=True)
            if state != "active"
        ]

    def _states(self, node: str, units: Sequence[str]) -> list[str]:
        words = ["systemctl", "show", "--property=ActiveState", "--value", *units]
        return self.lab.run_in(node, words).stdout.split()

    def interfaces(self) -> dict[str, str]:
        """Interface → instance, for the pair's nodes that EC2 knows."""
        match = [{"Name": "attachment.instance-id", "Values": self.pair.node_ids}]
        found = self.pair.cloud.ec2().describe_network_interfaces(Filters=match)["NetworkInterfaces"]
        return {card["NetworkInterfaceId"]: card["Attachment"]["InstanceId"] for card in found}


def failures(crm_mon: str) -> list[str]:
    """The failures that count, from crm_mon's XML with fail counts (Pacemaker 2.1 and 3)."""
    return [
        f"{resource.get('id')} on {node.get('name')}"
        for node in ElementTree.fromstring(crm_mon).iterfind("node_history/node")
        for resource in node.iterfind("resource_history")
        if resource.get("fail-count", "0") != "0"
    ]


def places(
    events: Iterable[Event], vip: str, before: str, nodes: Mapping[str, str] | None = None
) -> list[str]:
    """Where the VIP was, in order: `before`, then by the route events. Times without a place are left out.

    A place is an interface, or its node if `nodes` has one. If an interface gives the VIP up and takes it again,
    that is one place.
    """
    found = [before]
    for event in events:
        if event.kind == "route" and event["address"] == vip and event.get("eni_id"):
            place = (nodes or {}).get(event["eni_id"], event["eni_id"])
            if place != found[-1]:
                found.append(place)
    return found


def moves(visited: list[str], nodes: Iterable[str]) -> int:
    """How often the VIP changed between the nodes; other places in between do not count."""
    known = set(nodes)
    at_nodes = [place for place in visited if place in known]
    return sum(one != two for one, two in pairwise(at_nodes))
