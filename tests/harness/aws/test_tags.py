"""Which tags EC2, IAM and Systems Manager accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.emulator import Settings

from .conftest import NODE_A, Cloud, document, error_of


def tags(*keys: str, value: str = "v") -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key in keys]


def on(kind: str, *given: dict[str, str]) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": list(given)}]}


BAD = [
    (tags("a", "a"), "InvalidParameterValue", "Duplicate tag key 'a' specified."),
    (
        tags("aws:x"),
        "InvalidParameterValue",
        "Value ( aws:x ) for parameter key is invalid. "
        "Tag keys starting with 'aws:' are reserved for internal use",
    ),
    (tags("k" * 129), "InvalidParameterValue", "length of 128"),
    (tags("a", value="v" * 257), "InvalidParameterValue", "length of 256"),
    (tags(*(f"k{n}" for n in range(51))), "TagLimitExceeded", "50"),
]


@pytest.mark.parametrize(("given", "code", "text"), BAD, ids=[code + text[:12] for _, code, text in BAD])
def test_ec2_refuses_tags_at_birth_and_later(
    cloud: Cloud, given: list[dict[str, str]], code: str, text: str
) -> None:
    at_birth = error_of(cloud.ec2.create_vpc, CidrBlock="10.3.0.0/16", **on("vpc", *given))
    later = error_of(cloud.ec2.create_tags, Resources=[cloud.vpc_id], Tags=given)
    for found in (at_birth, later):
        assert found[0] == code
        assert text in found[1]


def test_a_kind_that_an_action_does_not_make_cannot_be_tagged_by_it(cloud: Cloud) -> None:
    found = error_of(cloud.ec2.create_vpc, CidrBlock="10.3.0.0/16", **on("subnet", *tags("a")))
    assert found[:2] == (
        "InvalidParameterValue",
        "'subnet' is not a valid taggable resource type for this operation.",
    )
    assert error_of(cloud.launch, **on("vpc", *tags("a")))[0] == "InvalidParameterValue"


def test_keys_that_differ_only_in_case_are_one_to_iam_and_two_to_the_others(cloud: Cloud) -> None:
    both = tags("Team", "team")
    iam, ssm = cloud.client("iam"), cloud.client("ssm")
    found = error_of(iam.create_role, RoleName="r", AssumeRolePolicyDocument=document(), Tags=both)
    duplicate = (
        "InvalidInput",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        400,
    )
    assert found == duplicate
    assert error_of(iam.create_instance_profile, InstanceProfileName="p", Tags=both) == duplicate
    cloud.ec2.create_tags(Resources=[cloud.vpc_id], Tags=both)
    ssm.put_parameter(Name="/x", Value="y", Type="String", Tags=both)


@pytest.mark.parametrize("key", ["Patch Group", "a.b/c", "_index", ".."])
def test_keys_in_the_metadata_must_be_names_of_items(cloud: Cloud, key: str) -> None:
    text = (
        f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\\\-_+=,.@:]{{1,255}}), "
        "and must not be a reserved name ('.', '..', '_index')"
    )
    shown = {"InstanceMetadataTags": "enabled"}
    tagged = on("instance", *tags(key))
    refused = ("InvalidParameterValue", text, 400)
    assert error_of(cloud.launch, NODE_A, MetadataOptions=shown, **tagged) == refused
    hidden = cloud.launch(NODE_A, **tagged)
    assert error_of(cloud.ec2.modify_instance_metadata_options, InstanceId=hidden, **shown) == refused
    open_ = cloud.launch(MetadataOptions=shown, **on("instance", *tags("a.b-c")))
    assert error_of(cloud.ec2.create_tags, Resources=[open_], Tags=tags(key)) == refused


def test_the_accounts_default_may_show_tags_in_the_metadata(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(instance_metadata_tags="enabled"))
    spaced = on("instance", *tags("Patch Group"))
    assert "is not a valid tag key" in error_of(cloud.launch, NODE_A, **spaced)[1]
    instance_id = cloud.launch(NODE_A, MetadataOptions={"InstanceMetadataTags": "disabled"}, **spaced)
    assert error_of(
        cloud.ec2.modify_instance_metadata_options, InstanceId=instance_id, InstanceMetadataTags="enabled"
    )
