"""What happens to a machine, its addresses and its disk: reboot, stop, start, terminate, and their graces.

No guest boots. tests/lab/README.md lists the behaviours of EC2 to which each test holds the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.hollow import VIP, A, B, Hollow, eventually
from tests.lab import cgroup, disk
from tests.lab.cgroup import Cgroup
from tests.lab.disk import LAYER_BYTES
from tests.lab.errors import LabError
from tests.lab.faults import Faults
from tests.lab.process import run

THIRD = "10.0.250.200"


@pytest.fixture
def quick(hollow: Hollow) -> Iterator[Hollow]:
    """A lab whose guests have one second to shut down."""
    before = hollow.lab.ask("set-grace", seconds=1.0)
    yield hollow
    hollow.lab.ask("set-grace", seconds=before)


def test_a_stopped_instance_keeps_its_addresses_and_answers_nothing(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.a)
    hollow.ec2.stop_instances(InstanceIds=[hollow.a])
    eventually(lambda: hollow.state(hollow.a) == "stopped")
    assert hollow.addresses(hollow.a) == [A, VIP]
    assert not hollow.client_reaches(A)
    assert not hollow.client_reaches(VIP)
    hollow.ec2.start_instances(InstanceIds=[hollow.a])
    hollow.wait_for_power(hollow.a)
    assert hollow.addresses(hollow.a) == [A, VIP]
    assert hollow.client_reaches(A)
    assert not hollow.in_os(hollow.a), "a machine that was off has in its system what DHCP gives it"


def test_a_stopped_instances_address_can_be_taken_over(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.b)
    hollow.ec2.stop_instances(InstanceIds=[hollow.a])
    eventually(lambda: hollow.state(hollow.a) == "stopped")
    hollow.assign(hollow.b)
    assert hollow.client_reaches(VIP)


def test_a_reboot_is_another_machine_with_the_same_addresses(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    before = hollow.lab.leader(hollow.a)
    with Faults(hollow.lab).reboot(hollow.a):
        pass
    assert hollow.lab.leader(hollow.a) != before
    assert hollow.state(hollow.a) == "running"
    assert hollow.addresses(hollow.a) == [A, VIP]


def test_a_guest_that_ignores_the_power_button_is_cut_off_after_its_grace(quick: Hollow) -> None:
    with Faults(quick.lab).stall(quick.a):
        quick.ec2.stop_instances(InstanceIds=[quick.a])
        assert quick.state(quick.a) == "stopping"
        assert quick.lab.leader(quick.a)
        eventually(lambda: quick.state(quick.a) == "stopped")


def test_a_guest_that_ignores_a_reboot_is_cut_off_and_boots(quick: Hollow) -> None:
    before = quick.lab.leader(quick.a)
    with Faults(quick.lab).stall(quick.a):
        quick.ec2.reboot_instances(InstanceIds=[quick.a])
        eventually(lambda: quick.lab.state()["nodes"][quick.a]["leader"] not in (None, before))
    assert quick.client_reaches(A)


def test_skipping_the_shutdown_cuts_the_power_at_once(hollow: Hollow) -> None:
    """It stops while a guest that ignores the button would still have its grace of minutes."""
    with Faults(hollow.lab).stall(hollow.a):
        hollow.ec2.stop_instances(InstanceIds=[hollow.a], SkipOsShutdown=True)
        eventually(lambda: hollow.state(hollow.a) == "stopped")


def test_a_terminated_instance_leaves_no_disk_no_route_and_a_free_address(hollow: Hollow) -> None:
    third = hollow.launch(THIRD)
    hollow.assign(third)
    assert hollow.client_reaches(THIRD)
    hollow.ec2.terminate_instances(InstanceIds=[third])
    eventually(lambda: hollow.state(third) == "terminated")
    routes = run([*hollow.lab.in_fabric(), "ip", "route"]).stdout
    assert THIRD not in routes
    assert VIP not in routes
    assert third not in run([*hollow.lab.enter(), "ip", "netns"]).stdout
    assert third not in run([*hollow.lab.enter(), "cat", "/proc/mounts"]).stdout
    again = hollow.launch(THIRD)
    assert hollow.client_reaches(THIRD)
    hollow.ec2.terminate_instances(InstanceIds=[again])


def test_a_machine_that_lost_power_is_ended_by_stop_and_comes_back_by_start(hollow: Hollow) -> None:
    """An operator does this; EC2 itself goes on calling the machine running."""
    hollow.lab.ask("power-loss", instance_id=hollow.a)
    assert hollow.state(hollow.a) == "running"
    hollow.ec2.stop_instances(InstanceIds=[hollow.a], Force=True)
    eventually(lambda: hollow.state(hollow.a) == "stopped")
    hollow.ec2.start_instances(InstanceIds=[hollow.a])
    hollow.wait_for_power(hollow.a)
    assert hollow.client_reaches(A)


def test_a_disk_outlives_its_machine_and_comes_back_to_what_was_kept(hollow: Hollow) -> None:
    lab, node = hollow.lab, hollow.a
    root = lab.folder / "nodes" / node / "disk/root/var"

    def write(name: str) -> None:
        run([*lab.enter(), "sh", "-c", 'echo kept > "$1"', "sh", str(root / name)])

    def files() -> set[str]:
        return set(run([*lab.enter(), "ls", str(root)]).stdout.split())

    write("first")
    disk.sync(lab.enter(), lab.folder / "nodes" / node / "disk/layer-0")
    with pytest.raises(LabError, match="has power"):
        lab.ask("keep-disk", instance_id=node)
    lab.ask("power-loss", instance_id=node)
    assert "first" in files()
    lab.ask("keep-disk", instance_id=node)
    write("second")
    run([*lab.enter(), "rm", str(root / "first")])
    assert {"first", "second"} & files() == {"second"}
    lab.ask("reset-disk", instance_id=node)
    assert {"first", "second"} & files() == {"first"}


TRIES = 10
"""How often a sync from elsewhere may come between a write and the cut of the power."""


def test_a_cut_of_the_power_loses_what_was_not_synced(hollow: Hollow) -> None:
    """As on ext4, the names of new files may survive without their contents."""
    lab, node = hollow.lab, hollow.a
    root = lab.folder / "nodes" / node / "disk/root/var"

    def shell(script: str, name: str) -> str:
        return run([*lab.enter(), "sh", "-c", script, "sh", str(root / name)], check=False).stdout.strip()

    def power_off_and_on() -> None:
        lab.ask("power-loss", instance_id=node)
        lab.ask("power-on", instance_id=node)
        hollow.wait_for_power(node)

    def loses(cut: Callable[[], None]) -> bool:
        """Write two files and sync one; whether the cut loses the other's content, but neither's name."""
        for name in ("kept", "lost"):
            shell('rm -f "$1"; echo written >"$1"', name)
        shell('sync "$1"', "kept")
        cut()
        assert shell('cat "$1"', "kept") == "written"
        return shell('cat "$1"', "lost") == ""

    def cut() -> None:
        with Faults(lab).power_loss(node):
            pass

    # A sync(2) anywhere on the machine, as a booting node of another lab makes, writes this disk too.
    for how in (cut, power_off_and_on):
        assert any(loses(how) for _ in range(TRIES))


def test_a_node_is_bounded_in_memory_processors_processes_and_disk(hollow: Hollow) -> None:
    group = Cgroup(hollow.lab.name, hollow.a)
    assert group.memory_limit() == cgroup.MEMORY_BYTES
    assert group.cpu_limit() == cgroup.CPUS
    assert int(group._read("pids.max")) == cgroup.PROCESSES
    layer = hollow.lab.folder / "nodes" / hollow.a / "disk/layer-0"
    size = run([*hollow.lab.enter(), "stat", "--file-system", "--format=%S %b", str(layer)]).stdout.split()
    assert 0.9 * LAYER_BYTES < int(size[0]) * int(size[1]) <= LAYER_BYTES
    assert str(hollow.lab.leader(hollow.a)) in _members(hollow, group)


def _members(hollow: Hollow, group: Cgroup) -> list[str]:
    """The group's processes, by their ids inside the lab."""
    folder = next(f for f in group.folders if (f / "memory.stat").exists())
    return run([*hollow.lab.enter(), "cat", str(folder / "cgroup.procs")]).stdout.split()


