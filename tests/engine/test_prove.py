"""`make prove STACK=dev`: the real command, the real `pulumi`, an emulated account of AWS or of another partition.

The nodes' image has no SSM agent here, so nobody is asked but EC2; tests/cluster/test_prove.py has clients.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.drill import __main__ as drill_commands
from tests.drill import aws, trials
from tests.drill.prove import leftovers, run, stack
from tests.lab import cli

from .cloud import ROOT, Cloud, end
from .drill import use
from .test_prove_permissions import limited


@pytest.fixture
def east(fresh_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An account in us-east-1, in which this process's environment has every right."""
    ready(fresh_cloud, fresh_cloud.emulator.administrator, tmp_path, monkeypatch)
    return fresh_cloud


def ready(
    cloud: Cloud, key: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boundary: str = ""
) -> None:
    """Make this process's environment that of a user with the access key; let nothing wait for long."""
    use(cloud, monkeypatch, key)
    monkeypatch.setattr(cli, "BUILD", tmp_path / "build")
    chosen = settings(cloud, boundary)
    monkeypatch.setattr(run, "settings_of", lambda name: chosen)
    for module, name, seconds in (
        (aws, "POLL_S", 0.05),
        (aws, "SETTLE_S", 0.0),
        (trials, "SETTLE_S", 0.1),
        (leftovers, "POLL_S", 0.05),
        (run, "LATE_S", 0.1),
    ):
        monkeypatch.setattr(module, name, seconds)


def settings(cloud: Cloud, boundary: str = "") -> dict[str, Any]:
    """The settings of the stack dev, in the cloud's Region, with an image that has no SSM agent."""
    return {
        **stack.settings_of("dev"),
        "aws:region": cloud.region,
        "availabilityZone": f"{cloud.region}a",
        "platform": "debian12",
        **({"permissionsBoundary": boundary} if boundary else {}),
    }


def report(kind: str) -> Path:
    return cli.in_build(f"prove.{kind}")


def prove(*words: str) -> int:
    return cli.run(drill_commands.app, ["prove", "--stack", "dev", *words])


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report("json").read_text())
    return found


def proved(cloud: Cloud) -> None:
    """Run it all, and check that the report says so and the account is as before."""
    before = cloud.inventory()
    assert prove("--yes") == 0, report("md").read_text()
    found = written()
    assert [phase["name"] for phase in found["phases"] if not phase["passed"]] == []
    assert {trial["name"] for trial in found["trials"] if trial["passed"]} == {"reboot", "power-loss"}
    assert len(found["answers"]) > 10
    assert found["left"] == {}
    assert cloud.inventory() == before
    assert cloud.emulator.account_id not in report("json").read_text()
    assert list(cli.in_build("prove").iterdir()) == []


def test_a_whole_run_proves_the_pair_and_leaves_nothing(east: Cloud) -> None:
    proved(east)


@pytest.mark.usefixtures("managed_policies")
def test_it_does_so_in_another_partition_with_the_printed_policies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cloud(tmp_path, region="us-gov-west-1") as cloud:
        caller = limited(cloud, "aws-us-gov")
        ready(cloud, caller.key, tmp_path, monkeypatch, caller.boundary)
        proved(cloud)
        assert written()["partition"] == "aws-us-gov"


