"""The bootstrap's own logic: order, repetition, failure. The real script runs, on a node made of fakes."""

from __future__ import annotations

import signal
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloudinit import cib
from cloudinit.spec import Service
from tests.unit.cloudinit.conftest import ENCRYPTED, make_spec
from tests.unit.cloudinit.fake_node import JOINED, FakeNode

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """The first member, with nothing installed."""
    return FakeNode(tmp_path, make_spec())


def in_order(calls: list[str], *beginnings: str) -> bool:
    """Whether calls with these beginnings come one after the other."""
    rest = iter(calls)
    return all(any(call.startswith(beginning) for call in rest) for beginning in beginnings)


def test_the_first_member_goes_from_nothing_to_a_cluster_with_its_resources(node: FakeNode) -> None:
    run = node.bootstrap()
    assert run.returncode == 0, run.stdout
    assert in_order(
        node.calls,
        "systemctl mask",
        "apt-get",
        "systemctl unmask corosync.service pacemaker.service",
        "systemctl enable corosync.service pacemaker.service",
        "systemctl start corosync.service",
        "systemctl start pacemaker.service",
        "crm_mon",
        "pcs cluster cib-push",
        "crm_resource --wait",
    )
    assert len(node.calls_of("pcs cluster cib-push")) == 1
    assert "<group id=" in node.cluster
    assert f"ec2vip-settings={cib.digest(make_spec())}" in node.cluster
    assert node.done
    assert node.last_line.startswith("ec2vip: bootstrap done")


def test_the_console_and_the_journal_get_the_same_lines(node: FakeNode) -> None:
    run = node.bootstrap()
    assert run.stdout == node.console.read_text()
    assert all(line.startswith("ec2vip: ") for line in run.stdout.splitlines())


def test_the_cluster_is_never_written_but_by_the_one_push(node: FakeNode) -> None:
    node.bootstrap()
    for call in node.calls_of("pcs"):
        assert call.startswith(("pcs -f ", "pcs cluster cib-push "))
    assert not [call for call in node.calls_of("pcs -f ") if "/lib/pacemaker/" in call]


def test_the_second_member_joins_and_pushes_nothing(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(name="ec2vip-b"))
    assert node.bootstrap().returncode == 0
    assert node.calls_of("pcs") == []
    assert node.done


def test_a_later_boot_only_says_when_the_node_is_a_member_again(node: FakeNode) -> None:
    node.bootstrap()
    run = node.bootstrap()
    assert run.returncode == 0
    assert [call.split()[0] for call in node.calls] == ["crm_mon", "crm_resource"]
    assert node.last_line.startswith("ec2vip: bootstrap done before; in the cluster again")


def test_a_cluster_that_stays_busy_is_no_failure_of_the_node(node: FakeNode) -> None:
    node.say("unsettled", "1")
    assert node.bootstrap().returncode == 0
    assert node.last_line.startswith("ec2vip: bootstrap done")


def test_a_second_run_changes_nothing(node: FakeNode) -> None:
    node.bootstrap()
    (node.root / "var/lib/cloud/instance/ec2vip/done").unlink()
    before = node.cluster
    assert node.bootstrap().returncode == 0
    assert node.calls_of("pcs cluster") == []
    assert node.calls_of("apt-get") == []
    assert node.calls_of("corosync-quorumtool") == [], "it waited for a peer with nothing to push"
    assert node.cluster == before


def test_a_replaced_first_member_leaves_the_running_cluster_as_it_is(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec())
    running = f'<cib epoch="9">\nec2vip-settings={cib.digest(make_spec())}\nwhat the owner changed since\n'
    node.say("cluster.xml", running)
    assert node.bootstrap().returncode == 0
    assert node.cluster == running


def test_a_running_cluster_that_is_heard_late_is_left_as_it_is_too(node: FakeNode) -> None:
    """Alone for a moment, a replaced node sees its own empty CIB; it listens for the peer before it pushes."""
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


def test_an_image_with_the_stack_in_it_installs_nothing(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(), baked=True)
    assert node.bootstrap().returncode == 0
    assert node.calls_of("apt-get") == []
    assert node.done


