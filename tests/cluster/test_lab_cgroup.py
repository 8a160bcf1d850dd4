"""A node's control group, with processes of this machine in it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import cgroup
from tests.lab.cgroup import Cgroup

SPAWNS = "import os\nwhile True: os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)"
SPEAKS = "import time\nwhile True: print(time.time(), flush=True)"


@pytest.fixture
def group(machine: None) -> Iterator[Cgroup]:
    """A node's group, without a node."""
    made = Cgroup("cgroup-tests", "node")
    made.make()
    yield made
    cgroup.remove("cgroup-tests")


@contextlib.contextmanager
def python_in(group: Cgroup, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that runs in the group."""
    enter = "import sys\nfor file in sys.argv[1:]: open(file, 'w').write('0')\n"
    with subprocess.Popen(
        [sys.executable, "-c", enter + program, *group.procs()], stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            group.freeze(False)
            process.kill()


def test_a_node_freezes_while_its_processes_start_others(group: Cgroup) -> None:
    """A process can be on its way into vfork() when it is told to freeze. There it waits for a frozen child."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(python_in(group, SPAWNS))
        time.sleep(0.5)
        for _ in range(150):
            group.freeze(True)
            assert group.is_frozen()
            group.freeze(False)
            time.sleep(0.02)


def test_a_frozen_process_does_nothing_and_goes_on_afterwards(group: Cgroup) -> None:
    with python_in(group, SPEAKS) as process:
        assert process.stdout is not None
        process.stdout.readline()
        group.freeze(True)
        frozen = time.time()
        time.sleep(0.2)
        thawed = time.time()
        group.freeze(False)
        said = 0.0
        while said < thawed:
            said = float(process.stdout.readline())
            assert not frozen < said < thawed
