"""Give every test the pair as it was formed: what one test leaves behind does not reach the next.

Restoring takes some 7 s, mostly for Pacemaker's own start and election, and few tests need it. So we restore
only the nodes that a test has changed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.cluster.hollow import eventually
from tests.cluster.labs import WHOLE_LIMIT_S
from tests.drill.clouds import lab_pair
from tests.drill.pair import CRM_MON, Pair, cluster_states
from tests.drill.scene import failures
from tests.lab import snapshot
from tests.lab.lab import Lab
from tests.lab.log import say

LOOK = """
cibadmin --query --scope configuration
echo ===; crm_mon --one-shot --output-as=xml --include=failures,failcounts --exclude=times
echo ===; systemctl list-units --type=service --plain --no-legend --state=active,failed |
  awk '$3 == "failed" || !/^(cloud|systemd)-/ {print $1, $3}'
find /run/systemd/system /run/systemd/*.control -type f -o -type l | sort
echo ===; ip -o -4 address; ip -4 route; ip rule; ip -o link
echo ===; for process in /proc/[0-9]*; do
  grep -qE ':/(system|user)\\.slice|:/init\\.scope' $process/cgroup || cat $process/comm
done 2>/dev/null | sort"""
"""Prints configuration, failures, units, network, and the processes that systemd has not started: they are in
none of its groups.

A pair is whole before its boot has finished (`cloud-final`), so services of the boot count only if they
failed."""
PARTS = ("the cluster's configuration", "failures", "units", "network", "processes")
PASSING = {"ec2vip-taker", "cib-bootstrap-options-last-lrm-refresh"}
"""Entries of the configuration that the agent and crm_resource write on their own. We ignore them."""
OF_THE_LAB = {"journalctl", "sh", "sort", "grep", "cat"}
"""Processes of the timeline and of LOOK itself. We ignore them."""


class Formed:
    """A whole pair, and a snapshot of it to come back to."""

    def __init__(self, lab: Lab) -> None:
        """Take the snapshot: this cuts the nodes' power, and waits until they are a pair again."""
        self.lab = lab
        self._keep(lab_pair(lab))

    def _keep(self, pair: Pair) -> None:
        self._pair = pair
        pair.wait_until_whole(WHOLE_LIMIT_S)
        self.lab.snapshot()
        pair.wait_until_whole(WHOLE_LIMIT_S)
        self._states = self._look()

    def pair(self) -> Pair:
        """The pair, whole and as it was formed.

        We restore nodes with litter, and say what it was. If the pair has other nodes by now, we take a new
        snapshot instead. Raises LabError if the pair does not become whole.
        """
        pair = lab_pair(self.lab)
        if pair.node_ids != self._pair.node_ids:
            self._keep(pair)
            return pair
        snapshot.end_faults(self.lab, pair.node_ids)
        if litter := self.litter():
            for node, what in litter.items():
                say(f"{node} is restored, for otherwise than it was are: {', '.join(what)}")
            self.lab.restore(litter)
            # Its peer may not have noticed yet that the node was gone, and may still call it online.
            for node in litter:
                eventually(partial(self._has_joined, node), WHOLE_LIMIT_S, f"{node} is not back", 0.1)
        pair.wait_until_whole(WHOLE_LIMIT_S)
        return pair

    def _has_joined(self, node: str) -> bool:
        """Whether the node itself says that it and its peer are online."""
        said = self.lab.try_in(node, CRM_MON)
        return said is not None and set(cluster_states(said).values()) == {"online"}

    def litter(self) -> dict[str, list[str]]:
        """Node → what has changed on it: files, parts of the state. Nodes without changes are left out."""
        now = self._look()
        found = {
            node: [
                *(part for part in PARTS if now[node].get(part) != self._states[node].get(part)),
                *snapshot.changed(self.lab, node),
            ]
            for node in self._pair.node_ids
        }
        return {node: what for node, what in found.items() if what}

    def _look(self) -> dict[str, dict[str, str]]:
        """Node → part → its present state."""
        nodes = self._pair.node_ids
        with ThreadPoolExecutor() as pool:
            said = pool.map(lambda node: self.lab.try_in(node, ["sh", "-c", LOOK]), nodes)
        return {node: parts(text or "", self._pair.vips) for node, text in zip(nodes, said, strict=True)}


def parts(said: str, vips: list[str]) -> dict[str, str]:
    """What LOOK prints, by part, without what always changes: who has the VIP, and who is looking."""
    try:
        configuration, remembered, units, network, processes = said.split("===\n")
        configuration, remembered = settled(configuration), failed(remembered)
    except (ValueError, ElementTree.ParseError):
        return dict.fromkeys(PARTS, "no answer")
    return dict(
        zip(
            PARTS,
            (
                configuration,
                remembered,
                units,
                "\n".join(line for line in network.splitlines() if not any(vip in line for vip in vips)),
                " ".join(word for word in processes.split() if word not in OF_THE_LAB),
            ),
            strict=True,
        )
    )


def settled(configuration: str) -> str:
    """The configuration without PASSING."""
    root = ElementTree.fromstring(configuration)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.get("id") in PASSING]:
            parent.remove(child)
    return ElementTree.canonicalize(ElementTree.tostring(root), strip_text=True)


def failed(crm_mon: str) -> str:
    """The failures that the cluster remembers: those that count, and failed actions."""
    actions = [str(item.get("op_key")) for item in ElementTree.fromstring(crm_mon).iter("failure")]
    return " ".join(failures(crm_mon) + actions)
