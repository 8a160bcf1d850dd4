"""`make prove STACK=local`, as a user runs it: real nodes and clients, reached by Run Command alone.

The lab is given times of its own first, and the report must show them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import WORKER, command
from tests.cluster.labs import own_lab
from tests.drill.prove import report
from tests.drill.prove.report import CALL, MEASURES, Report
from tests.drill.trials import TRIALS
from tests.lab.amis import Image
from tests.lab.cli import in_build
from tests.lab.lab import Lab

NAME = f"prove-tests{WORKER}"
DELAYS = {"api_delay_s": 0.4, "read_delay_s": 0.1, "route_delay_s": 0.8, "describe_lag_s": 0.6}
LIMIT_S = 1500
"""A run takes some seven minutes on a quiet machine."""


@pytest.fixture
def account(machine: None) -> Iterator[Lab]:
    """A lab with times of its own and nothing in it."""
    with own_lab(NAME) as lab:
        lab.up(images=(Image("debian12", baked=True),))
        lab.ask("set-delays", **DELAYS)
        yield lab


def in_ec2(lab: Lab) -> dict[str, int]:
    """How many of each kind the account has that a run makes."""
    ec2 = lab.client()
    live = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    found: dict[str, list[Any]] = {
        "instances": ec2.describe_instances(Filters=live)["Reservations"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "networks": ec2.describe_vpcs()["Vpcs"],
        "subnets": ec2.describe_subnets()["Subnets"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "roles": lab.client("iam").list_roles()["Roles"],
    }
    return {kind: len(each) for kind, each in found.items()}


@pytest.mark.timeout(LIMIT_S)
def test_a_run_on_a_lab_shows_the_labs_own_times_and_leaves_nothing(account: Lab) -> None:
    before = in_ec2(account)
    ended = command("prove", of="drill", lab=NAME, timeout_s=LIMIT_S - 60, STACK="local", YES="1", RUNS="2")
    assert ended.returncode == 0, ended.stderr
    found: Report = report.read(in_build("prove.json"))
    assert found.cloud == "a lab"
    assert [result.name for result in found.results if result.passed] == [trial.name for trial in TRIALS]
    assert [result.name for result in found.results if result.outage_s is None] == []
    taken = {measure.name: measure for measure in found.measures}
    assert taken.keys() == set(MEASURES)
    without = {name for name, measure in taken.items() if not measure.values}
    # A lab's guest can't crash its kernel, and a Corosync that was never late has nothing to tell.
    assert without <= {"stop by force without the system's shutdown, hung", "Corosync was not scheduled for"}
    # The lab counts its delays from the call's effect, a client from the answer: so we compare their sums.
    for name, setting in (
        (f"{CALL}: until Describe shows it", "describe_lag_s"),
        (f"{CALL}: until a client in the same subnet hears the new node", "route_delay_s"),
        (f"{CALL}: until a client in another subnet hears the new node", "route_delay_s"),
    ):
        for call, seen in zip(taken[f"{CALL}: the call"].values, taken[name].values, strict=True):
            assert call + seen >= DELAYS["api_delay_s"] + DELAYS[setting], name
    assert min(taken["DescribeNetworkInterfaces: the call"].values) >= DELAYS["read_delay_s"]
    assert in_ec2(account) == before
    text = json.dumps(found.to_json())
    assert account.client("sts").get_caller_identity()["Account"] not in text
