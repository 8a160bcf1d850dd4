"""Bad settings with the real command: it fails with a clear text and creates nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from infra.config import StackConfig
from infra.errors import ConfigError
from tests.lab.pulumi_stack import CommandError, PulumiStack
from tests.unit.infra.bad_settings import BAD, GOOD, SECRETS, as_pulumi_gives_them

from .cloud import REGION, Cloud


def batches() -> list[list[str]]:
    """The bad settings in as few runs as possible; each run still shows each setting's message."""
    found: list[list[str]] = []
    for name in BAD:
        for batch in found:
            if _all_shown([*batch, name]):
                batch.append(name)
                break
        else:
            found.append([name])
    return found


def _all_shown(names: list[str]) -> bool:
    touched = [key for name in names for key in BAD[name][0]]
    if len(touched) != len(set(touched)):
        return False
    try:
        StackConfig.parse(as_pulumi_gives_them(_merged(names)), region="us-east-1")
    except ConfigError as e:
        return all(any(BAD[name][1] in problem for problem in e.problems) for name in names)
    return False


def _merged(names: list[str]) -> dict[str, Any]:
    settings = dict(GOOD)
    for name in names:
        settings |= BAD[name][0]
    return settings


COMMITTED = ("availabilityZone", "clients", "nodeIps", "platform", "subnetCidr", "vip", "vpcCidr")
"""The keys of the committed settings, which the bad ones replace."""


def refusal(stack: PulumiStack) -> str:
    """The text of a failing `up`, with wrapped lines joined."""
    with pytest.raises(CommandError) as caught:
        stack.up()
    assert caught.value.status != 0
    return " ".join((caught.value.stdout + caught.value.stderr).split())


BATCHES = batches()[:8]
"""Enough to show that the real command refuses them; the unit tier tries every one."""


def test_enough_bad_settings_are_tried_with_the_real_command() -> None:
    assert sum(len(names) for names in BATCHES) >= 30


@pytest.mark.parametrize("names", BATCHES, ids=lambda names: f"{names[0]} and {len(names) - 1} more")
def test_bad_settings_fail_clearly_and_create_nothing(names: list[str], cloud: Cloud) -> None:
    stack = cloud.stack(settings=dict.fromkeys(COMMITTED))
    stack.configure(_merged(names))
    said = refusal(stack)
    for name in names:
        assert " ".join(BAD[name][1].split()) in said, name
    assert "Traceback" not in said
    assert cloud.leftovers() == {}
    assert stack.resources() == []


@pytest.mark.parametrize("name", SECRETS)
def test_a_bad_encryption_key_is_refused_without_showing_it(name: str, cloud: Cloud) -> None:
    key, expected = SECRETS[name]
    stack = cloud.stack()
    stack.configure_secret("encryptionKey", key)
    said = refusal(stack)
    assert expected in said
    assert key not in said


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"nodeIps": "10.0.250.186"}, "'nodeIps' must be of type 'array<string>'"),
        ({"tokenMs": "long"}, "'tokenMs' must be of type 'integer'"),
        ({"publicIps": "perhaps"}, "'publicIps' must be of type 'boolean'"),
        ({"vips": "10.0.250.185"}, "'vips' must be of type 'array<string>'"),
        ({"services": ["nginx"]}, "'services' must be of type 'array<object>'"),
        ({"tags": ["team"]}, "'tags' must be of type 'object'"),
    ],
)
def test_a_value_of_another_type_than_declared_is_refused_by_pulumi_itself(
    settings: dict[str, Any], expected: str, cloud: Cloud
) -> None:
    assert expected in refusal(cloud.stack(settings=settings))


