"""User's commands that cannot do their work: they print one clear line, and install or leave nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.cluster.hollow import Hollow
from tests.cluster.test_break_out import NOBODY
from tests.drill.prove.questions import QUESTIONS, SUCCESS, Answer
from tests.drill.prove.report import Measure, Report, answered, write
from tests.lab.paths import PROJECT, cache_dir, labs_dir
from tests.lab.process import run

LIMIT_S = 60
"""Set-up would take minutes. Without it, a command prints its line within a second on an idle machine."""
NAME = "command-tests"


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder with the project, which every user may read, and with a home that every user may write."""
    folder = Path(tempfile.mkdtemp(prefix="ec2vip-"))
    for name in run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=PROJECT
    ).stdout.split():
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, target)
    (folder / "home").mkdir()
    (folder / "home").chmod(0o777)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def said_by(words: Sequence[str], lab: str, cwd: Path = PROJECT, **env: str) -> tuple[int, list[str]]:
    """Status and lines of a command, without make's own lines about the status.

    We remove make's variables, because a person does not call the command from make.
    """
    person = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    made = subprocess.run(
        words,
        cwd=cwd,
        env={**person, "LAB": lab, **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    lines = (made.stdout + made.stderr).splitlines()
    return made.returncode, [line for line in lines if not line.startswith("make: ")]


@pytest.mark.parametrize("command", ["up", "status", "verify", "env", "shell", "down"])
def test_another_user_is_told_in_a_line_and_nothing_is_installed(
    hollow: Hollow, everybodys: Path, command: str
) -> None:
    home = everybodys / "home"
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    words = [*NOBODY, "env", "-u", "EC2VIP_CACHE", "-u", "XDG_CACHE_HOME", "-u", "PYTHONPYCACHEPREFIX"]
    name = hollow.lab.name
    status, lines = said_by([*words, "make", "-s", command], name, everybodys / "checkout", **env)
    assert status != 0
    (line,) = lines
    assert line.startswith("error: ")
    assert "root" in line
    assert {path.name for path in home.glob(".cache/ec2vip/*")} <= {"pycache"}
    assert hollow.lab.is_running()


def test_a_lab_becomes_like_what_a_report_has(hollow: Hollow, tmp_path: Path) -> None:
    report = Report("r1", "dev", measures=[Measure("the call", [0.2, 0.3, 0.9], setting="route_delay_s")])
    report.answers.append(answered(Answer(QUESTIONS[0], "InvalidParameterValue: assigned", SUCCESS)))
    write(report, tmp_path)
    hollow.assign(hollow.a)
    before = hollow.lab.be_like({"route_delay_s": 0.0}, {"same_eni_reassign": "success"})
    try:
        words = ["make", "-s", "lab-like", f"REPORT={tmp_path / 'prove.json'}"]
        status, lines = said_by(words, hollow.lab.name)
        assert status == 0, lines
        with pytest.raises(ClientError, match="move is not allowed"):
            hollow.assign(hollow.a)
        with hollow.lab.latency("typical"):
            pass
        assert hollow.lab.ask("set-delays", route_delay_s=0.0) == {"route_delay_s": 0.3}
    finally:
        hollow.lab.ask("set-switches", same_eni_reassign=before["same_eni_reassign"])
        hollow.lab.ask("set-delays", route_delay_s=before["route_delay_s"])


def read_only(folder: Path) -> list[str]:
    """The prefix that runs a command for which nobody can write to the folder."""
    script = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-euc", script, str(folder)]


def test_a_running_lab_is_looked_at_with_a_cache_that_cannot_be_written(hollow: Hollow) -> None:
    words = [*read_only(cache_dir()), "make", "-s", "env"]
    status, lines = said_by(words, hollow.lab.name, PYTHONDONTWRITEBYTECODE="1")
    assert status == 0, lines
    assert f"export AWS_ENDPOINT_URL={hollow.lab.state()['endpoint']}" in lines


def test_set_up_into_a_cache_that_cannot_be_written_is_refused_in_a_line(
    machine: None, tmp_path: Path
) -> None:
    """Python cannot keep bytecode there either, and does not mind."""
    words = [*read_only(tmp_path), "make", "-s", "up"]
    status, lines = said_by(words, NAME, EC2VIP_CACHE=str(tmp_path))
    assert status != 0
    assert lines == [
        f"error: set-up can't write to {tmp_path}: Read-only file system; fix that, "
        "or point EC2VIP_CACHE at a folder of yours"
    ]


def test_a_lab_on_a_full_disk_is_refused_in_a_line(machine: None, tmp_path: Path) -> None:
    """It leaves nothing there."""
    script = 'mount -t tmpfs -o size=1m full "$0"; "$@"; status=$?; ls -A "$0"; exit $status'
    words = ["unshare", "--mount", "--propagation=private", "sh", "-uc", script, str(tmp_path)]
    words += ["make", "-s", "up", "AMI=baked"]
    status, lines = said_by(words, NAME, EC2VIP_LABS=str(tmp_path))
    assert status != 0
    shown = [line for line in lines if not line.startswith(("==> ", "    "))]
    assert shown == [
        f"error: {tmp_path} has 1 MiB free; a lab needs 256 MiB; "
        "free some, or point EC2VIP_LABS at a larger disk"
    ]


def test_no_lab_is_said_in_a_line(machine: None) -> None:
    for command, expected in (("status", False), ("env", False), ("down", True)):
        status, lines = said_by(["make", "-s", command], NAME)
        assert (status == 0) is expected
        assert lines == [f"no lab {NAME!r} runs here; start one with `make up`"]
    assert not (labs_dir() / NAME).exists()


def test_a_machine_that_cannot_give_nodes_users_of_their_own_is_told_what_it_lacks(machine: None) -> None:
    """/proc cannot be mounted with other owners, like any file system of an older kernel. No mount stays."""
    code = "import sys; from pathlib import Path; from tests.lab import disk\n"
    code += "disk.require(Path(sys.argv[1]), Path('/run/probe'))"
    script = 'mount -t tmpfs -o mode=755 lab /run; "$@"; cat /proc/mounts'
    words = [
        "unshare",
        "--mount",
        "--propagation=private",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-c",
        code,
    ]
    made = run([*words, "/proc"], env={"PYTHONPATH": str(PROJECT)}, check=False)
    assert (
        "LabError: /proc can't be mounted with a node's own users: Invalid argument; nodes need"
        in made.stderr
    )
    tried = run([*words, "/etc"], env={"PYTHONPATH": str(PROJECT)})
    assert tried.stderr == ""
    assert "/probe" not in made.stdout + tried.stdout