def test_a_mirror_that_is_late_is_waited_for(node: FakeNode) -> None:
    node.say("install-failures", "3")
    assert node.bootstrap().returncode == 0
    assert len([call for call in node.calls_of("apt-get") if " install " in call]) == 4


def test_a_mirror_that_never_comes_ends_in_one_line_with_its_last_words(node: FakeNode) -> None:
    node.say("install-failures", "9999")
    assert node.bootstrap(EC2VIP_PACKAGES_LIMIT="0").returncode == 1
    assert node.last_line == (
        "ec2vip: bootstrap failed: packages: the packages: not within 0 s (E: no such package)"
    )
    assert node.calls_of("systemctl start") == []
    assert not node.done


def test_another_apt_that_holds_the_lock_is_waited_for(node: FakeNode) -> None:
    """The image's own updates in its first minutes; dpkg ends with 2 then, and that is no reason to give up."""
    node.say("dpkg-locked", "3")
    assert node.bootstrap().returncode == 0, node.last_line
    assert len(node.calls_of("dpkg --configure")) == 4


def test_a_program_that_hangs_is_ended_when_the_time_is_up(node: FakeNode) -> None:
    (node.fakes / "bin/apt-get").write_text("#!/bin/sh\nsleep 600\n")
    assert node.bootstrap(EC2VIP_PACKAGES_LIMIT="1").returncode == 1
    assert "the packages: not within 1 s" in node.last_line


def test_an_installation_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    """The tools are in place, but their packages may be half configured."""
    node = FakeNode(tmp_path, make_spec(), baked=True)
    state = node.root / "var/lib/cloud/instance/ec2vip"
    state.mkdir(parents=True)
    (state / "installing").touch()
    assert node.bootstrap().returncode == 0
    assert in_order(node.calls, "dpkg --configure -a", "apt-get")
    assert not (state / "installing").exists()


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
    """What an image brings along goes; what Pacemaker has written since stays."""
    kept = node.root / "var/lib/pacemaker/cib/cib.xml"
    kept.parent.mkdir(parents=True)
    (kept.parent / "cib-7.raw").write_text("from the image")
    node.bootstrap()
    assert not (kept.parent / "cib-7.raw").exists()
    kept.write_text("what the cluster has come to")
    node.bootstrap()
    assert kept.read_text() == "what the cluster has come to"
    assert node.calls_of("systemctl stop pacemaker") == []


def test_a_node_that_does_not_join_is_reported(node: FakeNode) -> None:
    node.say("view.xml", '<current_dc present="false"/>\n')
    assert node.bootstrap(EC2VIP_READY_LIMIT="0").returncode == 1
    assert node.last_line.startswith(
        "ec2vip: bootstrap failed: ready: ec2vip-a to join the cluster: not within"
    )
    assert node.calls_of("pcs cluster") == []


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


@pytest.mark.parametrize("unit", ["corosync.service", "pacemaker.service"])
def test_a_service_that_does_not_start_is_reported_with_its_own_words(node: FakeNode, unit: str) -> None:
    node.say("broken-unit", unit)
    assert node.bootstrap().returncode == 1
    assert node.last_line == "ec2vip: bootstrap failed: start: the unit's last words"
    # Not the last call: what is wanted of the cluster is worked out meanwhile.
    assert any(call.endswith(f"--unit {unit}") for call in node.calls)


def test_the_tools_are_kept_off_the_interface_with_the_nodes_own_address(node: FakeNode) -> None:
    node.say("addresses", "3: enX1    inet 10.0.250.186/24 scope global enX1\n")
    node.bootstrap()
    (mask,) = node.calls_of("systemctl mask")
    assert mask.split()[2:] == [
        "refresh-policy-routes@enX1.timer",
        "refresh-policy-routes@enX1.service",
        "policy-routes@enX1.service",
    ]


def test_of_the_tools_only_the_timer_is_stopped_for_dhcp_hangs_on_the_rest(node: FakeNode) -> None:
    node.bootstrap()
    assert [call for call in node.calls_of("systemctl stop") if "@" in call] == [
        "systemctl stop refresh-policy-routes@ens5.timer"
    ]


def test_networkd_keeps_addresses_that_it_does_not_know(node: FakeNode) -> None:
    node.say("networkctl", "  Link File: n/a\n  Network File: /run/systemd/network/70-ens5.network\n")
    node.bootstrap()
    drop_in = node.root / "etc/systemd/network/70-ens5.network.d/50-ec2vip.conf"
    assert drop_in.read_text() == "[Network]\nKeepConfiguration=static\n"


