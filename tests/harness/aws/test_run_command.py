"""Which instances Run Command reaches, and how a command ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.emulator import NullMachines
from tests.aws.emulator.run_command import OUTPUT_LIMIT

from .conftest import NODE_A, Cloud, allow, document, error_of, eventually

REGISTER = allow("ssm:UpdateInstanceInformation")
DENY = {**REGISTER, "Effect": "Deny"}
SHELL = "AWS-RunShellScript"


class Guests(NullMachines):
    """Machines at once in any state, whose guests answer a command as `answer` says."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[list[str], float], tuple[int, str] | None] = lambda lines, limit_s: (0, "")

    def run_command(self, instance_id: str, lines: list[str], limit_s: float) -> tuple[int, str] | None:
        return self.answer(lines, limit_s)


@pytest.fixture
def guests() -> Guests:
    return Guests()


@pytest.fixture
def cloud(new_cloud: Callable[..., Cloud], guests: Guests) -> Cloud:
    return new_cloud(machines=guests)


def node(cloud: Cloud, *statements: dict[str, Any]) -> str:
    """A running instance whose role has these statements."""
    return cloud.launch(NODE_A, IamInstanceProfile={"Name": cloud.role("node", *statements)})


def online(cloud: Cloud) -> list[str]:
    known = cloud.client("ssm").describe_instance_information()["InstanceInformationList"]
    assert all(item["PingStatus"] == "Online" for item in known)
    return [item["InstanceId"] for item in known]


def request(instance_id: str, *lines: str, **more: Any) -> dict[str, Any]:
    commands = {"commands": list(lines) or ["true"]}
    return {"InstanceIds": [instance_id], "DocumentName": SHELL, "Parameters": commands, **more}


