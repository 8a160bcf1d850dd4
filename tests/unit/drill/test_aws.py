from __future__ import annotations

import json
from typing import Any

import pytest

import tests.drill.aws as aws
from infra.pair import NODE_IDS, VIP
from infra.tags import PAIR
from tests.drill.aws import AwsCloud, aws_errors, drill_policy, main
from tests.lab.errors import LabError


class NotThereError(Exception):
    pass


class Ssm:
    """SSM with a node that answers in `answers`' order; the first look is always too early."""

    class exceptions:  # noqa: N801 (boto3's name)
        class InvalidInstanceId(Exception):  # noqa: N818 (boto3's name)
            pass

        InvocationDoesNotExist = NotThereError

    def __init__(self, online: list[str], *answers: dict[str, str]) -> None:
        self.online, self.answers = online, [*answers]
        self.sent: list[dict[str, Any]] = []
        self.looks = 0

    def describe_instance_information(self, **_: Any) -> dict[str, Any]:
        lost = {"InstanceId": "i-b", "PingStatus": "ConnectionLost"}
        return {
            "InstanceInformationList": [{"InstanceId": k, "PingStatus": "Online"} for k in self.online]
            + [lost]
        }

    def send_command(self, **words: Any) -> dict[str, Any]:
        if words["InstanceIds"][0] not in self.online:
            raise self.exceptions.InvalidInstanceId
        self.sent.append(words)
        return {"Command": {"CommandId": "c-1"}}

    def get_command_invocation(self, **_: Any) -> dict[str, str]:
        self.looks += 1
        if self.looks == 1:
            raise NotThereError
        return self.answers.pop(0)


class Ec2:
    """One instance in a state; what is called is kept."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.calls: list[tuple[str, Any]] = []

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        return {"Reservations": [{"Instances": [{"State": {"Name": self.state}}]}]}

    def stop_instances(self, **words: Any) -> None:
        self.calls.append(("stop", words))

    def start_instances(self, **words: Any) -> None:
        self.calls.append(("start", words))

    def get_waiter(self, name: str) -> Ec2:
        return self

    def wait(self, **_: Any) -> None:
        self.calls.append(("wait", {}))


class Sts:
    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}


class Session:
    region_name = "us-east-1"

    def __init__(self, ssm: Ssm, ec2: Ec2) -> None:
        self._clients = {"ssm": ssm, "ec2": ec2, "sts": Sts()}

    def client(self, name: str, **_: Any) -> Any:
        return self._clients[name]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "POLL_S", 0.0)


def cloud(ssm: Ssm | None = None, ec2: Ec2 | None = None) -> AwsCloud:
    session: Any = Session(ssm or Ssm(["i-a", "i-b"]), ec2 or Ec2("running"))
    return AwsCloud(session, ["i-a", "i-b"])


def test_a_command_goes_through_the_shell_as_it_was_said() -> None:
    ssm = Ssm(
        ["i-a", "i-b"],
        {"Status": "InProgress", "StandardOutputContent": ""},
        {"Status": "Success", "StandardOutputContent": "hello\n"},
    )
    assert cloud(ssm).run_on("i-a", ["printf", "%s\n", "it's"]) == "hello\n"
    (sent,) = ssm.sent
    assert sent["Parameters"]["commands"] == ["printf '%s\n' 'it'\"'\"'s'"]


@pytest.mark.parametrize("status", ["Failed", "TimedOut", "Cancelled", "Undeliverable"])
def test_a_command_that_did_not_succeed_has_no_output(status: str) -> None:
    ssm = Ssm(["i-a", "i-b"], {"Status": status, "StandardOutputContent": "half"})
    assert cloud(ssm).run_on("i-a", ["true"]) is None


def test_one_node_that_ssm_does_not_reach_leaves_the_pair_without_a_shell() -> None:
    ssm = Ssm(["i-a"])
    half = cloud(ssm)
    assert "SSM does not reach i-b" in half.reach.no_shell
    assert half.run_on("i-a", ["true"]) is None
    assert ssm.sent == []


def test_a_node_that_nobody_can_look_into_is_given_time_to_boot() -> None:
    assert cloud(Ssm([])).reach.settle_s > 0
    assert cloud().reach.settle_s == 0


def test_the_power_is_cut_without_the_systems_shutdown() -> None:
    ec2 = Ec2("running")
    cloud(ec2=ec2).cut_power("i-a")
    assert ec2.calls == [("stop", {"InstanceIds": ["i-a"], "Force": True, "SkipOsShutdown": True})]


@pytest.mark.parametrize(
    ("state", "calls"), [("stopping", ["wait", "start"]), ("stopped", ["start"]), ("running", [])]
)
def test_the_power_comes_back_in_whichever_state_the_instance_is(state: str, calls: list[str]) -> None:
    ec2 = Ec2(state)
    cloud(ec2=ec2).restore_power("i-a")
    assert [name for name, _ in ec2.calls] == calls


def test_describe_calls_are_at_least_half_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert cloud().reach.poll_s >= 0.5


def test_names_are_those_that_the_program_exports() -> None:
    assert (aws.VIP, aws.NODE_IDS, aws.PAIR) == (VIP, NODE_IDS, PAIR)


def test_only_the_pairs_own_nodes_can_be_broken_under_the_policy() -> None:
    for statement in drill_policy("123456789012", "eu-west-1")["Statement"]:
        actions = statement["Action"]
        reads = all(a.split(":")[1].startswith(("Describe", "Get")) for a in _list(actions))
        tagged = "ec2vip:pair" in json.dumps(statement.get("Condition", {}))
        assert reads or tagged or statement["Resource"].endswith("::document/AWS-RunShellScript")


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_policy_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "123456789012", "eu-west-1"]) == 0
    assert json.loads(capsys.readouterr().out) == drill_policy("123456789012", "eu-west-1")
    assert main(["policy"]) == 2


def test_missing_credentials_come_with_their_remedy() -> None:
    from botocore.exceptions import NoCredentialsError

    with pytest.raises(LabError, match=r"no AWS credentials.*AWS_PROFILE"), aws_errors():
        raise NoCredentialsError