def test_a_restore_puts_addresses_power_and_disks_back_and_ends_faults(hollow: Hollow) -> None:
    lab, faults = hollow.lab, Faults(hollow.lab)
    hollow.assign(hollow.a)
    lab.snapshot()
    for node in (hollow.a, hollow.b):
        hollow.wait_for_power(node)
    hollow.assign(hollow.b)
    hollow.assign(hollow.b, THIRD)
    hollow.ec2.stop_instances(InstanceIds=[hollow.a])
    eventually(lambda: hollow.state(hollow.a) == "stopped")
    root = lab.folder / "nodes" / hollow.b / "disk/root"
    run([*lab.enter(), "touch", str(root / "litter")])
    faults.isolate(hollow.b)
    faults.stall(hollow.b)
    faults.cpu_starved(hollow.b)
    faults.imds(hollow.b, "down")
    lab.restore()
    for node in (hollow.a, hollow.b):
        hollow.wait_for_power(node)
    assert hollow.addresses(hollow.a) == [A, VIP]
    assert len(hollow.addresses(hollow.b)) == 1
    assert hollow.client_reaches(B)
    assert hollow.metadata(hollow.b) == "200"
    assert Cgroup(lab.name, hollow.b).cpu_limit() == cgroup.CPUS
    assert run([*lab.enter(), "ls", str(root / "litter")], check=False).returncode != 0


def test_a_restore_says_what_it_cannot_bring_back(hollow: Hollow) -> None:
    (hollow.lab.folder / "snapshot.json").unlink(missing_ok=True)
    with pytest.raises(LabError, match="has no snapshot"):
        hollow.lab.restore()
    third = hollow.launch(THIRD)
    hollow.lab.snapshot()
    for node in (hollow.a, hollow.b, third):
        hollow.wait_for_power(node)
    hollow.ec2.terminate_instances(InstanceIds=[third])
    eventually(lambda: hollow.state(third) == "terminated")
    with pytest.raises(LabError, match=f"{third} is terminated"):
        hollow.lab.restore()
    (hollow.lab.folder / "snapshot.json").unlink()
