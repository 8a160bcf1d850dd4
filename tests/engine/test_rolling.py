"""A change that replaces or stops nodes takes them one by one, and a member holds the VIP all the while."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.process import ProcessId, children
from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import Cloud, drop_half_written, end
from .guests import SILENT, WORKS

VIP = "10.0.250.185"
A, B = "ec2vip-a", "ec2vip-b"
LOOKS = ("ec2:DescribeInstances", "ec2:GetConsoleOutput")
TOKENS = iter(range(2000, 30_000))
# The visible steps of a roll, in order: the API call of each, and the number of such calls up to it.
STEPS = {
    "the standby ends": ("ec2:TerminateInstances", 1),
    "the standby begins": ("ec2:RunInstances", 1),
    "the standby boots": ("ec2:GetConsoleOutput", 2),
    "the holder reboots": ("ec2:RebootInstances", 1),
    "the old holder ends": ("ec2:TerminateInstances", 2),
    "the old holder begins": ("ec2:RunInstances", 2),
}


@pytest.fixture(scope="module")
def stack(cloud: Cloud) -> PulumiStack:
    stack = cloud.stack()
    stack.up("--skip-preview")
    return stack


@pytest.fixture
def pair(cloud: Cloud, stack: PulumiStack, request: pytest.FixtureRequest) -> Iterator[PulumiStack]:
    """A whole pair with the VIP on its first node; after the test, the VIP must not have been lost."""
    cloud.guests.fate = lambda instance: WORKS
    if request.session.testsfailed:
        stack.up("--skip-preview", "--refresh")
    cloud.move(VIP, A)
    cloud.guests.events.clear()
    cloud.guests.lost.clear()
    yield stack
    assert cloud.guests.lost == []


@pytest.fixture
def change(stack: PulumiStack) -> None:
    """New settings that replace both nodes."""
    stack.configure({"tokenMs": next(TOKENS)})


@pytest.mark.parametrize(("holder", "standby"), [(A, B), (B, A)])
def test_the_standby_goes_first_then_the_vip_moves_once_then_the_old_holder_goes(
    holder: str, standby: str, cloud: Cloud, pair: PulumiStack, change: None
) -> None:
    cloud.move(VIP, holder)
    pair.up("--skip-preview")
    assert cloud.guests.events == [
        ("terminate", standby),
        ("launch", standby),
        ("reboot", holder),
        ("holder", standby),
        ("terminate", holder),
        ("launch", holder),
    ]
    assert pair.preview() == []


def test_another_kind_stops_one_node_after_the_other(cloud: Cloud, pair: PulumiStack) -> None:
    before = pair.outputs()["nodeIds"]
    pair.configure({"instanceType": "t3.small"})
    pair.up("--skip-preview")
    assert cloud.guests.events == [("stop", B), ("reboot", A), ("holder", B), ("stop", A)]
    assert pair.outputs()["nodeIds"] == before
    assert {node["InstanceType"] for node in cloud.instances().values()} == {"t3.small"}


def test_a_first_up_makes_both_nodes_side_by_side_and_ends_when_the_pair_works(fresh_cloud: Cloud) -> None:
    cloud, stack = fresh_cloud, fresh_cloud.stack()
    cloud.guests.fate = lambda instance: SILENT
    both, waiting = cloud.reached("ec2:RunInstances", 2), cloud.reached("ec2:GetConsoleOutput", 3)
    running = stack.begin_up()
    try:
        assert both.wait(240), "the second node was not begun while the first one booted"
        assert waiting.wait(240), "nobody waits for the nodes"
        assert running.poll() is None
        cloud.guests.fate = lambda instance: WORKS
        cloud.guests.boot_again()
        said, _ = running.communicate(timeout=240)
    finally:
        end(running)
    assert running.returncode == 0, said
    assert cloud.holder(VIP) in (A, B)


def test_an_up_that_changes_nothing_looks_once_and_a_preview_not_at_all(
    cloud: Cloud, pair: PulumiStack, change: None
) -> None:
    already = len(cloud.calls)
    pair.preview()
    assert set(LOOKS).isdisjoint(cloud.calls[already:])
    pair.up("--skip-preview")
    already = len(cloud.calls)
    pair.up("--skip-preview")
    # While the new standby may still be booting, `up` reads its console as well.
    assert len([call for call in cloud.calls[already:] if call in LOOKS]) <= 4


def test_a_node_that_fails_stops_the_up_and_the_next_one_goes_on(
    cloud: Cloud, pair: PulumiStack, change: None
) -> None:
    kept = cloud.instances()[A]["InstanceId"]
    cloud.guests.fate = lambda instance: "packages: no mirror"
    with pytest.raises(CommandError) as caught:
        pair.up("--skip-preview")
    failed = cloud.instances()[B]["InstanceId"]
    assert f"{B} ({failed}) has not joined the cluster" in caught.value.stdout
    assert "bootstrap failed: packages: no mirror" in caught.value.stdout
    assert cloud.holder(VIP) == A
    assert cloud.instances()[A]["InstanceId"] == kept
    cloud.guests.fate = lambda instance: WORKS
    cloud.guests.events.clear()
    pair.up("--skip-preview")
    assert cloud.guests.events == [
        ("reboot", B),
        ("reboot", A),
        ("holder", B),
        ("terminate", A),
        ("launch", A),
    ]


def test_a_node_that_fails_is_replaced_where_the_mend_is_a_change(
    cloud: Cloud, pair: PulumiStack, change: None
) -> None:
    cloud.guests.fate = lambda instance: "packages: no mirror"
    with pytest.raises(CommandError):
        pair.up("--skip-preview")
    cloud.guests.fate = lambda instance: WORKS
    cloud.guests.events.clear()
    pair.configure({"tokenMs": 1500})
    pair.up("--skip-preview")
    assert cloud.guests.events[:2] == [("terminate", B), ("launch", B)]
    assert cloud.holder(VIP) == B


def test_a_node_that_is_gone_comes_back_and_the_holder_is_left_alone(cloud: Cloud, pair: PulumiStack) -> None:
    (kept, lost) = pair.outputs()["nodeIds"]
    cloud.ec2.terminate_instances(InstanceIds=[lost])
    cloud.guests.events.clear()
    pair.up("--skip-preview", "--refresh")
    (still, new) = pair.outputs()["nodeIds"]
    assert (still, new != lost) == (kept, True)
    assert cloud.instances()[B]["PrivateIpAddress"] == "10.0.250.187"
    assert cloud.guests.events[-1:] == [("launch", B)]
    assert cloud.holder(VIP) == A


def test_a_node_that_is_not_gone_yet_is_named_at_once(
    cloud: Cloud, pair: PulumiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2 shows it as shutting-down for some minutes; Pulumi creates no other one until it is terminated."""
    (_, lost) = pair.outputs()["nodeIds"]
    with monkeypatch.context() as slow:
        slow.setattr(cloud.guests, "terminate", lambda instance_id: None)
        cloud.ec2.terminate_instances(InstanceIds=[lost])
        with pytest.raises(CommandError) as caught:
            pair.up("--skip-preview")
    assert (
        f"{B} ({lost}) is shutting-down; wait until it is terminated, then run `pulumi up --refresh`"
        in caught.value.stdout
    )
    cloud.guests.terminate(lost)
    pair.up("--skip-preview", "--refresh")
    assert cloud.instances()[B]["InstanceId"] != lost