def look(cloud: Cloud, command: dict[str, Any], instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("ssm").get_command_invocation(
        CommandId=command["Command"]["CommandId"], InstanceId=instance_id
    )
    return found


def ended(cloud: Cloud, instance_id: str, *lines: str, **more: Any) -> dict[str, Any]:
    """Send a command and return its invocation once it has ended."""
    sent = cloud.client("ssm").send_command(**request(instance_id, *lines, **more))
    return eventually(
        lambda: look(cloud, sent, instance_id), lambda seen: seen["Status"] not in ("Pending", "InProgress")
    )


def test_an_agent_registers_only_with_the_rights_of_its_role(cloud: Cloud) -> None:
    a = node(cloud, allow("ec2:*"))
    ssm = cloud.client("ssm")
    assert online(cloud) == []
    code, message, _ = error_of(ssm.send_command, **request(a))
    account = cloud.emulator.account_id
    assert (code, message) == (
        "InvalidInstanceId",
        f"Instances [[{a}]] not in a valid state for account {account}",
    )
    cloud.client("iam").put_role_policy(
        RoleName="node", PolicyName="agent", PolicyDocument=document(REGISTER)
    )
    assert online(cloud) == [a]
    assert ended(cloud, a)["Status"] == "Success"


@pytest.mark.parametrize(
    "statements",
    [
        [REGISTER, DENY],
        [allow("ssm:UpdateInstanceInformation", "arn:aws:ec2:us-east-1:*:instance/i-00000000000000000")],
        [allow("ssm:UpdateInstanceInformation", StringEquals={"aws:ResourceTag/agent": "yes"})],
    ],
    ids=["denied", "another instance's", "by a tag that it has not"],
)
def test_the_right_to_register_is_judged_as_every_right(
    cloud: Cloud, statements: list[dict[str, Any]]
) -> None:
    node(cloud, *statements)
    assert online(cloud) == []


def test_the_agent_needs_its_boundary_too(cloud: Cloud) -> None:
    node(cloud, REGISTER)
    iam = cloud.client("iam")
    made = iam.create_policy(PolicyName="bound", PolicyDocument=document(allow("ec2:*")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="node", PermissionsBoundary=made)
    assert online(cloud) == []


def test_an_instance_without_a_role_or_trust_has_no_agent(cloud: Cloud) -> None:
    cloud.launch()
    a = node(cloud, REGISTER)
    assert online(cloud) == [a]
    distrusts = document({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"})
    cloud.client("iam").update_assume_role_policy(RoleName="node", PolicyDocument=distrusts)
    assert online(cloud) == []


def test_an_instance_that_does_not_run_is_not_reached(cloud: Cloud) -> None:
    a = node(cloud, REGISTER)
    cloud.ec2.stop_instances(InstanceIds=[a])
    assert online(cloud) == []
    cloud.ec2.start_instances(InstanceIds=[a])
    assert online(cloud) == [a]


def test_machines_that_run_no_commands_have_no_agents_but_a_tests(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud()
    a = node(cloud, REGISTER)
    assert online(cloud) == []
    cloud.emulator.ssm_agents[a] = lambda lines: (0, "hello")
    assert online(cloud) == [a]
    assert ended(cloud, a)["StandardOutputContent"] == "hello"


def test_a_command_gets_its_lines_and_limit_and_gives_status_and_output(cloud: Cloud, guests: Guests) -> None:
    a = node(cloud, REGISTER)
    heard: list[tuple[list[str], float]] = []

    def answer(lines: list[str], limit_s: float) -> tuple[int, str]:
        heard.append((lines, limit_s))
        return 3, "x" * (OUTPUT_LIMIT + 1)

    guests.answer = answer
    parameters = {"commands": ["one", "two"], "executionTimeout": ["7"]}
    seen = ended(cloud, a, Parameters=parameters)
    assert heard == [(["one", "two"], 7.0)]
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("Failed", "Failed", 3)
    assert seen["StandardOutputContent"] == "x" * OUTPUT_LIMIT


def test_a_guest_that_does_not_answer_gets_the_command_when_it_does(cloud: Cloud, guests: Guests) -> None:
    a = node(cloud, REGISTER)
    attempts: list[list[str]] = []

    def answer(lines: list[str], limit_s: float) -> tuple[int, str] | None:
        attempts.append(lines)
        return (0, "late") if len(attempts) == 3 else None

    guests.answer = answer
    seen = ended(cloud, a, TimeoutSeconds=30)
    assert (seen["Status"], seen["StandardOutputContent"], len(attempts)) == ("Success", "late", 3)


def test_a_command_that_no_guest_takes_is_in_progress_until_its_limit(
    new_cloud: Callable[..., Cloud], guests: Guests
) -> None:
    ahead = 0.0

    cloud = new_cloud(machines=guests, clock=lambda: time.time() + ahead)
    guests.answer = lambda lines, limit_s: None
    a = node(cloud, REGISTER)
    sent = cloud.client("ssm").send_command(**request(a, TimeoutSeconds=60))
    seen = eventually(lambda: look(cloud, sent, a), lambda seen: seen["Status"] != "Pending")
    assert (seen["Status"], seen["ResponseCode"], seen["StandardOutputContent"]) == ("InProgress", -1, "")
    ahead = 61.0
    seen = eventually(lambda: look(cloud, sent, a), lambda seen: seen["Status"] != "InProgress")
    assert (seen["Status"], seen["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")


def test_a_command_that_runs_too_long_has_timed_out(cloud: Cloud, guests: Guests) -> None:
    def answer(lines: list[str], limit_s: float) -> tuple[int, str]:
        raise TimeoutError

    guests.answer = answer
    seen = ended(cloud, node(cloud, REGISTER))
    assert (seen["Status"], seen["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_only_the_document_that_runs_shell_scripts_is_known(cloud: Cloud) -> None:
    a = node(cloud, REGISTER)
    ssm = cloud.client("ssm")
    assert error_of(ssm.send_command, **request(a, DocumentName="AWS-RunShelScript"))[0] == "InvalidDocument"
    assert error_of(ssm.send_command, **request(a, Parameters={}))[0] == "InvalidParameters"


def test_a_command_that_nobody_sent_has_no_invocation(cloud: Cloud) -> None:
    a = node(cloud, REGISTER)
    missing = {"Command": {"CommandId": "00000000-0000-0000-0000-000000000000"}}
    assert error_of(look, cloud, missing, a)[0] == "InvocationDoesNotExist"
