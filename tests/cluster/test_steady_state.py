"""While nothing happens, the nodes ask nothing of EC2, and nothing drifts."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from tests.cluster.agent_tools import api_calls
from tests.drill.clouds import lab_stack
from tests.drill.pair import Pair
from tests.drill.trials import TRIALS, run_trial
from tests.lab.lab import Lab

MONITOR_INTERVAL_S = 10
UPDATES = "apt-daily-upgrade.timer"
DAYS = 366
LOCAL = "/usr/local/share/ca-certificates/region.crt"


def test_the_nodes_call_no_ec2_api_while_nothing_happens(lab: Lab, pair: Pair) -> None:
    """We wait for three monitors. Their requests to the metadata service show that they ran."""
    since = time.monotonic()
    time.sleep(3 * MONITOR_INTERVAL_S + 1)
    assert api_calls(lab, since) == []
    assert len(lab.timeline.read("imds", since=since)) >= 2
    # The counter works: a planned move is at least one call.
    assert run_trial(TRIALS[1], pair, progress=print).passed
    assert "AssignPrivateIpAddresses" in api_calls(lab, since)


def test_pulumi_sees_no_change_after_the_vip_moved(lab: Lab, pair: Pair) -> None:
    before = pair.holder()
    assert run_trial(TRIALS[1], pair, progress=print).passed
    stack = lab_stack(lab)
    stack.refresh()
    assert stack.preview() == []
    stack.up()
    assert pair.holder() not in (None, before)
    assert pair.flaws() == []


def test_a_move_writes_to_no_log_but_the_journal_which_is_bounded(lab: Lab, pair: Pair) -> None:
    def sizes(node: str) -> str:
        words = ["find", "/var/log", "-type", "f", "-not", "-path", "*/journal/*", "-printf", "%p %s\\n"]
        return lab.run_in(node, words).stdout

    before = {node: sizes(node) for node in pair.node_ids}
    assert run_trial(TRIALS[1], pair, progress=print).passed
    assert {node: sizes(node) for node in pair.node_ids} == before
    for node in pair.node_ids:
        said = lab.run_in(node, ["journalctl", "--boot", "--identifier=systemd-journald"]).stdout
        assert re.search(r"System Journal .* max [0-9.]+[KMG]", said), said


def test_a_node_finds_the_apis_authority_by_its_hash(lab: Lab, pair: Pair) -> None:
    """As on Debian. Otherwise the agent first reads 140 others, longer than the rest of its call takes."""
    words = ["openssl", "verify", "-no-CAfile", "-no-CAstore", "-CApath", "/etc/ssl/certs", LOCAL]
    for node in pair.node_ids:
        assert lab.run_in(node, words).stdout.strip().endswith("OK")


def test_over_a_year_the_nodes_install_updates_half_a_day_apart(lab: Lab, pair: Pair) -> None:
    """The node's own systemd tells us the calendar. The lab's image masks the timer."""
    first, second = (updates(lab, node) for node in pair.node_ids)
    assert len(first) == len(second) == DAYS
    apart = min(abs(one - other) for one in first for other in second)
    assert apart >= timedelta(hours=11), "each is up to an hour late on purpose"


def updates(lab: Lab, node: str) -> list[datetime]:
    """The times at which the node's timer of updates elapses, over a year."""
    lab.run_in(node, ["systemctl", "unmask", UPDATES])
    try:
        shown = lab.run_in(node, ["systemctl", "show", "--property=TimersCalendar", UPDATES]).stdout
    finally:
        lab.run_in(node, ["systemctl", "mask", UPDATES])
    in_force = re.findall(r"OnCalendar=(.+?) ;", shown)
    words = ["systemd-analyze", "calendar", f"--iterations={DAYS}", "--base-time=2027-01-01", *in_force]
    moments = re.findall(r"(?:elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", lab.run_in(node, words).stdout)
    return [datetime.strptime(moment, "%Y-%m-%d %H:%M:%S") for moment in moments]
