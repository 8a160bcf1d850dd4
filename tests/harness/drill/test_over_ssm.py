"""A command on an instance by Run Command, with this machine's own shell in the agent's place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws.emulator import Emulator
from tests.drill import over_ssm, run_command
from tests.drill.over_ssm import UNREACHABLE, Remote, StoppedError, carry_out
from tests.drill.probe import Probe
from tests.drill.run_command import OUTPUT_CHARACTERS, Commands
from tests.lab.errors import LabError
from tests.lab.paths import PROJECT
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.subprocess  # the agent runs the real scripts in a real shell

INSTANCE = "i-0123456789abcdef0"
LIMIT_S = 60.0  # for a busy machine; a second should do
PROGRAM = "import sys; from tests.drill import over_ssm, run_command; run_command.POLL_S = 0.02; {}"
PREFIX = [sys.executable, "-c", PROGRAM.format("sys.exit(over_ssm.main())"), INSTANCE]


@dataclass
class Host:
    """The account, and what stands for the instance: a folder for its files, and a mark on its processes."""

    emulator: Emulator
    url: str
    folder: Path
    scripts: list[str]

    @property
    def environment(self) -> dict[str, str]:
        key, secret = self.emulator.administrator
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": self.emulator.region,
        }

    def agent(self, lines: list[str]) -> tuple[int, str]:
        self.scripts.append("\n".join(lines))
        done = subprocess.run(
            ["sh", "-c", "\n".join(lines)],
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def processes(self) -> dict[int, str]:
        """The command lines of the processes that this host's scripts have started and that still run."""
        mark = f"TMPDIR={self.folder}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (process / "cmdline").read_bytes().decode()
        return found

    def is_clean(self) -> bool:
        return not self.processes() and not list(self.folder.iterdir())

    def wait_until_clean(self) -> None:
        """A script that nobody waits for any more may still be running."""
        wait_for(f"{list(self.folder.iterdir())} {self.processes()} are left", self.is_clean, LIMIT_S)

    def client(self) -> Any:
        key, secret = self.emulator.administrator
        return boto3.client(
            "ssm",
            endpoint_url=self.url,
            region_name=self.emulator.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def begin(self, *argv: str) -> subprocess.Popen[str]:
        """Start the program as a user would; its lines come through a pipe."""
        return subprocess.Popen(
            [*PREFIX, *argv],
            cwd=PROJECT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(run_command, "POLL_S", 0.02)
    folder = tmp_path / "instance"
    folder.mkdir()
    with Emulator() as emulator:
        host = Host(emulator, emulator.serve("127.0.0.1").url, folder, [])
        emulator.ssm_agents[INSTANCE] = host.agent
        yield host
        for process in host.processes():  # after a failure
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def run(host: Host, *argv: str) -> tuple[int, bytes]:
    """The exit status and output of a command, run to its end in this process."""
    parts: list[bytes] = []
    status = carry_out(Remote(Commands(host.client()), INSTANCE), argv, parts.append, time.sleep)
    return status, b"".join(parts)


@pytest.mark.parametrize("status", [0, 3])
def test_a_short_command_takes_one_script_and_gives_its_output_and_status(
    host: Host, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_ssm, "WAIT_S", int(LIMIT_S))  # for a busy machine
    said = run(host, "sh", "-c", f'echo "it\'s $0"; echo to stderr >&2; exit {status}', "a  b\n{c}")
    assert said == (status, b"it's a  b\n{c}\nto stderr\n")
    assert len(host.scripts) == 1
    host.wait_until_clean()


def test_a_command_that_there_is_not_has_the_shells_status(host: Host) -> None:
    status, said = run(host, "no-such-program")
    assert status == 127
    assert b"no-such-program" in said
    host.wait_until_clean()


def test_output_arrives_before_the_end(host: Host) -> None:
    gate = host.folder.parent / "gate"
    process = host.begin("sh", "-c", 'echo first; while [ ! -e "$0" ]; do sleep 0.1; done; exit 4', str(gate))
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    assert process.poll() is None
    gate.touch()
    assert process.wait(LIMIT_S) == 4
    host.wait_until_clean()


@pytest.mark.parametrize("source", ["/dev/urandom", "/dev/zero"])
def test_more_output_than_run_command_gives_comes_through_whole(host: Host, source: str) -> None:
    size = 4 * OUTPUT_CHARACTERS if source == "/dev/urandom" else 40 * OUTPUT_CHARACTERS
    copy = host.folder.parent / "copy"
    status, said = run(host, "sh", "-c", f'head -c {size} {source} | tee "$0"', str(copy))
    assert (status, len(said)) == (0, size)
    assert said == copy.read_bytes()
    assert len(host.scripts) > 1
    host.wait_until_clean()


def test_no_answer_is_longer_than_run_command_gives(host: Host) -> None:
    """Also at its worst: what no compression makes smaller."""
    sizes: list[int] = []

    def measured(lines: list[str]) -> tuple[int, str]:
        status, output = host.agent(lines)
        sizes.append(len(output))
        return status, output

    host.emulator.ssm_agents[INSTANCE] = measured
    run(host, "head", "-c", str(3 * OUTPUT_CHARACTERS), "/dev/urandom")
    assert OUTPUT_CHARACTERS // 2 < max(sizes) <= OUTPUT_CHARACTERS
    host.wait_until_clean()


LOOP = 'trap "echo bye; exit 7" INT; echo ready; while :; do sleep 0.1; done'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_whose_last_words_and_status_still_come(host: Host, number: int) -> None:
    process = host.begin("sh", "-c", LOOP)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)
    rest, errors = process.communicate(timeout=LIMIT_S)
    assert (rest, errors, process.returncode) == ("bye\n", "", 7)
    host.wait_until_clean()


def test_a_signal_that_ends_the_command_itself_is_its_status(host: Host) -> None:
    process = host.begin("sh", "-c", "echo ready; exec sleep 600")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LIMIT_S) == 128 + signal.SIGINT
    host.wait_until_clean()


