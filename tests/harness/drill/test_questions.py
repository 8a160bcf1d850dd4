"""What only AWS can answer is asked of it and of the lab, and leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.aws.emulator import Emulator, Settings
from tests.drill.prove.questions import ASKED, QUESTIONS, SUCCESS, Answer, ask_all
from tests.lab.paths import PROJECT

TAGS = ({"Key": "ec2vip:prove", "Value": "a-run"},)
SAME_ENI = ["assign what the interface has already", "the same without AllowReassignment"]


@dataclass
class Account:
    """An account that stands for the user's: its emulator, a client, a subnet."""

    emulator: Emulator
    ec2: Any
    subnet: str

    def ask(self) -> dict[str, Answer]:
        return {answer.question.name: answer for answer in ask_all(self.ec2, self.subnet, TAGS)}


@pytest.fixture
def account() -> Iterator[Account]:
    emulator = Emulator(settings=Settings(throttle=False))
    key, secret = emulator.administrator
    ec2 = boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=emulator.serve("127.0.0.1").url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=ASKED,
    )
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    yield Account(emulator, ec2, subnet)
    emulator.close()


@pytest.mark.parametrize("does", ["success", "error"])
def test_an_answer_that_differs_from_the_labs_is_a_finding_with_its_switch(
    account: Account, does: Literal["success", "error"]
) -> None:
    account.emulator.settings.same_eni_reassign = does
    answers = account.ask()
    for name in SAME_ENI:
        answer = answers[name]
        assert (answer.said == SUCCESS) is (does == "success")
        assert answer.lab == SUCCESS
        assert answer.same_code is (does == "success")
        assert answer.question.switch == "same_eni_reassign"


def test_the_texts_of_two_accounts_are_alike_but_for_what_differs(account: Account) -> None:
    """The lab's own account has other ids and addresses, and one subnet of the same CIDR."""
    answers = account.ask()
    assert list(answers) == [question.name for question in QUESTIONS]
    assert {answer.question.name for answer in answers.values() if answer.said != answer.lab} == set()
    assert not [answer.said for answer in answers.values() if re.search(r"eni-[0-9a-f]{17}", answer.said)]


def test_nothing_is_left_and_what_is_made_has_the_runs_tag(account: Account) -> None:
    account.ask()
    assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    made: list[Any] = []
    create = account.ec2.create_network_interface

    def noted(**asked: Any) -> Any:
        made.append(asked["TagSpecifications"])
        return create(**asked)

    account.ec2.create_network_interface = noted
    account.ask()
    assert made == [[{"ResourceType": "network-interface", "Tags": list(TAGS)}]] * 2


def test_a_second_interface_that_is_refused_takes_the_first_with_it(account: Account) -> None:
    create, calls = account.ec2.create_network_interface, iter([None, "refused"])

    def second_refused(**asked: Any) -> Any:
        if next(calls):
            raise ClientError({"Error": {"Code": "NetworkInterfaceLimitExceeded"}}, "CreateNetworkInterface")
        return create(**asked)

    account.ec2.create_network_interface = second_refused
    with pytest.raises(ClientError, match="NetworkInterfaceLimitExceeded"):
        account.ask()
    assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_every_question_settles_a_row_of_the_fidelity_table() -> None:
    table = (PROJECT / "tests/lab/README.md").read_text()
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert {question.row for question in QUESTIONS} - rows == set()