def _noise(seed: int) -> str:
    """A text that does not compress, to fill the user data."""
    return "".join(hashlib.sha256(f"{seed} {n}".encode()).hexdigest() for n in range(5))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"vip": None, "vips": ["10.0.250.185", "10.0.250.190"]},
            "instanceType t3.micro has room for 2 IPv4 addresses per interface, but a node needs 3",
        ),
        (
            {"instanceType": "t3.enormous"},
            "instanceType t3.enormous is offered in no zone of this Region; set ec2vip:instanceType",
        ),
        (
            {"availabilityZone": "us-east-1e"},
            "availabilityZone us-east-1e does not offer t3.micro (zones that do: us-east-1a, us-east-1b, "
            "us-east-1c, us-east-1d, us-east-1f)",
        ),
        (
            {
                "endpoints": True,
                "services": [
                    {"agent": "ocf:heartbeat:Dummy", "name": f"s{n}", "parameters": {"state": _noise(n)}}
                    for n in range(100)
                ],
            },
            "services makes the nodes' user data too large: its 100 entries take about",
        ),
        (
            {"instanceType": "t4g.micro"},
            "platform debian12 for arm64 cannot be looked up (ParameterNotFound: ",
        ),
        (
            {"vpcCidr": None, "vpcId": "vpc-0123456789abcdef0"},
            "vpcId vpc-0123456789abcdef0 cannot be looked up (InvalidVpcID.NotFound",
        ),
        (
            {
                "vpcCidr": None,
                "subnetCidr": None,
                "availabilityZone": None,
                "subnetId": "subnet-0123456789abcdef0",
            },
            "subnetId subnet-0123456789abcdef0 cannot be looked up (InvalidSubnetID.NotFound",
        ),
    ],
)
def test_what_aws_does_not_know_is_refused_before_anything_is_made(
    settings: dict[str, Any], expected: str, cloud: Cloud
) -> None:
    said = refusal(cloud.stack(settings=settings))
    assert expected in said
    assert "Traceback" not in said
    assert cloud.leftovers() == {}


@pytest.mark.parametrize("key", ["keyName", "platform", "packageRepository"])
def test_a_secret_that_would_be_used_in_the_clear_is_refused_without_showing_it(
    key: str, cloud: Cloud
) -> None:
    stack = cloud.stack()
    stack.configure_secret(key, "hunter2-hunter2")
    said = refusal(stack)
    assert f"{key} holds a secret, but the stack uses this setting in the clear" in said
    assert "hunter2" not in said
    assert cloud.leftovers() == {}


def test_a_zone_that_was_chosen_is_kept(cloud: Cloud) -> None:
    stack = cloud.stack(settings={"availabilityZone": None, "instanceType": "t3.nano"})
    stack.up("--skip-preview")
    kept = {node["Placement"]["AvailabilityZone"] for node in cloud.instances().values()}
    assert len(kept) == 1
    assert stack.preview() == []
    # The state records the choice, so the zone would stay even if another one came first by now.
    assert "ec2vip-zone-us-east-1" in {resource["urn"].rsplit("::", 1)[1] for resource in stack.resources()}
    stack.destroy()
    assert cloud.leftovers() == {}


def test_a_missing_region_is_said_to_be_missing(cloud: Cloud) -> None:
    assert "Missing region" in refusal(cloud.stack(settings={"aws:region": None}))


def test_pulumi_config_shows_every_setting(cloud: Cloud) -> None:
    stack = cloud.stack()
    stack.init()
    listed = {line.split()[0] for line in stack.run("config").splitlines()[1:] if line.strip()}
    assert {"vip", "nodeIps", "clients", "encryptionKey", "tokenMs", "aws:region"} <= listed


def test_the_committed_stack_for_aws_previews_clean(cloud: Cloud) -> None:
    steps = cloud.stack("dev").preview()
    assert {step.operation for step in steps} == {"create"}
    assert {step.name for step in steps} >= {
        "ec2vip",
        "ec2vip-a",
        "ec2vip-b",
        f"ec2vip-image-al2023-x86_64-{REGION}",
    }
    assert cloud.leftovers() == {}