def test_an_interface_is_named_only_where_several_are_in_the_subnet(node: FakeNode) -> None:
    node.bootstrap()
    assert "nic=" not in node.cluster


def test_of_several_interfaces_the_one_with_the_nodes_address_is_named(node: FakeNode) -> None:
    node.say("routes", "default via 10.0.250.1 dev ens5\n10.0.250.0/24 dev ens5\n10.0.250.0/24 dev ens6\n")
    node.bootstrap()
    assert "resource update vip nic=ens5" in node.cluster


def test_of_several_interfaces_it_is_named_for_each_vip(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(more_vips=(IPv4Address("10.0.250.190"),)))
    node.say("routes", "10.0.250.0/24 dev ens5\n10.0.250.0/24 dev ens6\n")
    assert node.bootstrap().returncode == 0
    assert "resource update vip nic=ens5\nresource update vip-2 nic=ens5\n" in node.cluster


def test_a_vip_that_is_not_wanted_any_more_goes_with_the_push(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec())
    node.say("cluster.xml", '<cib epoch="9">\n<group id="vip-group">\n<group id="vip-group-2">\n')
    assert node.bootstrap().returncode == 0
    assert node.cluster.count("<group id=") == 1
    assert len(node.calls_of("pcs cluster cib-push")) == 1


def test_the_members_are_in_the_hosts_file_once(node: FakeNode) -> None:
    node.bootstrap()
    node.bootstrap()
    assert (node.root / "etc/hosts").read_text().splitlines() == [
        "127.0.0.1 localhost",
        "10.0.250.186 ec2vip-a # ec2vip",
        "10.0.250.187 ec2vip-b # ec2vip",
    ]


def test_the_key_is_fetched_before_corosync_starts_and_once_in_an_instances_life(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(**ENCRYPTED))
    assert node.bootstrap().returncode == 0
    place = node.root / "etc/corosync/authkey"
    program = node.root / "usr/local/sbin/ec2vip-parameter"
    (fetched,) = node.calls_of("python-of-the-agent -I")
    told = f"{ENCRYPTED['key_parameter']} {ENCRYPTED['key_digest']}"
    assert fetched == f"python-of-the-agent -I {program} {told} {place}"
    assert in_order(node.calls, "apt-get", fetched, "systemctl start corosync.service")
    assert place.read_text() == "the-key\n"
    assert node.bootstrap().returncode == 0
    assert node.calls_of("python-of-the-agent -I") == []


def test_an_image_with_anothers_key_gets_its_own(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(**ENCRYPTED), baked=True)
    (node.root / "etc/corosync/authkey").write_text("another's")
    assert node.bootstrap().returncode == 0
    assert (node.root / "etc/corosync/authkey").read_text() == "the-key\n"


def test_a_role_whose_policy_is_late_is_waited_for(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(**ENCRYPTED))
    node.say("key-failures", "3")
    assert node.bootstrap().returncode == 0
    assert len(node.calls_of("python-of-the-agent -I")) == 4


def test_a_key_that_cannot_be_had_is_reported_and_corosync_does_not_start(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(**ENCRYPTED))
    node.say("key-failures", "9999")
    assert node.bootstrap(EC2VIP_KEY_LIMIT="0").returncode == 1
    assert node.last_line == (
        f"ec2vip: bootstrap failed: key: the key in {ENCRYPTED['key_parameter']}: not within 0 s "
        "(AccessDeniedException: not authorized)"
    )
    assert node.calls_of("systemctl start") == []


def test_without_encryption_no_key_is_asked_for(node: FakeNode) -> None:
    node.bootstrap()
    assert node.calls_of("python-of-the-agent -I") == []
    assert not (node.root / "etc/corosync/authkey").exists()


WEB = Service(name="nginx", agent="systemd:nginx", packages=("nginx-light",))
FILES = Service(name="files", agent="ocf:heartbeat:Filesystem")


