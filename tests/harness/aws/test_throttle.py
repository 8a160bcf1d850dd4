"""Request limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.aws.emulator import Settings
from tests.aws.emulator.throttle import Throttle, rate_of

from .conftest import Cloud, allow, error_of


@pytest.mark.parametrize(
    ("action", "narrowed", "capacity", "refill"),
    [
        ("AssignPrivateIpAddresses", False, 100, 5),
        ("UnassignPrivateIpAddresses", False, 100, 5),
        ("DescribeNetworkInterfaces", True, 100, 20),
        ("DescribeNetworkInterfaces", False, 50, 10),
        ("RebootInstances", False, 50, 5),
        ("StartInstances", False, 5, 2),
        ("TerminateInstances", False, 100, 5),
    ],
)
def test_the_buckets_are_awss(action: str, narrowed: bool, capacity: float, refill: float) -> None:
    rate = rate_of(action, narrowed=narrowed)
    assert (rate.capacity, rate.refill) == (capacity, refill)


def test_a_bucket_empties_and_fills_again() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    action = "AssignPrivateIpAddresses"
    assert all(throttle.take(action, narrowed=False) for _ in range(100))
    assert not throttle.take(action, narrowed=False)
    assert throttle.take("UnassignPrivateIpAddresses", narrowed=False), "each action has its own"
    now = 0.19
    assert not throttle.take(action, narrowed=False)
    now = 0.4
    assert [throttle.take(action, narrowed=False) for _ in range(3)] == [True, True, False]
    now = 1000.0
    assert sum(throttle.take(action, narrowed=False) for _ in range(150)) == 100


def test_calls_beyond_the_bucket_are_refused_for_everyone_in_the_account(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock stands still: on a busy machine, tokens would come back between two calls.
    monkeypatch.setattr(cloud.emulator._front, "_throttle", Throttle(lambda: 0.0))
    cloud.role("node", allow("ec2:*"))
    instance_id = cloud.launch(IamInstanceProfile={"Name": "node"})
    cloud.ec2.stop_instances(InstanceIds=[instance_id])
    for _ in range(40):  # the bucket holds five
        try:
            cloud.ec2.start_instances(InstanceIds=[instance_id])
        except cloud.ec2.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            message = error.response["Error"]["Message"]
            break
    assert (code, message, status) == ("RequestLimitExceeded", "Request limit exceeded.", 503)
    assert error_of(cloud.node(instance_id).start_instances, InstanceIds=[instance_id])[0] == code


def test_throttling_can_be_turned_off(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(throttle=False))
    instance_id = cloud.launch()
    for _ in range(20):
        cloud.ec2.start_instances(InstanceIds=[instance_id])
