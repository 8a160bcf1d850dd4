"""`refresh --run-program` and `destroy --run-program` run the program too, but wait for no node."""

from __future__ import annotations

import pytest

from tests.lab.pulumi_stack import UP_LIMIT_S, CommandError, PulumiStack

from .cloud import Cloud
from .guests import WORKS

VIP = "10.0.250.185"
A, B = "ec2vip-a", "ec2vip-b"
FAILS = "packages: no mirror"


@pytest.fixture(scope="module")
def broken(cloud: Cloud) -> PulumiStack:
    """An interrupted roll: the new standby has failed, and the old holder is not replaced yet."""
    stack = cloud.stack()
    stack.up("--skip-preview")
    cloud.move(VIP, A)
    cloud.guests.fate = lambda instance: FAILS
    stack.configure({"tokenMs": 2000})
    _fails(stack)
    cloud.guests.events.clear()
    return stack


def _fails(stack: PulumiStack) -> None:
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    assert f"bootstrap failed: {FAILS}" in caught.value.stdout


def _ids(cloud: Cloud) -> dict[str, str]:
    return {name: node["InstanceId"] for name, node in cloud.instances().items()}


def test_a_refresh_neither_waits_nor_touches(cloud: Cloud, broken: PulumiStack) -> None:
    before = _ids(cloud)
    broken.run("refresh", "--run-program", "--yes", "--skip-preview", timeout_s=UP_LIMIT_S)
    assert (cloud.guests.events, _ids(cloud)) == ([], before)


def test_an_up_with_targets_leaves_the_holder_to_whole_ups(cloud: Cloud, broken: PulumiStack) -> None:
    before = _ids(cloud)
    nodes = [r["urn"] for r in broken.resources() if r["urn"].endswith((f"::{A}", f"::{B}"))]
    said = broken.up("--skip-preview", *(word for urn in nodes for word in ("--target", urn)))
    assert f"leaves {A} ({before[A]}) unchanged" in said
    assert (cloud.guests.events, _ids(cloud)) == ([], before)


def test_an_up_goes_on_where_the_broken_one_stopped(cloud: Cloud, broken: PulumiStack) -> None:
    _fails(broken)
    assert cloud.guests.events == [("reboot", B)]
    assert cloud.holder(VIP) == A


def test_a_destroy_neither_waits_nor_fails(cloud: Cloud, broken: PulumiStack) -> None:
    cloud.guests.events.clear()
    broken.run("destroy", "--run-program", "--yes", "--skip-preview", timeout_s=UP_LIMIT_S)
    assert sorted(cloud.guests.events) == [("terminate", A), ("terminate", B)]
    assert cloud.leftovers() == {}
    cloud.guests.fate = lambda instance: WORKS
