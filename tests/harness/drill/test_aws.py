from __future__ import annotations

import json
from typing import Any

import pytest

import tests.drill.aws as aws
from infra.pair import NODE_IDS, VIP
from infra.tags import PAIR, full_name
from tests.drill.aws import AwsCloud, aws_errors, drill_policy, main
from tests.lab.errors import LabError
from tests.unit.infra.policy_rules import as_list, problems


class NotThereError(Exception):
    pass


class Ssm:
    """SSM whose node gives `answers` in their order; the first look always comes too early."""

    class exceptions:  # noqa: N801 (boto3's name)
        class InvalidInstanceId(Exception):  # noqa: N818 (boto3's name)
            pass

        InvocationDoesNotExist = NotThereError

    def __init__(self, online: list[str], *answers: dict[str, Any]) -> None:
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

    def get_command_invocation(self, **_: Any) -> dict[str, Any]:
        self.looks += 1
        if self.looks == 1:
            raise NotThereError
        return self.answers.pop(0)


class Ec2:
    """One instance in a given state; records the calls."""

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
        {"Status": "InProgress", "ResponseCode": -1, "StandardOutputContent": ""},
        {"Status": "Success", "ResponseCode": 0, "StandardOutputContent": "hello\n"},
    )
    assert cloud(ssm).run_on("i-a", ["printf", "%s\n", "it's"]) == "hello\n"
    (sent,) = ssm.sent
    assert sent["Parameters"]["commands"] == ["printf '%s\n' 'it'\"'\"'s'"]


@pytest.mark.parametrize("status", ["Failed", "TimedOut", "Cancelled", "Undeliverable"])
def test_a_command_that_did_not_succeed_has_no_output(status: str) -> None:
    ssm = Ssm(["i-a", "i-b"], {"Status": status, "ResponseCode": 1, "StandardOutputContent": "half"})
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


ACCOUNT = "123456789012"


def test_only_the_stacks_own_nodes_can_be_broken_under_the_policy() -> None:
    for statement in drill_policy(ACCOUNT, "eu-west-1", "prod")["Statement"]:
        reads = all(a.split(":")[1].startswith(("Describe", "Get")) for a in as_list(statement["Action"]))
        tags = {v for keys in statement.get("Condition", {}).values() for v in keys.values()}
        own = tags == {full_name("ec2vip", "prod", "ec2vip")}
        assert own or reads or statement["Resource"].endswith("::document/AWS-RunShellScript")


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_aws_has_what_the_policy_names(partition: str) -> None:
    policy = drill_policy(ACCOUNT, "eu-west-1", "prod", partition=partition)
    assert list(problems([policy], never={})) == []
    arns = [part for part in json.dumps(policy).split('"') if part.startswith("arn:")]
    assert {arn.split(":")[1] for arn in arns} == {partition}


def test_the_policy_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([ACCOUNT, "cn-north-1", "prod", "--pair", "mail"]) == 0
    expected = drill_policy(ACCOUNT, "cn-north-1", "prod", pair="mail", partition="aws-cn")
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("words", [[], ["1234", "eu-west-1", "prod"], [ACCOUNT, "eu-west", "prod"]])
def test_wrong_words_are_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_missing_credentials_come_with_their_remedy() -> None:
    from botocore.exceptions import NoCredentialsError

    with pytest.raises(LabError, match=r"no AWS credentials.*AWS_PROFILE"), aws_errors():
        raise NoCredentialsError
