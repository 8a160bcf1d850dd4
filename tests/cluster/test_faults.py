"""The fault catalogue on the lab: a few rows that no other test has, and two changes of the product that named rows
must not forgive. `make faults` runs them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.cluster.conftest import command
from tests.cluster.story import Story
from tests.drill.fault_rows import ROWS
from tests.drill.pair import Pair
from tests.drill.row import Outcome, run_row
from tests.lab.lab import Lab
from tests.lab.paths import BUILD

AGENT = "/usr/lib/ocf/resource.d/heartbeat/ec2vip"
RULE, BROKEN = "        except UnansweredError as error:\n", ""
NOT_KNOWING = ("imds-down-and-api-throttled", "imds-down-and-api-down")
SHORT = "10s"
"""A failure-timeout for a test that can't wait a minute."""


def run(name: str, lab: Lab, pair: Pair) -> Outcome:
    return run_row(ROWS[name], lab, pair, progress=print)


@pytest.mark.parametrize(
    "name", ["stall-shorter-than-token", "kill-corosync", "packet-loss-5", "disk-full-at-crash"]
)
def test_the_pair_comes_through(name: str, lab: Lab, pair: Pair) -> None:
    outcome = run(name, lab, pair)
    assert outcome.passed, outcome.detail


def test_two_minutes_at_random_leave_a_whole_pair(pair: Pair) -> None:
    done = command("soak", "--minutes", "1", "--seed", "8")
    assert done.returncode == 0, done.stderr
    written = json.loads((BUILD / "soak.json").read_text())
    assert written["passed"]
    assert written["seed"] == 8
    assert written["steps"]
