"""What a run of `prove` leaves is found by its tag alone and removed, however it ended."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.drill.prove import leftovers
from tests.drill.prove.leftovers import TAG, Clients

from .cloud import Cloud, end

RUN = "20261127-1"
SETTINGS = {"tags": {TAG: RUN}, "endpoints": True, "platform": "al2023", "readyTimeoutMinutes": 0}


@pytest.fixture
def clients(fresh_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setattr(leftovers, "POLL_S", 0.05)
    monkeypatch.setattr(leftovers, "LIMIT_S", 60.0)
    return Clients(fresh_cloud.ec2, fresh_cloud.iam, fresh_cloud.ssm)


def nothing(text: str) -> None:
    """Takes progress."""


def parameters(clients: Clients) -> set[str]:
    """The names of the account's own parameters."""
    pages = clients.ssm.get_paginator("describe_parameters").paginate()
    names = {str(each["Name"]) for page in pages for each in page["Parameters"]}
    return {name for name in names if not name.startswith("/aws/")}


def test_everything_of_a_whole_stack_is_found_and_removed_and_nothing_else(
    fresh_cloud: Cloud, clients: Clients
) -> None:
    others: dict[str, Any] = {"tags": {TAG: "another"}, "readyTimeoutMinutes": 0}
    fresh_cloud.stack("dev", settings=others).up("--skip-preview")
    before, had = fresh_cloud.inventory(), parameters(clients)
    fresh_cloud.stack(settings=SETTINGS).up("--skip-preview")
    assert parameters(clients) != had
    said: list[str] = []
    leftovers.remove(clients, RUN, said.append)
    assert fresh_cloud.inventory() == before
    assert leftovers.found(clients, RUN) == {}
    assert any(words.startswith("removing VPC vpc-") for words in said)
    assert parameters(clients) == had


@pytest.mark.parametrize("action", ["ec2:CreateSubnet", "iam:CreateRole", "ec2:RunInstances"])
def test_what_a_killed_up_leaves_is_removed(action: str, fresh_cloud: Cloud, clients: Clients) -> None:
    stack = fresh_cloud.stack(settings=SETTINGS)
    reached = fresh_cloud.reached(action)
    running = stack.begin_up()
    assert reached.wait(120)
    running.send_signal(signal.SIGKILL)
    end(running)
    leftovers.remove(clients, RUN, nothing)
    assert fresh_cloud.leftovers() == {}


def test_what_is_not_allowed_is_said_and_not_passed_over(fresh_cloud: Cloud, clients: Clients) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]}
    key = fresh_cloud.user("half", json.dumps(policy))
    half = Clients(*(fresh_cloud.client(service, key) for service in ("ec2", "iam", "ssm")))
    with pytest.raises(Exception, match="iam:ListInstanceProfiles"):
        leftovers.found(half, RUN)
