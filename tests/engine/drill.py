"""A drill of the stack `dev` in an emulated account, and stand-ins for its cluster and its user."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drill import __main__ as drill_commands
from tests.lab import cli

from .cloud import ROOT, Cloud, end

VIP = "10.0.250.185"
NODES = ("ec2vip-a", "ec2vip-b")
CRM_MON = "<pacemaker-result><nodes>{}</nodes></pacemaker-result>".format(
    "".join(f'<node name="{name}" online="true" pending="false"/>' for name in NODES)
)
REPORT = Path()
"""Where the drill writes its report; each test has its own path."""


def use(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, key: tuple[str, str]) -> None:
    """Make this process's environment that of a user with that access key."""
    for name, value in cloud.stack("dev", key=key).environment.items():
        monkeypatch.setenv(name, value)
    for name in ("STACK", "PROBE", "YES", "JSON", "LAB", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def failing_over(cloud: Cloud, action: str) -> Iterator[None]:
    """Move the VIP to the second node as soon as the API gets the call `action`."""
    asked, over = cloud.reached(f"ec2:{action}"), threading.Event()

    def follow() -> None:
        while not over.is_set():
            if asked.wait(0.05):
                cloud.move(VIP, "ec2vip-b")
                return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def verify(*words: str) -> int:
    return cli.run(drill_commands.app, ["verify", "--stack", "dev", *words])


@contextlib.contextmanager
def verifying() -> Iterator[subprocess.Popen[str]]:
    """Run the `power-loss` trial in a process of its own; its report goes where the test looks for it."""
    program = (
        "import sys; from pathlib import Path; "
        "from tests.lab import cli; from tests.drill.__main__ import app; "
        f"cli.BUILD = Path({str(REPORT.parent)!r}); "
        "sys.exit(cli.run(app, ['verify', '--stack', 'dev', '--yes', '--only', 'power-loss']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        end(process)


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REPORT.read_text())
    return found


def changes(cloud: Cloud) -> list[str]:
    """The API calls since the test began, without those that only read."""
    return [c for c in cloud.calls if not c.split(":")[1].startswith(("Describe", "Get"))]


def answering_agents(cloud: Cloud, ran: list[str]) -> None:
    """Let every node's SSM agent answer the drill's commands; stopping Corosync moves the VIP."""

    def agent(name: str) -> Callable[[list[str]], tuple[int, str]]:
        def carry_out(lines: list[str]) -> tuple[int, str]:
            (line,) = lines
            if line.startswith("crm_mon"):
                return 0, CRM_MON
            if line.startswith("ip "):
                held = f" {VIP}/24" if cloud.holder(VIP) == name else ""
                return 0, f"ens5 UP 10.0.250.1/24{held}\n"
            ran.append(f"{name}: {line}")
            if line == "systemctl stop corosync":
                cloud.move(VIP, "ec2vip-b")
            return 0, ""

        return carry_out

    for name, node in cloud.instances().items():
        cloud.emulator.ssm_agents[node["InstanceId"]] = agent(name)
