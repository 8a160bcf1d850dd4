"""What the bootstrap installs and waits for, and how it leaves the services' units to the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudinit.spec import Service
from tests.unit.cloudinit.conftest import make_spec
from tests.unit.cloudinit.fake_node import FakeNode, in_order

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it


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
    """The image updates itself in its first minutes; dpkg then exits with 2. The bootstrap keeps waiting."""
    node.say("dpkg-locked", "3")
    assert node.bootstrap().returncode == 0, node.last_line
    assert len(node.calls_of("dpkg --configure")) == 4


def test_a_program_that_hangs_is_ended_when_the_time_is_up(node: FakeNode) -> None:
    (node.fakes / "bin/apt-get").write_text("#!/bin/sh\nsleep 600\n")
    assert node.bootstrap(EC2VIP_PACKAGES_LIMIT="1").returncode == 1
    assert "the packages: not within 1 s" in node.last_line


def test_an_installation_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    """The tools are there, but their packages may be half configured."""
    node = FakeNode(tmp_path, make_spec(), baked=True)
    state = node.root / "var/lib/cloud/instance/ec2vip"
    state.mkdir(parents=True)
    (state / "installing").touch()
    assert node.bootstrap().returncode == 0
    assert in_order(node.calls, "dpkg --configure -a", "apt-get")
    assert not (state / "installing").exists()


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