def test_a_unit_under_the_cluster_starts_neither_on_installation_nor_at_boot(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(WEB,)))
    assert node.bootstrap().returncode == 0, node.last_line
    assert in_order(
        node.calls,
        "systemctl disable --now nginx.service",
        "systemctl mask nginx.service",
        "apt-get",
        "systemctl unmask nginx.service",
        "systemctl disable nginx.service",
        "systemctl start pacemaker.service",
    )
    (install,) = [call for call in node.calls_of("apt-get") if " install " in call]
    assert install.endswith(" nginx-light")


def test_a_service_of_a_running_cluster_is_left_alone_by_another_run(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(WEB,)))
    node.bootstrap()
    assert node.bootstrap().returncode == 0
    assert node.calls_of("systemctl disable --now") == []
    assert not [call for call in node.calls_of("systemctl mask") if "nginx" in call]


def test_a_unit_of_the_images_own_in_etc_is_not_masked(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(WEB,)), baked=True)
    unit = node.root / "etc/systemd/system/nginx.service"
    unit.touch()
    assert node.bootstrap().returncode == 0
    assert node.calls_of("systemctl disable --now nginx.service")
    assert node.calls_of("systemctl mask nginx.service") == []


def test_an_image_that_lacks_a_services_package_installs_it(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(WEB,)), baked=True)
    node.say("lacking", "")
    assert node.bootstrap().returncode == 1
    assert [call for call in node.calls_of("apt-get") if call.endswith(" nginx-light")]
    assert node.last_line.endswith("(nginx-light is not installed)") or "nginx-light is not" in node.last_line


def test_a_unit_that_is_not_on_the_node_is_reported(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(WEB,)))
    node.say("broken-unit", "nginx.service")
    assert node.bootstrap().returncode == 1
    assert node.last_line == (
        "ec2vip: bootstrap failed: services: nginx.service is not on this node: name its packages in services, "
        "or use an image that has it"
    )
    assert node.calls_of("systemctl start") == []


def test_an_agent_that_is_not_on_the_node_is_reported(tmp_path: Path) -> None:
    node = FakeNode(tmp_path, make_spec(services=(FILES,)))
    assert node.bootstrap().returncode == 1
    assert "services: the agent heartbeat/Filesystem is not on this node: name" in node.last_line
    (node.root / "usr/lib/ocf/resource.d/heartbeat/Filesystem").touch(mode=0o755)
    assert node.bootstrap().returncode == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FakeNode:
    """A node whose bootstrap nothing disturbed."""
    node = FakeNode(tmp_path_factory.mktemp("undisturbed"), make_spec(**ENCRYPTED))
    assert node.bootstrap().returncode == 0
    return node


@pytest.mark.parametrize(
    "moment",
    [
        "systemctl mask",
        "apt-get --yes",
        "after apt-get --yes",
        "python-of-the-agent -I",
        "after python-of-the-agent -I",
        "cibadmin --empty",
        "crm_attribute",
        "systemctl unmask",
        "after systemctl enable",
        "after systemctl start corosync.service",
        "after systemctl start pacemaker.service",
        "crm_mon",
        "pcs -f",
        "corosync-quorumtool",
        "pcs cluster cib-push",
        "after pcs cluster cib-push",
    ],
)
def test_a_run_that_was_cut_off_anywhere_is_taken_up_by_the_next(
    tmp_path: Path, undisturbed: FakeNode, moment: str
) -> None:
    """Killed, processes and all, before a call or after it: the next run comes to the same end."""
    node = FakeNode(tmp_path, make_spec(**ENCRYPTED))
    node.say("crash-at", moment)
    assert node.bootstrap().returncode == -signal.SIGKILL
    assert not node.done
    before = node.calls
    started = [call for call in before if call.startswith("systemctl start pacemaker")]
    pushed = moment == "after pcs cluster cib-push"
    assert node.bootstrap().returncode == 0, node.last_line
    assert node.done
    assert node.cluster == undisturbed.cluster
    assert len(node.calls_of("pcs cluster cib-push")) == (0 if pushed else 1)
    if started:
        assert not [call for call in node.calls_of("systemctl stop") if "pacemaker" in call], (
            "it lost its CIB"
        )
    for name in ("etc/hosts", "etc/corosync/authkey", "var/lib/pacemaker/cib/cib.xml"):
        assert (node.root / name).read_text() == (undisturbed.root / name).read_text()
