"""Nothing happens: nothing is asked of EC2, nothing drifts."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta

from tests.drill.clouds import lab_stack
from tests.drill.pair import Pair
from tests.drill.trials import TRIALS, run_trial
from tests.lab.lab import Lab

MONITOR_INTERVAL_S = 10
UPDATES = "apt-daily-upgrade.timer"


def api_calls_of_nodes(lab: Lab, since: float) -> list[str]:
    """The EC2 actions that the nodes called after `since` (s since 1970)."""
    events = [json.loads(line) for line in (lab.folder / "timeline.jsonl").read_text().splitlines()]
    return [
        event["action"]
        for event in events
        if event.get("kind") == "api" and event.get("instance_id") and event["wall"] > since
    ]


def imds_reads_of_nodes(lab: Lab, since: float) -> int:
    events = [json.loads(line) for line in (lab.folder / "timeline.jsonl").read_text().splitlines()]
    return sum(event.get("kind") == "imds" and event["wall"] > since for event in events)


def test_the_nodes_call_no_ec2_api_while_nothing_happens(lab: Lab, pair: Pair) -> None:
    """Over three monitors; that those ran is seen in what they asked of the metadata service."""
    since = time.time()
    time.sleep(3 * MONITOR_INTERVAL_S + 1)
    assert api_calls_of_nodes(lab, since) == []
    assert imds_reads_of_nodes(lab, since) >= 2
    # The counter itself counts: a planned move is at least one call.
    assert run_trial(TRIALS[1], pair, progress=print).passed
    assert "AssignPrivateIpAddresses" in api_calls_of_nodes(lab, since)


def test_pulumi_sees_no_change_after_the_vip_moved(lab: Lab, pair: Pair) -> None:
    before = pair.holder()
    assert run_trial(TRIALS[1], pair, progress=print).passed
    stack = lab_stack(lab)
    stack.refresh()
    assert stack.preview() == []
    stack.up()
    assert pair.holder() not in (None, before)
    assert pair.flaws() == []


def test_the_nodes_install_updates_half_a_day_apart(lab: Lab, pair: Pair) -> None:
    """By the calendar of the node's own systemd. The lab's image has the timer masked."""
    due = []
    for node in pair.node_ids:
        lab.run_in(node, ["systemctl", "unmask", UPDATES])
        try:
            lab.run_in(node, ["systemctl", "start", UPDATES])
            words = ["systemctl", "show", "--value", "--property=NextElapseUSecRealtime", UPDATES]
            due.append(datetime.strptime(lab.run_in(node, words).stdout.strip(), "%a %Y-%m-%d %H:%M:%S UTC"))
        finally:
            lab.run_in(node, ["systemctl", "stop", UPDATES])
            lab.run_in(node, ["systemctl", "mask", UPDATES])
    apart = abs(due[0] - due[1])
    assert timedelta(hours=11) <= apart <= timedelta(hours=13), (
        f"{due}: each is up to an hour late on purpose"
    )
