"""An `up` that cannot see the nodes touches none of them; it finds nodes by more than their tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import REGION, ROOT, Cloud

HERE = Path(__file__).parent
VIP = "10.0.250.185"
A, B = "ec2vip-a", "ec2vip-b"
CHANGES = (
    "Run",
    "Create",
    "Terminate",
    "Stop",
    "Start",
    "Reboot",
    "Modify",
    "Delete",
    "Put",
    "Assign",
    "Attach",
)
TOKENS = iter(range(2000, 30_000))


@pytest.fixture(scope="module")
def stack(cloud: Cloud) -> PulumiStack:
    stack = _stack(cloud)
    stack.up("--skip-preview")
    return stack


@pytest.fixture
def pair(cloud: Cloud, stack: PulumiStack) -> Iterator[PulumiStack]:
    """A whole pair with the VIP on its first node and settings that change both nodes at the next `up`."""
    stack.configure({"environment": None, "second": None, "tokenMs": next(TOKENS)})
    cloud.move(VIP, A)
    cloud.guests.events.clear()
    cloud.guests.lost.clear()
    cloud.calls.clear()
    yield stack
    assert cloud.guests.lost == []


def _stack(cloud: Cloud) -> PulumiStack:
    return cloud.stack(
        "test", {"aws:region": REGION}, project=HERE / "elsewhere", env={"PYTHONPATH": str(ROOT)}
    )


def _changes(cloud: Cloud) -> list[str]:
    return [call for call in cloud.calls if call.split(":")[1].startswith(CHANGES)]


@pytest.mark.parametrize("command", ["up", "preview"])
def test_a_program_that_looks_into_another_account_touches_nothing(
    command: str, cloud: Cloud, pair: PulumiStack
) -> None:
    with Cloud(cloud.state_dir / f"other-{command}") as other:
        key, secret = other.emulator.administrator
        there = {"AWS_ENDPOINT_URL": other.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        pair.configure({"environment": there})
        with pytest.raises(CommandError) as caught:
            pair.up("--skip-preview") if command == "up" else pair.run("preview")
    said = caught.value.stdout
    assert f"looks at EC2 in account {other.emulator.account_id}, Region {REGION}" in said
    assert f"provider works in account {cloud.emulator.account_id}, Region {REGION}" in said
    assert "readyTimeoutMinutes to 0" in said
    assert (_changes(cloud), cloud.guests.events) == ([], [])
    assert set(cloud.instances()) == {A, B}


def test_a_program_without_credentials_touches_nothing(cloud: Cloud, pair: PulumiStack) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    files = dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), "/nonexistent")
    pair.configure({"environment": {**nothing, **files}})
    with pytest.raises(CommandError) as caught:
        pair.up("--skip-preview")
    assert "Unable to locate credentials" in caught.value.stdout
    assert f"account {cloud.emulator.account_id}, Region {REGION}" in caught.value.stdout
    assert (_changes(cloud), cloud.guests.events) == ([], [])


def test_a_pair_of_another_regions_provider_is_refused_before_anything_is_made(fresh_cloud: Cloud) -> None:
    stack = _stack(fresh_cloud)
    stack.configure({"region": "us-west-2"})
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    assert f"Region {REGION}, but Pulumi's AWS provider works in" in caught.value.stdout
    assert "Region us-west-2" in caught.value.stdout
    assert _changes(fresh_cloud) == []
    assert {r["type"] for r in stack.resources()} <= {"pulumi:pulumi:Stack", "pulumi:providers:aws"}


def test_nodes_whose_tags_somebody_removed_go_one_after_the_other(cloud: Cloud, pair: PulumiStack) -> None:
    ids = pair.outputs()["nodeIds"]
    cloud.ec2.delete_tags(Resources=ids, Tags=[{"Key": "ec2vip:pair"}, {"Key": "ec2vip:made-from"}])
    pair.up("--skip-preview")
    assert cloud.guests.events == [
        ("terminate", B),
        ("launch", B),
        ("reboot", A),
        ("holder", B),
        ("terminate", A),
        ("launch", A),
    ]


def test_an_instance_in_a_nodes_place_that_nobody_knows_stops_the_up(cloud: Cloud, pair: PulumiStack) -> None:
    outputs = pair.outputs()
    image = cloud.ec2.describe_images()["Images"][0]["ImageId"]
    made = cloud.ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=outputs["subnetId"], PrivateIpAddress="10.0.250.190"
    )
    stranger = made["Instances"][0]["InstanceId"]
    pair.configure({"second": "10.0.250.190"})
    try:
        with pytest.raises(CommandError) as caught:
            pair.up("--skip-preview")
        assert f"{stranger} has 10.0.250.190, a node's address" in caught.value.stdout
        assert cloud.guests.events == []
        assert {name for name in cloud.instances() if name in (A, B)} == {A, B}
    finally:
        cloud.ec2.terminate_instances(InstanceIds=[stranger])
