"""Run Command reaches the nodes of a lab as SSM reaches those of AWS.

No guest boots. tests/lab/README.md lists the behaviours of AWS to which each test holds the lab.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.hollow import A, B, Hollow, eventually
from tests.drill.probe import Probe
from tests.drill.run_command import SSM_DOCUMENT, Commands
from tests.lab.faults import Faults
from tests.lab.paths import PROJECT

NEW = "10.0.250.201"
REGISTER = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:UpdateInstanceInformation",'
    ' "Resource": "*"}]}'
)


@pytest.fixture
def commands(hollow: Hollow) -> Iterator[Commands]:
    """Run Command in the hollow lab, whose nodes have a role with which their agents register."""
    iam = hollow.lab.client("iam")
    iam.put_role_policy(RoleName="node", PolicyName="agent", PolicyDocument=REGISTER)
    yield Commands(hollow.lab.client("ssm"))
    iam.delete_role_policy(RoleName="node", PolicyName="agent")


@pytest.fixture
def faults(hollow: Hollow) -> Iterator[Faults]:
    faults = Faults(hollow.lab)
    yield faults
    faults.undo_all()


def send(hollow: Hollow, line: str, limit_s: int = 60) -> dict[str, str]:
    """Send a command to node a; the result names its invocation."""
    sent = hollow.lab.client("ssm").send_command(
        InstanceIds=[hollow.a],
        DocumentName=SSM_DOCUMENT,
        Parameters={"commands": [line], "executionTimeout": [str(limit_s)]},
        TimeoutSeconds=600,
    )
    return {"CommandId": sent["Command"]["CommandId"], "InstanceId": hollow.a}


def look(hollow: Hollow, invocation: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = hollow.lab.client("ssm").get_command_invocation(**invocation)
    return found


def ends(hollow: Hollow, invocation: dict[str, str]) -> dict[str, Any]:
    eventually(lambda: look(hollow, invocation)["Status"] not in ("Pending", "InProgress"))
    return look(hollow, invocation)


def test_a_node_is_reached_only_with_the_rights_of_its_role(hollow: Hollow) -> None:
    iam, commands = hollow.lab.client("iam"), Commands(hollow.lab.client("ssm"))
    assert commands.online([hollow.a, hollow.b]) == set()
    assert commands.script(hollow.a, "true") is None
    iam.put_role_policy(RoleName="node", PolicyName="agent", PolicyDocument=REGISTER)
    try:
        assert commands.online([hollow.a, hollow.b]) == {hollow.a, hollow.b}
        assert commands.script(hollow.a, "true") == (0, "")
    finally:
        iam.delete_role_policy(RoleName="node", PolicyName="agent")


def test_a_command_runs_in_its_node_as_root(hollow: Hollow, commands: Commands) -> None:
    for instance_id, own, other in ((hollow.a, A, B), (hollow.b, B, A)):
        ended = commands.script(instance_id, "id -u\nip -4 -o address show dev ens5\nexit 3")
        assert ended is not None
        status, said = ended
        assert status == 3
        assert said.splitlines()[0] == "0"
        assert f" {own}/" in said
        assert other not in said


def test_a_node_that_has_just_started_takes_a_command(hollow: Hollow, commands: Commands) -> None:
    new = hollow.launch(NEW)
    try:
        assert commands.script(new, "echo here") == (0, "here\n")
    finally:
        hollow.ec2.terminate_instances(InstanceIds=[new])
        eventually(lambda: hollow.state(new) == "terminated")
    assert commands.online([new]) == set()


@pytest.mark.parametrize("fault", ["power_loss", "hang"])
def test_a_command_waits_for_a_node_that_does_not_answer(
    hollow: Hollow, commands: Commands, faults: Faults, fault: str
) -> None:
    with getattr(faults, fault)(hollow.a):
        assert hollow.a in commands.online([hollow.a])
        sent = send(hollow, "echo late")
        eventually(lambda: look(hollow, sent)["Status"] == "InProgress")
        assert commands.script(hollow.b, "echo other") == (0, "other\n")
        assert look(hollow, sent)["Status"] == "InProgress"
    ended = ends(hollow, sent)
    assert (ended["Status"], ended["StandardOutputContent"]) == ("Success", "late\n")


def test_a_command_of_a_node_that_loses_its_power_ends_by_its_limit(
    hollow: Hollow, commands: Commands, faults: Faults
) -> None:
    # Hollow nodes share the lab's /run, and their processes outlive their power.
    waits = "touch /run/began; while [ ! -e /run/end ]; do sleep 0.1; done; echo done"
    sent = send(hollow, waits, limit_s=10)
    eventually(lambda: "began" in hollow.lab.run_in(hollow.b, ["ls", "/run"]).stdout)
    with faults.power_loss(hollow.a):
        hollow.lab.run_in(hollow.b, ["touch", "/run/end"])
        ended = ends(hollow, sent)
    hollow.lab.run_in(hollow.b, ["rm", "/run/began", "/run/end"])
    assert (ended["StatusDetails"], ended["StandardOutputContent"]) == ("ExecutionTimedOut", "")


def test_a_command_that_runs_too_long_is_ended(hollow: Hollow, commands: Commands) -> None:
    ended = ends(hollow, send(hollow, "sleep 61.25; true", limit_s=1))
    assert (ended["Status"], ended["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert hollow.lab.run_in(hollow.a, ["pgrep", "-f", "[s]leep 61.25"], check=False).stdout == ""


def test_a_command_that_is_killed_has_failed(hollow: Hollow, commands: Commands) -> None:
    ended = ends(hollow, send(hollow, "kill -KILL $$"))
    assert (ended["Status"], ended["ResponseCode"]) == ("Failed", 137)


def test_a_probe_on_a_node_works_over_ssm(
    hollow: Hollow, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hollow.lab.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(PROJECT)
    with Probe([sys.executable, "-m", "tests.drill.over_ssm", hollow.a], B) as probe:
        probe.wait_for_answers(30)
    eventually(lambda: "over-ssm" not in hollow.lab.run_in(hollow.a, ["ls", "/run"]).stdout)
    assert hollow.lab.run_in(hollow.a, ["pgrep", "-f", f"[p]ing -n -D -i 0.01 {B}"], check=False).stdout == ""
