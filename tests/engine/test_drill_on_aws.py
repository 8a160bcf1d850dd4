"""`make verify STACK=dev` and `make status STACK=dev`: the real command, the real `pulumi`, an emulated account.

No cluster runs here, so a thread of the test does what one would: it moves the VIP off a node that breaks.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drill import __main__ as drill
from tests.drill import aws, trials
from tests.drill.aws import AwsCloud, drill_policy
from tests.lab import __main__ as lab_commands
from tests.lab import cli

from .cloud import REGION, ROOT, Cloud, end

VIP = "10.0.250.185"
NODES = ("ec2vip-a", "ec2vip-b")
CRM_MON = "<pacemaker-result><nodes>{}</nodes></pacemaker-result>".format(
    "".join(f'<node name="{name}" online="true" pending="false"/>' for name in NODES)
)
REPORT = Path()
"""Where the test's report is; each test has its own."""


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Cloud:
    """An account with the stack `dev`, as `pulumi up -s dev` leaves it."""
    cloud.stack("dev").up("--skip-preview")
    cloud.guests.takes = False
    return cloud


@pytest.fixture
def pair(account: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """The stack's pair, both nodes running and the VIP on the first, with the caller's shell set to it."""
    use(account, monkeypatch, account.emulator.administrator)
    monkeypatch.setattr(cli, "BUILD", build := tmp_path / "build")
    monkeypatch.setattr(f"{__name__}.REPORT", build / "verify.json")
    monkeypatch.setattr(aws, "POLL_S", 0.05)
    monkeypatch.setattr(aws, "SETTLE_S", 0.0)
    monkeypatch.setattr(trials, "SETTLE_S", 0.1)
    account.move(VIP, "ec2vip-a")
    account.calls.clear()
    yield account
    account.emulator.ssm_agents.clear()
    states = {name: node["State"]["Name"] for name, node in account.instances().items()}
    assert states == dict.fromkeys(NODES, "running")


def use(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, key: tuple[str, str]) -> None:
    """Let this process's environment be the shell of a user with that access key."""
    for name, value in cloud.stack("dev", key=key).environment.items():
        monkeypatch.setenv(name, value)
    for name in ("STACK", "PROBE", "YES", "JSON", "LAB", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def failing_over(cloud: Cloud, action: str) -> Iterator[None]:
    """Move the VIP to the second node once the API is asked for `action`."""
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
    return cli.run(drill.app, ["verify", "--stack", "dev", *words])


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REPORT.read_text())
    return found


def changes(cloud: Cloud) -> list[str]:
    """The calls since the test began that did more than look."""
    return [c for c in cloud.calls if not c.split(":")[1].startswith(("Describe", "Get"))]


def test_a_reboot_is_measured_by_when_ec2_shows_the_move(pair: Cloud) -> None:
    with failing_over(pair, "RebootInstances"):
        assert verify("--yes", "--only", "reboot") == 0
    report = written()
    a, b = (pair.instances()[name]["InstanceId"] for name in NODES)
    (trial,) = report["trials"]
    assert (report["stack"], report["cloud"], report["passed"]) == ("dev", "aws", True)
    assert (trial["holder_before"], trial["holder_after"]) == (a, b)
    assert trial["outage_s"] == trial["recovered_s"] > 0
    assert "API-visible move time" in trial["detail"]


def test_a_loss_of_power_is_a_stop_that_skips_the_system_and_ends_with_a_start(pair: Cloud) -> None:
    with failing_over(pair, "StopInstances"):
        assert verify("--yes", "--only", "power-loss") == 0
    assert changes(pair) == [
        "ec2:StopInstances",
        "ec2:AssignPrivateIpAddresses",  # by the test
        "ec2:StartInstances",
    ]


def test_without_ssm_the_trials_that_need_a_shell_are_skipped_and_say_why(pair: Cloud) -> None:
    with failing_over(pair, "RebootInstances"):
        assert verify("--yes", "--only", "reboot", "--only", "stop-corosync") == 0
    skipped = written()["trials"][1]
    assert (skipped["name"], skipped["passed"], skipped["outage_s"]) == ("stop-corosync", None, None)
    assert "SSM does not reach" in skipped["detail"]


def test_a_verify_in_which_every_trial_was_skipped_has_proved_nothing(pair: Cloud) -> None:
    assert verify("--yes", "--only", "stop-corosync") == 1
    assert written()["passed"] is False


def test_a_holder_that_never_changes_fails_the_trial(pair: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MOVE_LIMIT_S", 0.5)
    assert verify("--yes", "--only", "reboot") == 1
    (trial,) = written()["trials"]
    assert trial["passed"] is False
    assert "still holds the VIP" in trial["detail"]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_touched_unless_the_user_says_yes(
    answer: str, pair: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert verify() == 1
    asked = capsys.readouterr().err
    assert changes(pair) == []
    assert not REPORT.exists()
    node = pair.instances()["ec2vip-a"]["InstanceId"]
    for shown in ("'dev'", pair.emulator.account_id, REGION, VIP, node, "trials: reboot, power-loss;"):
        assert shown in asked
    assert "nothing was touched" in asked


def test_a_yes_at_the_question_goes_on(pair: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with failing_over(pair, "RebootInstances"):
        assert verify("--only", "reboot") == 0


def test_ctrl_c_leaves_a_report_and_the_instance_on(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_power = AwsCloud.cut_power

    def interrupted(cloud: AwsCloud, instance_id: str) -> None:
        cut_power(cloud, instance_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(AwsCloud, "cut_power", interrupted)
    assert verify("--yes", "--only", "power-loss") == cli.INTERRUPTED
    (trial,) = written()["trials"]
    assert (trial["passed"], trial["detail"]) == (False, "interrupted")
    assert changes(pair) == ["ec2:StopInstances", "ec2:StartInstances"]
    node = pair.instances()["ec2vip-a"]["InstanceId"]
    assert f"aws ec2 start-instances --instance-ids {node}" in capsys.readouterr().err


@contextlib.contextmanager
def verifying() -> Iterator[subprocess.Popen[str]]:
    """A process of its own that breaks the holder's power, with its report where the test looks for it."""
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_report_and_the_instance_on(number: signal.Signals, pair: Cloud) -> None:
    stopped = pair.reached("ec2:StopInstances")
    with verifying() as process:
        assert stopped.wait(120), "nothing was broken"
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number, said
    assert changes(pair) == ["ec2:StopInstances", "ec2:StartInstances"]
    (trial,) = written()["trials"]
    assert (trial["passed"], trial["detail"]) == (False, "interrupted")
    assert "interrupted; a lab goes on" in said


def test_a_closed_terminal_that_takes_no_more_words_still_heals(pair: Cloud) -> None:
    stopped = pair.reached("ec2:StopInstances")
    with verifying() as process:
        assert stopped.wait(120), "nothing was broken"
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(120) == 128 + signal.SIGHUP
    assert changes(pair) == ["ec2:StopInstances", "ec2:StartInstances"]


def test_a_second_signal_is_answered_and_the_healing_goes_on(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, may_stop = pair.guests.stop, threading.Event()

    def slowly(instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        may_stop.wait(120)
        stop(instance_id, force=force, skip_os_shutdown=skip_os_shutdown)

    monkeypatch.setattr(pair.guests, "stop", slowly)
    stopped = pair.reached("ec2:StopInstances")
    try:
        with verifying() as process:
            assert stopped.wait(120), "nothing was broken"
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            said = ""
            while "bringing i-" not in said:
                said += (line := process.stdout.readline())
                assert line, f"it ended before it healed: {said}"
            process.send_signal(signal.SIGTERM)
            while "SIGTERM: what was broken is being brought back" not in said:
                said += (line := process.stdout.readline())
                assert line, f"the second signal ended it: {said}"
            may_stop.set()
            process.communicate(timeout=120)
    finally:
        may_stop.set()
    assert process.returncode == 128 + signal.SIGTERM
    assert changes(pair) == ["ec2:StopInstances", "ec2:StartInstances"]


def answering_agents(cloud: Cloud, ran: list[str]) -> None:
    """Let every node's SSM agent carry out what the drill says; Corosync's stop moves the VIP."""

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


def test_with_ssm_commands_reach_the_node_that_holds_the_vip(pair: Cloud) -> None:
    ran: list[str] = []
    answering_agents(pair, ran)
    assert verify("--yes", "--only", "kill-pacemakerd", "--only", "stop-corosync") == 0
    assert ran == [
        "ec2vip-a: systemctl kill --kill-who=main --signal=KILL pacemaker",
        "ec2vip-a: systemctl stop corosync",
        "ec2vip-a: systemctl start corosync pacemaker",
    ]


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
    )  # while nobody can look into the nodes
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
    """The VIP is well on the first node, and nobody can look into the second: its console says it."""
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


def test_a_probe_that_gets_no_answer_keeps_the_trial_from_breaking_anything(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "WHOLE_LIMIT_S", 0.0)
    assert verify("--yes", "--only", "reboot", "--probe", "false") == 1
    assert "does not answer the client" in written()["trials"][0]["detail"]
    assert changes(pair) == []


@pytest.mark.skipif(shutil.which("ping") is None, reason="ping (iputils) is not installed")
def test_the_probe_runs_behind_the_words_that_the_user_gives(pair: Cloud, tmp_path: Path) -> None:
    """A bastion that pings itself in place of the VIP, which nobody has here."""
    bastion = tmp_path / "bastion"
    bastion.write_text(
        "#!/usr/bin/env python3\nimport os, sys\nwords = sys.argv[2:-1] + ['127.0.0.1']\n"
        f"assert sys.argv[1:] and sys.argv[-1] == {VIP!r}\nos.execvp(words[0], words)\n"
    )
    bastion.chmod(0o755)
    with failing_over(pair, "RebootInstances"):
        assert verify("--yes", "--only", "reboot", "--probe", f"{bastion} 'a host'") == 0
    (trial,) = written()["trials"]
    assert trial["detail"].endswith("pings lost")


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
