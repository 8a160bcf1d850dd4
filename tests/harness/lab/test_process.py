from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.errors import LabError
from tests.lab.paths import lab_dir
from tests.lab.process import CommandError, ProcessId, children, run
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.subprocess  # the code under test starts and ends processes


def test_a_failed_program_tells_its_words_status_and_output() -> None:
    with pytest.raises(CommandError, match=r"(?s)status 3:.*no such thing") as caught:
        run([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"])
    assert caught.value.status == 3


def test_a_missing_program_is_named_with_the_remedy() -> None:
    with pytest.raises(LabError, match="no-such-program-here is not installed; run `make up`"):
        run(["no-such-program-here"])


def test_a_program_that_takes_too_long_is_ended_and_named() -> None:
    with pytest.raises(LabError, match="did not end within 0 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_an_ended_process_is_not_alive_though_it_was_never_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert child.pid in children(os.getpid())
    identity = ProcessId.of(child.pid)
    assert identity.is_alive()
    identity.end(grace_s=5)
    assert not identity.is_alive()
    child.wait()
    assert child.pid not in children(os.getpid())


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"import signal, time; {ignore}; print(1, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    ProcessId.of(child.pid).end(grace_s=0.1)
    assert child.wait() == -9


def test_another_process_with_the_same_number_is_never_ended() -> None:
    mine = ProcessId.of(os.getpid())
    stranger = ProcessId(mine.pid, mine.started + 1)
    assert not stranger.is_alive()
    stranger.end(grace_s=0)  # by its number alone, this is the test's own process


def test_a_lab_name_that_could_leave_its_folder_is_refused() -> None:
    for name in ("../etc", "a/b", "", "UPPER", "x" * 30):
        with pytest.raises(LabError, match="not a lower-case word"):
            lab_dir(name)
    assert lab_dir("ec2vip").parent == Path(os.environ.get("EC2VIP_LABS", "/var/lib/ec2vip-labs"))


def test_what_is_waited_for_is_named_when_it_does_not_come() -> None:
    looks = iter([False, False, True])
    wait_for("the third look", lambda: next(looks), 5, pause_s=0)
    with pytest.raises(LabError, match=r"the end: not within 0\.01 s; see its log"):
        wait_for("the end", lambda: False, 0.01, pause_s=0, remedy="see its log")
