"""A stack's whole life under the printed policies, in China and in AWS GovCloud (US)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cloud import Cloud
from .test_permissions import EVERYTHING, deployed

VIP = "10.0.250.185"
PARTITIONS = {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}
# Only China differs: EC2's endpoint service has a name of its own there.
EC2_SERVICES = {
    "cn-north-1": "cn.com.amazonaws.cn-north-1.ec2",
    "us-gov-west-1": "com.amazonaws.us-gov-west-1.ec2",
}

pytestmark = pytest.mark.usefixtures("managed_policies")


@pytest.fixture(params=PARTITIONS)
def abroad(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(tmp_path, region=request.param) as cloud:
        yield cloud


def test_a_stack_lives_from_up_to_destroy_in_other_partitions(abroad: Cloud) -> None:
    cloud, partition = abroad, PARTITIONS[abroad.region]
    stack = deployed(cloud, **EVERYTHING, **{"aws:region": cloud.region})
    stack.up("--skip-preview")
    assert stack.preview() == []
    assert partition in stack.outputs()["roleArn"].split(":")
    assert EC2_SERVICES[cloud.region] in {
        endpoint["ServiceName"] for endpoint in cloud.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    }
    cloud.move(VIP, "ec2vip-b")
    assert set(stack.refresh()) == {"same"}
    stack.configure({"tags": {"team": "payments"}})
    stack.up("--skip-preview")
    assert cloud.holder(VIP) == "ec2vip-b"
    others = {word for word in json.dumps(stack.state()).split('"') if word.startswith("arn:")}
    assert {arn.split(":")[1] for arn in others} == {partition}
    stack.destroy()
    assert cloud.leftovers() == {}
