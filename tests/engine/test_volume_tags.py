"""The root volumes have the pair's tags from launch on, whoever deploys the pair, in whatever account.

terraform-provider-aws tags `rootBlockDevice` in a call after the launch and only warns if that call fails. The
volume then never gets its tags, and each later `up` fails. `volumeTags` are part of the launch.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.pulumi_stack import CommandError

from .cloud import Cloud

TAGS = {"team": "payments"}


def denied(cloud: Cloud, action: str, resource: str, absent: str) -> tuple[str, str]:
    """Create a user who may do `action` only with the condition key, and all else; returns the access key."""
    everything: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    rule = {"Effect": "Deny", "Action": action, "Resource": resource, "Condition": {"Null": {absent: "true"}}}
    policy = {"Version": "2012-10-17", "Statement": [everything, rule]}
    return cloud.user("deployer", json.dumps(policy))


def test_where_volumes_are_tagged_only_as_they_are_made_the_second_up_changes_nothing(
    fresh_cloud: Cloud,
) -> None:
    cloud = fresh_cloud
    key = denied(cloud, "ec2:CreateTags", "arn:aws:ec2:*:*:volume/*", "ec2:CreateAction")
    stack = cloud.stack(settings={"tags": TAGS}, key=key)
    stack.up("--skip-preview")
    of_nodes = [{"Name": "status", "Values": ["in-use"]}]
    for volume in cloud.ec2.describe_volumes(Filters=of_nodes)["Volumes"]:
        assert {"Key": "team", "Value": "payments"} in volume.get("Tags", []), volume["VolumeId"]
    stack.up("--skip-preview", "--refresh")
    assert set(stack.last_changes()) == {"same"}
    stack.destroy()


def test_an_account_that_wants_tagged_volumes_takes_the_launch(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    key = denied(cloud, "ec2:RunInstances", "arn:aws:ec2:*:*:volume/*", "aws:RequestTag/team")
    stack = cloud.stack(key=key)
    with pytest.raises(CommandError, match="RunInstances"):
        stack.up("--skip-preview")
    stack.configure({"tags": TAGS})
    stack.up("--skip-preview")
    stack.destroy()
