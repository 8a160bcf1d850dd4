"""`make verify STACK=dev`: the real command, the real `pulumi`, an emulated account.

No cluster runs here. A thread of the test does its part and moves the VIP off a node that breaks.
"""

from __future__ import annotations

import io
import shutil
import signal
import threading
from pathlib import Path

import pytest

from tests.drill import aws, trials
from tests.drill.aws import AwsCloud
from tests.lab import cli

from . import drill
from .cloud import REGION, Cloud
from .drill import NODES, VIP, answering_agents, changes, failing_over, verify, verifying, written


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
    assert not drill.REPORT.exists()
    node = pair.instances()["ec2vip-a"]["InstanceId"]
    for shown in ("'dev'", pair.emulator.account_id, REGION, VIP, node, "trials: reboot, power-loss;"):
        assert shown in asked
    assert "nothing was changed" in asked


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
    assert "interrupted; continue with `make up`" in said


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
            while "SIGTERM: repairing what is broken" not in said:
                said += (line := process.stdout.readline())
                assert line, f"the second signal ended it: {said}"
            may_stop.set()
            process.communicate(timeout=120)
    finally:
        may_stop.set()
    assert process.returncode == 128 + signal.SIGTERM
    assert changes(pair) == ["ec2:StopInstances", "ec2:StartInstances"]


def test_with_ssm_commands_reach_the_node_that_holds_the_vip(pair: Cloud) -> None:
    ran: list[str] = []
    answering_agents(pair, ran)
    assert verify("--yes", "--only", "kill-pacemakerd", "--only", "stop-corosync") == 0
    assert ran == [
        "ec2vip-a: systemctl kill --kill-who=main --signal=KILL pacemaker",
        "ec2vip-a: systemctl stop corosync",
        "ec2vip-a: systemctl start corosync pacemaker",
    ]


def test_a_probe_that_gets_no_answer_keeps_the_trial_from_breaking_anything(
    pair: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "WHOLE_LIMIT_S", 0.0)
    assert verify("--yes", "--only", "reboot", "--probe", "false") == 1
    assert "does not answer the client" in written()["trials"][0]["detail"]
    assert changes(pair) == []


@pytest.mark.skipif(shutil.which("ping") is None, reason="ping (iputils) is not installed")
def test_the_probe_runs_behind_the_words_that_the_user_gives(pair: Cloud, tmp_path: Path) -> None:
    """The bastion pings itself, because nothing has the VIP here."""
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
