"""Rows of the fault catalogue on the lab that no other test runs, and two defects that rows must detect.

`make faults` runs all rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.cluster.conftest import command
from tests.drill.fault_rows import ROWS
from tests.drill.pair import Pair
from tests.drill.row import Outcome, run_row
from tests.lab.lab import Lab
from tests.lab.paths import BUILD

RULES = "/usr/lib/ocf/lib/ec2vip/agent/rules.py"
DEFAULTS = ("pcs", "resource", "defaults", "update")
FAILURE_TIMEOUT = "60s"
SHORT = "20s"
"""A failure-timeout for tests that cannot wait a minute. A pair with it easily keeps SHORT_BOUND_S."""
SHORT_BOUND_S = 100.0


def run(name: str, lab: Lab, pair: Pair) -> Outcome:
    return run_row(ROWS[name], lab, pair, progress=print)


@pytest.mark.parametrize("name", ["stall-shorter-than-token", "kill-corosync", "disk-full-at-crash"])
def test_the_pair_comes_through(name: str, lab: Lab, pair: Pair) -> None:
    outcome = run(name, lab, pair)
    assert outcome.passed, outcome.detail


@pytest.mark.parametrize("kind", ["faults", "kills"])
def test_a_minute_at_random_leaves_a_whole_pair(kind: str, pair: Pair) -> None:
    done = command("soak", "--kind", kind, "--minutes", "1", "--seed", "8", of="drill")
    assert done.returncode == 0, done.stderr
    written = json.loads((BUILD / "soak.json").read_text())
    assert written["passed"]
    assert written["seed"] == 8
    assert written["steps"]


@pytest.fixture
def short_memory(lab: Lab, pair: Pair) -> Iterator[None]:
    """Failures expire after SHORT, and the cluster looks as often. At the end we restore both settings."""
    recheck = "cluster-recheck-interval"
    lab.run_in(pair.node_ids[0], [*DEFAULTS, f"failure-timeout={SHORT}"])
    lab.run_in(pair.node_ids[0], ["pcs", "property", "set", f"{recheck}={SHORT}"])
    yield
    pair.wait_until_whole(180)
    lab.run_in(pair.node_ids[0], [*DEFAULTS, f"failure-timeout={FAILURE_TIMEOUT}"])
    lab.run_in(pair.node_ids[0], ["pcs", "property", "set", f"{recheck}={FAILURE_TIMEOUT}"])


@pytest.mark.usefixtures("short_memory")
def test_a_partition_that_outlasts_every_failure_costs_one_move(lab: Lab, pair: Pair) -> None:
    """Like `make faults ONLY=partition-corosync-long`, with all times shorter but the agent's patience."""
    row = replace(ROWS["partition-corosync-long"], lasts_s=4 * float(SHORT.rstrip("s")))
    outcome = run_row(row, lab, pair, progress=print)
    assert outcome.passed, outcome.detail


@pytest.fixture
def mended(lab: Lab, pair: Pair) -> Iterator[None]:
    """At the end, restore agent and settings, and clear all failures: no test waits a minute for that."""
    for node in pair.node_ids:
        lab.run_in(node, ["cp", "-p", RULES, "/run/ec2vip.kept"])
    yield
    for node in pair.node_ids:
        lab.run_in(node, ["cp", "-p", "/run/ec2vip.kept", RULES])
    lab.run_in(pair.node_ids[0], [*DEFAULTS, f"failure-timeout={FAILURE_TIMEOUT}"])
    lab.run_in(pair.node_ids[0], ["crm_resource", "--cleanup"])
    pair.wait_until_whole(180)


@pytest.mark.usefixtures("mended")
def test_an_agent_that_takes_not_knowing_for_not_running_fails_its_row(lab: Lab, pair: Pair) -> None:
    for node in pair.node_ids:
        lab.run_in(node, ["sed", "-i", "s/return self._unconfirmed(.*/return NOT_RUNNING/", RULES])
        assert "return self._unconfirmed(" not in lab.run_in(node, ["cat", RULES]).stdout
    # Long enough for the agent's monitor, stop and start to give up one after the other. A fault that ends
    # before costs no client anything, because a throttled stop leaves the VIP where it is.
    row = replace(ROWS["imds-down-and-api-throttled"], lasts_s=100)
    outcome = run_row(row, lab, pair, progress=print)
    assert not outcome.passed
    # Which of these expectations fails first depends on when the monitors run.
    broken = ("it must stay", "the VIP moved", "did not answer the client")
    assert any(words in outcome.detail for words in broken), outcome.detail


@pytest.mark.usefixtures("mended")
def test_a_pair_without_a_failure_timeout_fails_its_row(lab: Lab, pair: Pair) -> None:
    """First we set a short one, to show that a pair with a timeout can keep the bound."""
    row = replace(ROWS["failures-on-each"], within_s=SHORT_BOUND_S)
    lab.run_in(pair.node_ids[0], [*DEFAULTS, f"failure-timeout={SHORT}"])
    outcome = run_row(row, lab, pair, progress=print)
    assert outcome.passed, outcome.detail
    lab.run_in(pair.node_ids[0], [*DEFAULTS, "failure-timeout="])
    outcome = run_row(row, lab, pair, progress=print)
    assert not outcome.passed
    assert "did not answer the client" in outcome.detail
