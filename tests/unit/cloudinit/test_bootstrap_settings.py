"""How the cluster gets its settings: the CIB that a node starts with, and one push."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloudinit import cib
from tests.unit.cloudinit.conftest import VIP, make_spec
from tests.unit.cloudinit.fake_node import JOINED, FakeNode, in_order

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it


def test_the_cluster_is_never_written_but_by_the_one_push(node: FakeNode) -> None:
    node.bootstrap()
    for call in node.calls_of("pcs"):
        assert call.startswith(("pcs -f ", "pcs cluster cib-push "))
    assert not [call for call in node.calls_of("pcs -f ") if "/lib/pacemaker/" in call]


def test_a_replaced_first_member_leaves_the_running_cluster_as_it_is(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec())
    running = f'<cib epoch="9">\nec2vip-settings={cib.digest(make_spec())}\nwhat the owner changed since\n'
    node.say("cluster.xml", running)
    assert node.bootstrap().returncode == 0
    assert node.cluster == running


def test_a_running_cluster_that_is_heard_late_is_left_as_it_is_too(node: FakeNode) -> None:
    """A replaced node, alone for a moment, sees its own empty CIB; it awaits the peer before it pushes."""
    node.say("late", f'<cib epoch="9">\nec2vip-settings={cib.digest(make_spec())}\n')
    assert node.bootstrap().returncode == 0
    assert node.calls_of("pcs cluster") == []


def test_changed_settings_are_pushed_once_in_place_of_the_old_ones(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec())
    node.say("cluster.xml", '<cib epoch="9">\nec2vip-settings=0123456789abcdef\n<group id="vip-group">\n')
    assert node.bootstrap().returncode == 0
    assert len(node.calls_of("pcs cluster cib-push")) == 1
    assert node.cluster.count("<group id=") == 1


def test_a_push_that_is_refused_is_tried_again(node: FakeNode) -> None:
    node.say("push-failures", "2")
    assert node.bootstrap().returncode == 0
    assert len(node.calls_of("pcs cluster cib-push")) == 3
    assert "ec2vip: settings: try 2 of 5: push refused\n" in node.console.read_text()


def test_a_push_that_stays_refused_is_reported(node: FakeNode) -> None:
    node.say("push-failures", "99")
    assert node.bootstrap().returncode == 1
    assert node.last_line == "ec2vip: bootstrap failed: settings: push refused"
    assert not node.done


def test_the_first_cib_shortens_the_wait_for_a_dc_and_loses_against_any_other(node: FakeNode) -> None:
    node.bootstrap()
    seed = (node.root / "var/lib/pacemaker/cib/cib.xml").read_text()
    assert 'epoch="0" num_updates="0" admin_epoch="0"' in seed
    assert "--name dc-deadtime --update 1s" in seed
    assert "--name stonith-enabled --update false" in seed
    assert "--name transition-delay --update 50ms" in seed
    assert 'crm_feature_set="3"' in seed
    assert in_order(node.calls, "crm_attribute", "chown hacluster:haclient", "systemctl start pacemaker")


def test_a_cib_is_seeded_once_in_an_instances_life(node: FakeNode) -> None:
    """The bootstrap removes an image's CIB, but keeps what Pacemaker has written since."""
    kept = node.root / "var/lib/pacemaker/cib/cib.xml"
    kept.parent.mkdir(parents=True)
    (kept.parent / "cib-7.raw").write_text("from the image")
    node.bootstrap()
    assert not (kept.parent / "cib-7.raw").exists()
    kept.write_text("what the cluster has come to")
    node.bootstrap()
    assert kept.read_text() == "what the cluster has come to"
    assert node.calls_of("systemctl stop pacemaker") == []


@pytest.mark.parametrize(
    "view",
    [
        JOINED.format(name="ec2vip-b"),
        JOINED.format(name="ec2vip-a").replace('pending="false"', 'pending="true"'),
        JOINED.format(name="ec2vip-a").replace('online="true"', 'online="false"'),
    ],
    ids=["the peer has", "pending", "offline"],
)
def test_only_a_node_that_has_joined_pushes(node: FakeNode, view: str) -> None:
    node.say("view.xml", view)
    assert node.bootstrap(EC2VIP_READY_LIMIT="0").returncode == 1
    assert node.calls_of("pcs cluster") == []


def test_an_interface_is_named_only_where_several_are_in_the_subnet(node: FakeNode) -> None:
    node.bootstrap()
    assert "nic=" not in node.cluster


def test_of_several_interfaces_the_one_with_the_nodes_address_is_named(node: FakeNode) -> None:
    node.say("routes", "default via 10.0.250.1 dev ens5\n10.0.250.0/24 dev ens5\n10.0.250.0/24 dev ens6\n")
    node.bootstrap()
    assert "resource update vip nic=ens5" in node.cluster


def test_of_several_interfaces_it_is_named_for_each_vip(tmp_path: Path) -> None:
    node = FakeNode(
        tmp_path,
        make_spec(
            vips=(
                VIP,
                IPv4Address("10.0.250.190"),
            )
        ),
    )
    node.say("routes", "10.0.250.0/24 dev ens5\n10.0.250.0/24 dev ens6\n")
    assert node.bootstrap().returncode == 0
    assert "resource update vip nic=ens5\nresource update vip-2 nic=ens5\n" in node.cluster


def test_a_vip_that_is_not_wanted_any_more_goes_with_the_push(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec())
    node.say("cluster.xml", '<cib epoch="9">\n<group id="vip-group">\n<group id="vip-group-2">\n')
    assert node.bootstrap().returncode == 0
    assert node.cluster.count("<group id=") == 1
    assert len(node.calls_of("pcs cluster cib-push")) == 1
