"""The first node pushes the cluster's settings exactly once for each change of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest

from cloudinit.places import BOOTSTRAP_PATH
from cloudinit.spec import NodeSpec, Service
from cloudinit.userdata import files
from tests.cluster.hollow import eventually
from tests.cluster.scenario import Node, Scenario
from tests.cluster.test_first_boot import spec

FOLLOWER = Service(name="follower", agent="ocf:heartbeat:Dummy")
TOLD = ("/etc/ec2vip/settings", "/etc/ec2vip/bootstrap.env")
DONE = "/var/lib/cloud/instance/ec2vip/done"


def tell(node: Node, spec: NodeSpec) -> None:
    """Put the settings on the node that new user data would bring."""
    for path, _, content in files(spec):
        if path in TOLD:
            text = base64.b64encode(content.encode()).decode()
            node.run("sh", "-c", f"echo {text} | base64 --decode >{path}")


def bootstrap(node: Node) -> None:
    """Run the bootstrap from its start, as on a new instance."""
    node.run("rm", "--force", DONE)
    node.run(BOOTSTRAP_PATH)


def version(node: Node) -> tuple[int, int]:
    """The version of the cluster's configuration: `admin_epoch` and `epoch`."""
    said = node.run("cibadmin", "--query").split(">", 1)[0]
    admin, epoch = (re.search(rf'\b{name}="(\d+)"', said) for name in ("admin_epoch", "epoch"))
    assert admin
    assert epoch
    return int(admin[1]), int(epoch[1])


@pytest.fixture
def first(scenario: Scenario) -> Iterator[Node]:
    """The node that pushes; at the end we give it back its settings.

    Before the test, we wait until no agent is about to note who took the VIP last.
    """
    node = scenario.nodes[0]
    noting = ("pgrep", "--full", "ec2vip-taker")
    eventually(lambda: all(each.tries(*noting) is None for each in scenario.nodes))
    yield node
    tell(node, spec(0))
    bootstrap(node)


def test_a_setting_that_changes_is_pushed_exactly_once(scenario: Scenario, first: Node) -> None:
    holder, before = scenario.holder, version(first)
    bootstrap(first)
    assert version(first) == before, "it pushed what the cluster has"
    tell(first, NodeSpec(**{**vars(spec(0)), "services": (FOLLOWER,)}))
    bootstrap(first)
    changed = version(first)
    assert changed > before
    assert pushes(first) == 1
    assert "follower" in first.run("crm_mon", "--one-shot")
    bootstrap(first)
    assert version(first) == changed, "it pushed again"
    assert version(scenario.nodes[1]) == changed
    assert scenario.holder == holder, "another setting moved the VIP"


def pushes(node: Node) -> int:
    """How often the last run pushed, by what pcs said in the bootstrap's log."""
    log = node.run("cat", "/var/log/ec2vip-bootstrap.log")
    return log.rpartition("== interface\n")[2].count("CIB updated")
