"""The bootstrap's own logic: order, repetition, failure. The real script runs on a node made of fakes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cloudinit import cib
from tests.unit.cloudinit.conftest import ENCRYPTED, make_spec
from tests.unit.cloudinit.fake_node import FakeNode, in_order

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it


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


def test_a_node_that_does_not_join_is_reported(node: FakeNode) -> None:
    node.say("view.xml", '<current_dc present="false"/>\n')
    assert node.bootstrap(EC2VIP_READY_LIMIT="0").returncode == 1
    assert node.last_line.startswith(
        "ec2vip: bootstrap failed: ready: ec2vip-a to join the cluster: not within"
    )
    assert node.calls_of("pcs cluster") == []


@pytest.mark.parametrize("unit", ["corosync.service", "pacemaker.service"])
def test_a_service_that_does_not_start_is_reported_with_its_own_words(node: FakeNode, unit: str) -> None:
    node.say("broken-unit", unit)
    assert node.bootstrap().returncode == 1
    assert node.last_line == "ec2vip: bootstrap failed: start: the unit's last words"
    # It need not be the last call, because the bootstrap prepares the cluster's settings meanwhile.
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FakeNode:
    """A node whose bootstrap ran without a disturbance."""
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
    """All its processes are killed before or after a call; the next run reaches the same result."""
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