@pytest.mark.usefixtures("managed_policies")
@pytest.mark.parametrize(
    ("action", "failed"),
    [
        ("ec2:CreateSubnet", ["up: the pair is made"]),
        (
            "ec2:StopInstances",
            ["what AWS's own times are", "the holder is broken in every trial"],
        ),
    ],
)
def test_a_right_that_lacks_is_named_and_everything_goes(
    action: str, failed: list[str], fresh_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fresh_cloud.inventory()
    caller = limited(fresh_cloud, without=action)
    ready(fresh_cloud, caller.key, tmp_path, monkeypatch, caller.boundary)
    assert prove("--yes") == 1
    found = written()
    assert [phase["name"] for phase in found["phases"] if not phase["passed"]] == failed
    assert action in json.dumps(found["phases"]) + json.dumps(found["trials"])
    assert fresh_cloud.inventory() == before


def test_what_is_not_ready_is_said_before_anything_is_made(
    east: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, before = {**settings(east), "availabilityZone": "us-east-1z"}, east.inventory()
    monkeypatch.setattr(run, "settings_of", lambda name: bad)
    assert prove("--yes") == 1
    assert east.inventory() == before
    assert not report("json").exists()
    assert "us-east-1z" in capsys.readouterr().err


def test_nothing_is_made_unless_the_user_says_yes(
    east: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = east.inventory()
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert prove() == 1
    assert east.inventory() == before
    assert "nothing was changed" in capsys.readouterr().err


def test_a_phase_that_fails_is_in_the_report_and_everything_goes(east: Cloud) -> None:
    """The nodes never form a pair, so the up fails."""
    before = east.inventory()
    east.guests.fate = lambda instance: "no package has pacemaker"
    assert prove("--yes") == 1
    found = written()
    assert [phase["passed"] for phase in found["phases"]] == [False]
    assert "no package has pacemaker" in found["phases"][0]["detail"]
    assert east.inventory() == before


def begin(cloud: Cloud) -> subprocess.Popen[str]:
    """Start a run in a process of its own, with this process's patches where they matter."""
    build = str(report("json").parent)
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.lab import cli; from tests.drill import aws; from tests.drill.prove import run, leftovers\n"
        "from tests.drill.__main__ import app\n"
        f"cli.BUILD = Path({build!r})\n"
        "aws.POLL_S = leftovers.POLL_S = 0.05; aws.SETTLE_S = 0\n"
        f"run.settings_of = lambda name: {settings(cloud)!r}\n"
        "sys.exit(cli.run(app, ['prove', '--stack', 'dev', '--yes']))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


# The call that each phase is at, and the number of such calls up to it.
MOMENTS = {
    "up": ("ec2:RunInstances", 1),
    "questions": ("ec2:CreateNetworkInterface", 1),
    "trials": ("ec2:RebootInstances", 1),
    "destroy": ("ec2:DeleteSecurityGroup", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_run_leaves_is_removed_by_clean(
    moment: str, east: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    before = east.inventory()
    reached = east.reached(*MOMENTS[moment])
    process = begin(east)
    assert reached.wait(240), "the run did not get there"
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    assert prove("--clean", "--yes") == 0
    assert east.inventory() == before
    assert "removing VPC vpc-" in capsys.readouterr().err
    assert prove("--clean", "--yes") == 0
    assert "no run has left anything" in capsys.readouterr().err


def test_a_signal_removes_everything_and_says_so_in_the_report(east: Cloud) -> None:
    before = east.inventory()
    reached = east.reached("ec2:RebootInstances")
    process = begin(east)
    assert reached.wait(240), "the run did not get there"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert east.inventory() == before
    assert written()["interrupted"] == "by a signal"


@pytest.mark.usefixtures("managed_policies")
def test_lost_credentials_end_the_run_with_the_command_that_removes_the_rest(
    fresh_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fresh_cloud.inventory()
    caller = limited(fresh_cloud)
    ready(fresh_cloud, caller.key, tmp_path, monkeypatch, caller.boundary)
    reached = fresh_cloud.reached("ec2:RebootInstances")

    def lose() -> None:
        if reached.wait(240):
            fresh_cloud.iam.delete_access_key(UserName="prover", AccessKeyId=caller.key[0])

    losing = threading.Thread(target=lose)
    losing.start()
    assert prove("--yes") == 1
    losing.join()
    assert "make prove STACK=dev CLEAN=1" in capsys.readouterr().err
    assert written()["passed"] is False
    for name, value in zip(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), fresh_cloud.emulator.administrator, strict=True
    ):
        monkeypatch.setenv(name, value)
    assert prove("--clean", "--yes") == 0
    assert fresh_cloud.inventory() == before