def test_a_command_that_ignores_the_signal_is_killed(host: Host) -> None:
    process = host.begin("sh", "-c", 'trap "" INT; echo ready; while :; do sleep 0.1; done')
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LIMIT_S) == 128 + signal.SIGKILL
    host.wait_until_clean()


def test_the_command_ends_if_nobody_reads_any_more(host: Host) -> None:
    process = host.begin("sh", "-c", "while :; do echo more; sleep 0.1; done")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(LIMIT_S) == 128 + signal.SIGINT, "the command was ended as by the user"
    assert process.stderr is not None
    assert process.stderr.read() == ""
    host.wait_until_clean()


def test_a_command_whose_caller_was_killed_ends_by_itself(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_ssm, "LIMIT_S", 2)
    monkeypatch.setattr(over_ssm, "KEPT_S", 0)
    ran = host.folder.parent / "ran"
    Remote(Commands(host.client()), INSTANCE).start(["sh", "-c", 'touch "$0"; exec sleep 600', str(ran)])
    host.wait_until_clean()
    assert ran.exists()


@pytest.mark.skipif(not shutil.which("ping"), reason="there is no ping")
def test_a_probe_over_ssm_sees_answers_until_its_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(PROJECT)
    with Probe(PREFIX, "127.0.0.1") as probe:
        probe.wait_for_answers(LIMIT_S)
        before = len(probe.replies)
    assert len(probe.replies) >= before > 1
    assert probe._words.startswith("rtt "), "ping's summary is its last line"
    host.wait_until_clean()


def test_an_instance_that_ssm_does_not_reach_is_an_error_like_sshs(host: Host) -> None:
    host.emulator.ssm_agents.clear()
    process = host.begin("true")
    said, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (UNREACHABLE, "")
    assert len(errors.splitlines()) == 1
    assert f"SSM cannot reach {INSTANCE}" in errors


def test_missing_credentials_are_one_line_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Host,
        "environment",
        {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/none",
            "AWS_SHARED_CREDENTIALS_FILE": "/none",
        },
    )
    process = host.begin("true")
    said, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (UNREACHABLE, "")
    assert len(errors.splitlines()) == 1
    assert "no AWS credentials" in errors


def test_a_command_that_the_instance_has_lost_is_an_error(host: Host) -> None:
    """As after a reboot, which empties /run."""

    def reboots(seconds: float) -> None:
        for left in host.folder.iterdir():
            shutil.rmtree(left)
        time.sleep(seconds)

    gate = host.folder.parent / "gate"
    waits = ["sh", "-c", 'while [ ! -e "$0" ]; do sleep 0.1; done', str(gate)]
    remote = Remote(Commands(host.client()), INSTANCE)
    with pytest.raises(LabError, match="has lost the command"):
        carry_out(remote, waits, lambda data: None, reboots)
    gate.touch()
    wait_for("it still runs", lambda: not host.processes(), LIMIT_S)


def test_a_second_signal_ends_the_program_without_the_instance(host: Host) -> None:
    signals = iter([signal.SIGTERM, signal.SIGTERM])

    def stops(seconds: float) -> None:
        raise StoppedError(next(signals))

    remote = Remote(Commands(host.client()), INSTANCE)
    status = carry_out(remote, ["sleep", "600"], lambda data: None, stops)
    assert status == 128 + signal.SIGTERM
    host.wait_until_clean()
