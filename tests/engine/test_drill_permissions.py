"""The permissions that a drill on AWS needs, and what `make status STACK=dev` shows and finds missing."""

from __future__ import annotations

import json

import pytest

from tests.drill.aws import drill_policy
from tests.lab import __main__ as lab_commands
from tests.lab import cli

from .cloud import REGION, Cloud
from .drill import VIP, answering_agents, changes, failing_over, use, verify, written


def test_the_policy_that_is_printed_is_enough_and_every_action_is_used(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = drill_policy(pair.emulator.account_id, REGION, "dev")
    use(pair, monkeypatch, pair.user("driller", json.dumps(policy)))
    with failing_over(pair, "RebootInstances"):
        assert verify("--yes", "--only", "reboot") == 0
    pair.move(VIP, "ec2vip-a")
    with failing_over(pair, "StopInstances"):
        assert verify("--yes", "--only", "power-loss") == 0
    pair.move(VIP, "ec2vip-a")
    assert (
        cli.run(lab_commands.app, ["status", "--stack", "dev", "--json"]) == 0
    )  # while no SSM agent answers
    answering_agents(pair, [])
    assert verify("--yes", "--only", "stop-corosync") == 0
    allowed = {
        action
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed <= set(pair.calls)


@pytest.mark.parametrize(
    ("sid", "trial"),
    [("Break", "reboot"), ("CommandNodes", "stop-corosync"), ("CommandDocument", "stop-corosync")],
)
def test_without_a_part_of_the_policy_the_trial_fails_in_awss_words(
    sid: str, trial: str, pair: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = drill_policy(pair.emulator.account_id, REGION, "dev")
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] != sid]
    use(pair, monkeypatch, pair.user(f"without-{sid}", json.dumps(policy)))
    if trial != "reboot":
        answering_agents(pair, [])
    assert verify("--yes", "--only", trial) == 1
    assert "not authorized" in written()["trials"][0]["detail"]
    assert pair.holder(VIP) == "ec2vip-a"


def test_the_caller_may_break_no_other_instance(pair: Cloud) -> None:
    policy = drill_policy(pair.emulator.account_id, REGION, "dev")
    theirs = pair.client("ec2", pair.user("curious", json.dumps(policy)))
    image = pair.ec2.describe_images()["Images"][0]["ImageId"]
    other = pair.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        theirs.reboot_instances(InstanceIds=[other])
    pair.ec2.terminate_instances(InstanceIds=[other])


def test_the_drill_of_one_stack_may_not_break_anothers_nodes(pair: Cloud) -> None:
    policy = drill_policy(pair.emulator.account_id, REGION, "prod")
    theirs = pair.client("ec2", pair.user("of-prod", json.dumps(policy)))
    node = pair.instances()["ec2vip-b"]["InstanceId"]
    for refused in (theirs.reboot_instances, theirs.stop_instances, theirs.start_instances):
        with pytest.raises(Exception, match="UnauthorizedOperation"):
            refused(InstanceIds=[node])


def test_status_shows_the_holder_and_takes_not_knowing_for_no_flaw(
    pair: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(lab_commands.app, ["status", "--stack", "dev", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["stack"], shown["account"], shown["region"]) == ("dev", pair.emulator.account_id, REGION)
    assert shown["holder"] == pair.instances()["ec2vip-a"]["InstanceId"]
    assert [(n["cluster"], n["holds_in_ec2"], n["holds_in_os"]) for n in shown["nodes"]] == [
        ("unknown", True, None),
        ("unknown", False, None),
    ]
    assert changes(pair) == []


def test_status_shows_why_a_node_did_not_come_up(
    pair: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first node holds the VIP. No SSM agent answers on the second, but its console shows the reason."""
    second = pair.instances()["ec2vip-b"]["InstanceId"]
    gave_up = "ec2vip: bootstrap failed: packages: the archives lack the cluster stack"
    monkeypatch.setattr(
        pair.guests,
        "console_output",
        lambda key: f"boot\n{gave_up}\n" if key == second else "ec2vip: bootstrap done (9 s)\n",
    )
    assert cli.run(lab_commands.app, ["status", "--stack", "dev", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["flaws"] == [f"ec2vip-b: {gave_up}"]


def test_status_asks_the_cluster_where_ssm_is_on(pair: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    answering_agents(pair, [])
    assert cli.run(lab_commands.app, ["status", "--stack", "dev", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [(n["cluster"], n["holds_in_os"]) for n in nodes] == [("online", True), ("online", False)]


def test_what_is_missing_is_said_in_one_line_with_a_remedy(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(stack: str = "dev") -> str:
        assert cli.run(lab_commands.app, ["status", "--stack", stack]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no stack named 'nobody' found" in said("nobody")
    assert "`pulumi stack ls`" in said("nobody")
    with monkeypatch.context() as shell:
        shell.delenv("AWS_ACCESS_KEY_ID")
        shell.delenv("AWS_SECRET_ACCESS_KEY")
        shell.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        shell.setenv("AWS_CONFIG_FILE", "/nonexistent")
        assert "set AWS_PROFILE" in said()
    with Cloud(pair.state_dir / "elsewhere") as other, monkeypatch.context() as shell:
        shell.setenv("AWS_ENDPOINT_URL", other.url)
        shell.setenv("AWS_ACCESS_KEY_ID", other.emulator.administrator[0])
        shell.setenv("AWS_SECRET_ACCESS_KEY", other.emulator.administrator[1])
        line = said()
        assert f"account {other.emulator.account_id}" in line
        assert "does not have i-" in line


@pytest.mark.parametrize("words", [["down"], ["up"], ["shell", "a"]])
def test_a_command_of_the_lab_refuses_another_stack(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACK", "dev")
    assert cli.run(lab_commands.app, words) == 1
    assert "is for the lab, not for stack 'dev'" in capsys.readouterr().err
