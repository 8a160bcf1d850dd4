"""Nodes may come first, late, interrupted or often: we always get one whole pair, its settings, one holder.

The program makes the pair once, both nodes at once, and rolls it once. The other tests launch its instances
again by hand.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import pytest

from tests.cluster.labs import own_lab
from tests.cluster.launches import Launches, eventually
from tests.drill.clouds import Choice, lab_pair, lab_stack
from tests.drill.rollout import roll
from tests.lab.amis import Image, ami_id
from tests.lab.faults import Faults
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.prober import probing

NAME = "order-tests"
PEER_LIMIT_S = 6
"""How long the first node listens for its peer before it pushes (PEER_LIMIT of the bootstrap)."""


MOMENTS = [(("a", "b", "ab")[number % 3], number / 2) for number in range(30)]
"""Whose power we cut, and how long after EC2 has called both running (s). A first boot takes some 10 s."""
SAMPLE = MOMENTS[:: int(os.environ.get("EC2VIP_EACH_CUT", "8"))]
"""Every eighth, so that a, b and both get their turn. EC2VIP_EACH_CUT=1 runs all thirty."""


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab with the pair as `pulumi up` launches it, both nodes at once, from an image with the packages."""
    with own_lab(NAME) as lab:
        lab.up(images=[Image("debian12"), Image("debian12", baked=True)])
        Choice(ami="baked").keep(lab)
        lab_stack(lab).up("--skip-preview")
        yield lab


@pytest.fixture(scope="module")
def made(lab: Lab) -> Launches:
    """The lab's first pair, or the one that took its place."""
    return Launches(lab)


@pytest.fixture
def nobody(made: Launches, lab: Lab) -> Launches:
    """No instance exists."""
    made.clear()
    return made


@pytest.fixture
def whole(made: Launches, lab: Lab) -> Launches:
    """Both instances exist, as a whole pair."""
    made.launch(*sorted({"a", "b"} - made.ids.keys()))
    made.become_whole()
    return made


def test_an_up_ends_when_the_pair_works_and_replaces_one_node_after_the_other(lab: Lab) -> None:
    """As in `make roll`: a node always runs, the VIP moves twice at most, the `up` leaves a whole pair."""
    assert lab_pair(lab).holder(), "the first up has ended, and nobody has the VIP"
    assert roll(lab, "none", 1500, say).broken == ()


def test_both_at_once(whole: Launches) -> None:
    settings = "\n".join(whole.wanted)
    assert settings.count("<group ") == 1
    assert "ec2vip-settings" in settings


def test_both_come_back_from_a_power_cut_at_once(whole: Launches) -> None:
    with whole.power_off("a"), whole.power_off("b"):
        pass
    whole.become_whole()


def test_each_is_replaced_in_turn_while_the_other_keeps_vip_and_settings(whole: Launches) -> None:
    """The owner's own setting is only in the running cluster's CIB: a new node must take it over."""
    whole["b"].run("crm_attribute", "--type", "crm_config", "--name", "owners-own", "--update", "kept")
    for letter, other in (("a", "b"), ("b", "a")):
        whole.terminate(letter)
        whole.client.sees(whole.vip, within_s=30)
        assert whole.holder == other
        since = time.monotonic()
        with probing(whole.lab, whole.vip):
            whole.launch(letter)
            whole.hears(letter, "bootstrap done")
            whole.pair.wait_until_whole(60)
        assert whole.holder == other
        seen = whole.lab.timeline.read(since=since)
        assert not [e for e in seen if e.kind == "route" and e["address"] == whole.vip]
        assert not [e for e in seen if e.kind == "action" and e["operation"] in ("start", "stop")]
        assert "kept" in whole[letter].run("crm_attribute", "--name", "owners-own", "--query")
    whole[other].run("crm_attribute", "--type", "crm_config", "--name", "owners-own", "--delete")
    whole.become_whole()


def test_the_second_node_first(nobody: Launches) -> None:
    """The second node has no settings to push, and waits. The first brings them, however late."""
    nobody.launch("b")
    nobody.hears("b", "bootstrap done")
    time.sleep(PEER_LIMIT_S)  # time for whatever it might still do
    assert nobody.holder == ""
    nobody.launch("a")
    nobody.become_whole()


def test_the_first_node_alone_serves_and_the_second_may_come_whenever_it_likes(nobody: Launches) -> None:
    nobody.launch("a")
    nobody.become_whole()
    assert nobody.holder == "a"
    since = time.monotonic()
    nobody.launch("b")
    nobody.become_whole()
    assert nobody.holder == "a"
    stops = [e for e in nobody.lab.timeline.read("action", since=since) if e["operation"] == "stop"]
    assert stops == []


def test_a_mirror_that_is_down_is_waited_for(nobody: Launches) -> None:
    with nobody.no_mirror():
        nobody.launch("a", "b", ImageId=ami_id("debian12", "public"))
        for letter in "ab":
            nobody.hears(letter, "still waiting for the packages")
    nobody.become_whole()


def test_one_bootstrap_is_killed_and_run_again_and_the_other_node_reboots_in_the_middle(
    nobody: Launches,
) -> None:
    nobody.launch("a", "b")
    for letter in "ab":
        nobody.hears(letter, "network tools: done")
    nobody.ec2.reboot_instances(InstanceIds=[nobody.ids["b"]])
    first = nobody["a"]
    unit = "ec2vip-bootstrap.service"
    pid = first.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()
    first.run("kill", "-KILL", pid)
    eventually(lambda: first.tries("systemctl", "is-failed", unit) is not None)
    assert "bootstrap done" not in nobody.console("a")
    first.run("systemctl", "start", "--no-block", unit)
    nobody.become_whole()
    assert nobody.console("b").count("bootstrap of ec2vip-b begins") == 2


@pytest.mark.parametrize(("cut", "after_s"), SAMPLE)
def test_a_power_cut_at_any_moment_of_a_first_boot_is_made_good_by_the_next(
    cut: str, after_s: float, nobody: Launches
) -> None:
    """As on a machine, unsynced data is lost: files that cloud-init has just written are empty."""
    nobody.launch("a", "b")
    nobody.have_power()
    time.sleep(after_s)
    with contextlib.ExitStack() as dark:
        for letter in cut:
            dark.enter_context(nobody.power_off(letter))
    for letter in cut:
        nobody.begins_again(letter)
    nobody.become_whole()


def test_metadata_that_are_slow_and_a_clock_that_is_wrong(nobody: Launches) -> None:
    """cloud-init on b waits 0.25 s for each item. The clock of a is an hour ahead, then and later."""
    faults = Faults(nobody.lab)
    try:
        nobody.launch("a", "b")
        faults.clock_step(nobody.ids["a"])
        faults.imds(nobody.ids["b"], "slow", seconds=0.25)
        nobody.hears("b", "bootstrap done")
        nobody.become_whole()
    finally:
        faults.undo_all()
    nobody.become_whole()
