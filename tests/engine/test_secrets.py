"""A secret encryption key stays secret in the settings, the state, the outputs and the user data."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
from typing import Any

import pytest

from .cloud import Cloud


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(256)).decode()


def parameters(cloud: Cloud) -> list[dict[str, Any]]:
    """The account's own parameters: name, type, tags and the rest of their description."""
    pages = cloud.ssm.get_paginator("describe_parameters").paginate()
    found: list[dict[str, Any]] = [each for page in pages for each in page["Parameters"]]
    return [parameter for parameter in found if not parameter["Name"].startswith("/aws/service/")]


def texts(cloud: Cloud) -> list[str]:
    """Each node's user data, which anyone may read who may read an instance's attributes."""
    found = []
    for instance in cloud.instances().values():
        attribute = cloud.ec2.describe_instance_attribute(
            InstanceId=instance["InstanceId"], Attribute="userData"
        )
        found.append(gzip.decompress(base64.b64decode(attribute["UserData"]["Value"])).decode())
    return found


def test_the_key_is_in_clear_nowhere_but_in_its_parameter(fresh_cloud: Cloud) -> None:
    key = new_key()
    stack = fresh_cloud.stack()
    stack.configure_secret("encryptionKey", key)
    said = stack.up()
    user_data = texts(fresh_cloud)
    assert len(user_data) == 2
    assert all("crypto_cipher: aes256" in text for text in user_data)
    for text in (
        stack.settings_file.read_text(),
        json.dumps(stack.state()),
        json.dumps(stack.outputs()),
        said,
        *user_data,
    ):
        assert key not in text
        assert base64.b64decode(key).hex() not in text
    (parameter,) = parameters(fresh_cloud)
    assert parameter["Type"] == "SecureString"
    read = fresh_cloud.ssm.get_parameter(Name=parameter["Name"], WithDecryption=True)
    assert read["Parameter"]["Value"] == key
    stack.up("--skip-preview")
    assert set(stack.last_changes()) == {"same"}
    stack.refresh()
    assert stack.preview() == []
    stack.destroy()
    assert parameters(fresh_cloud) == []
    assert fresh_cloud.leftovers() == {}


def test_another_key_replaces_the_nodes_and_changes_the_parameter(fresh_cloud: Cloud) -> None:
    stack = fresh_cloud.stack()
    stack.configure_secret("encryptionKey", new_key())
    stack.up("--skip-preview")
    (before,) = parameters(fresh_cloud)
    stack.configure_secret("encryptionKey", key := new_key())
    steps = {(step.operation, step.name) for step in stack.preview()}
    assert ("update", "ec2vip-corosync-key") in steps
    assert {("replace", "ec2vip-a"), ("replace", "ec2vip-b")} <= steps
    stack.up("--skip-preview")
    # A node with another key forms a cluster of its own and takes the VIP without asking.
    assert (fresh_cloud.holder("10.0.250.185"), fresh_cloud.guests.lost) == ("ec2vip-a", [])
    (after,) = parameters(fresh_cloud)
    assert after["Name"] == before["Name"]
    read = fresh_cloud.ssm.get_parameter(Name=after["Name"], WithDecryption=True)
    assert read["Parameter"]["Value"] == key


@pytest.mark.parametrize("encrypted", [True, False], ids=["with encryption", "without encryption"])
def test_the_nodes_role_may_read_that_key_where_there_is_one_and_nothing_else(
    encrypted: bool, fresh_cloud: Cloud
) -> None:
    cloud = fresh_cloud
    cloud.ssm.put_parameter(Name="ec2vip-corosync-key-of-others", Value="x", Type="SecureString")
    stack = cloud.stack()
    if encrypted:
        stack.configure_secret("encryptionKey", new_key())
    stack.up("--skip-preview")
    actions: dict[str, Any] = {}
    (role,) = [r["RoleName"] for r in cloud.iam.list_roles()["Roles"] if r["RoleName"].startswith("ec2vip-")]
    for name in cloud.iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = cloud.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in document["Statement"]:
            if "ssm:" in json.dumps(statement):
                actions[statement["Action"]] = statement["Resource"]
    own = [p["Name"] for p in parameters(cloud) if not p["Name"].endswith("others")]
    if not encrypted:
        assert (actions, own) == ({}, [])
        return
    (name,) = own
    account = cloud.emulator.account_id
    assert actions == {"ssm:GetParameter": f"arn:aws:ssm:us-east-1:{account}:parameter{name}"}


def test_without_a_key_nothing_is_secret(fresh_cloud: Cloud) -> None:
    stack = fresh_cloud.stack()
    stack.up("--skip-preview")
    (instance, *_) = [i for i in fresh_cloud.emulator.instances() if i.name == "ec2vip-a"]
    assert base64.b64encode(instance.user_data).decode() in json.dumps(stack.state())
    assert "[secret]" not in json.dumps(stack.outputs())