def test_a_node_that_is_gone_is_named_at_once_where_pulumi_does_not_know(
    cloud: Cloud, pair: PulumiStack
) -> None:
    (_, lost) = pair.outputs()["nodeIds"]
    cloud.ec2.terminate_instances(InstanceIds=[lost])
    with pytest.raises(CommandError) as caught:
        pair.up("--skip-preview")
    assert f"{B} ({lost}) is gone; run `pulumi up --refresh` for a new one" in caught.value.stdout
    pair.up("--skip-preview", "--refresh")


def test_ctrl_c_ends_the_wait(cloud: Cloud, pair: PulumiStack, change: None) -> None:
    cloud.guests.fate = lambda instance: SILENT
    waiting = cloud.reached("ec2:GetConsoleOutput", 2)
    running = pair.begin_up()
    try:
        assert waiting.wait(240)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
    finally:
        end(running)
    assert running.returncode != 0
    assert cloud.holder(VIP) == A
    cloud.guests.fate = lambda instance: WORKS
    cloud.guests.boot_again()
    pair.up("--skip-preview")
    assert pair.preview() == []


@pytest.mark.parametrize("step", STEPS)
def test_an_up_that_is_killed_can_be_repeated_when(
    step: str, cloud: Cloud, pair: PulumiStack, change: None
) -> None:
    old = set(pair.outputs()["nodeIds"])
    if step == "the standby boots":
        cloud.guests.fate = lambda instance: SILENT
    reached = cloud.reached(*STEPS[step])
    running = pair.begin_up()
    try:
        assert reached.wait(240), f"the up did not come to where {step}"
    finally:
        _kill(running)
    cloud.guests.fate = lambda instance: WORKS
    cloud.guests.boot_again()
    assert cloud.holder(VIP) in (A, B)
    drop_half_written(pair)
    pair.run("cancel", "--yes")
    for orphan in set(_ids(cloud)) - {str(r.get("id")) for r in pair.resources()}:
        # If Pulumi is killed during a launch, it never learns of the instance (docs/operations.md).
        cloud.ec2.terminate_instances(InstanceIds=[orphan])
    pair.up("--skip-preview", "--refresh")
    new = pair.outputs()["nodeIds"]
    assert (set(new) & old, sorted(new)) == (set(), sorted(_ids(cloud)))


def test_a_pulumi_that_is_killed_while_it_writes_its_state_goes_on_without_the_half_written_file(
    cloud: Cloud, pair: PulumiStack
) -> None:
    nodes = pair.outputs()["nodeIds"]
    (beside,) = pair.state_dir.glob(f"backend/.pulumi/stacks/*/{pair.stack}.json.attrs")
    beside.write_text("")
    with pytest.raises(CommandError, match="failed to load checkpoint: EOF"):
        pair.outputs()
    drop_half_written(pair)
    pair.up("--skip-preview", "--refresh")
    assert pair.outputs()["nodeIds"] == nodes
    assert cloud.guests.events == []


def _ids(cloud: Cloud) -> list[str]:
    return [instance["InstanceId"] for instance in cloud.instances().values()]


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process and all its descendants, at whatever instruction they are."""
    ids = [ProcessId.of(process.pid)]
    for parent in ids:
        ids += [ProcessId.of(child) for child in children(parent.pid)]
    for each in ids:
        each.end(grace_s=0)
    end(process)
