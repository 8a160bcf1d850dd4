"""Attempts to get out of the lab, as a guest's root and as another user of the machine. All must fail.

A successful attempt would do no harm: each only reads, or writes what is there already.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster.hollow import Hollow
from tests.drill.pair import Pair
from tests.lab.lab import Lab
from tests.lab.process import run

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def disk_of_the_machine() -> str:
    """Major and minor number of one of the machine's block devices."""
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, blocks, name = line.split()
        if int(blocks) and not name.startswith(("ram", "loop")):
            return f"{major} {minor}"
    pytest.skip("the machine has no block device")


FRESH_PROC = "mkdir -p /run/p; mount -t proc proc /run/p; mount -o remount,rw /proc/sys"
WRITE_BACK = 'for f in {files}; do old=$(cat "$f") && echo "$old" >"$f" && exit 0; done; exit 1'

ATTEMPTS = {
    "read the machine's disk": "rm -f /root/disk; mknod /root/disk b {disk} && head -c 512 /root/disk",
    "mount the machine's disk": "rm -f /root/disk; mknod /root/disk b {disk}; mount -o ro /root/disk /mnt",
    "have the kernel run a program": f"{FRESH_PROC}; "
    + WRITE_BACK.format(files="/run/p/sys/kernel/core_pattern /proc/sys/kernel/core_pattern"),
    "have the kernel run another modprobe": f"{FRESH_PROC}; "
    + WRITE_BACK.format(files="/run/p/sys/kernel/modprobe /proc/sys/kernel/modprobe"),
    "press the machine's keys": f"{FRESH_PROC}; mount -o remount,rw /proc/sysrq-trigger; "
    "echo h >/run/p/sysrq-trigger || echo h >/proc/sysrq-trigger",
    "have a hot-plug helper": "mkdir -p /run/s; mount -t sysfs sysfs /run/s; mount -o remount,rw /sys; "
    + WRITE_BACK.format(files="/run/s/kernel/uevent_helper /sys/kernel/uevent_helper /sys/kernel/profiling"),
    "set the machine's clock": "python3 -c 'import time; "
    "time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))'",
    # init_module with an empty module: the kernel says EPERM before it looks at it, or ENOEXEC after.
    "load a kernel module": "python3 -c 'import ctypes, platform, sys; libc = ctypes.CDLL(None, use_errno=True); "
    'libc.syscall(dict(x86_64=175, aarch64=105)[platform.machine()], b"", 0, b""); '
    "sys.exit(ctypes.get_errno() == 1)'",
    "raise its bounds": "mount -o remount,rw /sys/fs/cgroup/memory; mount -o remount,rw /sys/fs/cgroup; "
    + WRITE_BACK.format(files="/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"),
    "see the lab's process": "grep -l [t]ests.lab.daemon /proc/[0-9]*/cmdline",
    "find the lab's socket": 'test -n "$(find / -xdev -name control.sock)"',
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_guests_root_does_not_get_out(lab: Lab, pair: Pair, attempt: str) -> None:
    """A service of the guest's own systemd makes the attempt, so it has all rights of root in a node."""
    script = ATTEMPTS[attempt].replace("{disk}", disk_of_the_machine())
    service = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=PrivateMounts=yes"]
    made = lab.run_in(pair.node_ids[0], [*service, "sh", "-c", script], check=False)
    assert made.returncode != 0, f"a guest's root can {attempt}: {made.stdout}"
    lab.run_in(pair.node_ids[0], [*service, "rm", "-f", "/root/disk"])


def test_a_guests_root_is_nobody_on_the_machine(lab: Lab, pair: Pair) -> None:
    """Two guests have different users, and no process of theirs belongs to the machine's root."""
    roots = []
    for node in pair.node_ids:
        shown = run([*lab.enter(), "cat", f"/proc/{lab.leader(node)}/uid_map"]).stdout.split()
        inside, outside, count = map(int, shown)
        assert (inside, count) == (0, 65536)
        assert outside >= 1 << 16
        roots.append(outside)
    assert len(set(roots)) == len(pair.node_ids)


def test_a_nodes_files_keep_their_owners(lab: Lab, pair: Pair) -> None:
    """Inside, files belong to root or to the service's user; the machine's numbers do not show."""
    shown = lab.run_in(pair.node_ids[0], ["stat", "--format=%U", "/etc/passwd", "/", "/etc/ssl/certs"]).stdout
    assert shown.split() == ["root", "root", "root"]
    found = lab.run_in(pair.node_ids[0], ["find", "/etc", "/usr", "/var", "-xdev", "-nouser"]).stdout
    assert found == ""


def test_corosync_has_the_priority_that_it_has_on_a_machine(lab: Lab, pair: Pair) -> None:
    """Every thread has SCHED_RR at its highest priority: a loaded node must not look dead."""
    for node in pair.node_ids:
        (pid,) = lab.run_in(node, ["pidof", "corosync"]).stdout.split()
        shown = lab.run_in(node, ["ps", "-L", "-o", "cls=,rtprio=", "-p", pid]).stdout.splitlines()
        assert {tuple(line.split()) for line in shown} == {("RR", "99")}


def refused(*words: str) -> bool:
    return subprocess.run([*NOBODY, *words], capture_output=True, check=False).returncode != 0


def test_another_user_sees_nothing_of_a_lab(hollow: Hollow) -> None:
    folder = hollow.lab.folder
    assert json.loads((folder / "state.json").read_text())["ready"] is True
    assert refused("ls", str(folder))
    for file in ("timeline.jsonl", "state.json", "process.json", "daemon.log"):
        assert (folder / file).exists()
        assert refused("cat", str(folder / file)), file
    ask = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    assert refused("/usr/bin/python3", "-c", ask, str(folder / "control.sock"))
    process_1 = hollow.lab._process_1()
    assert process_1
    assert refused("nsenter", "--target", str(process_1.pid), "--mount", "true")
    assert refused("ls", f"/proc/{process_1.pid}/root/run/netns")
