"""Shared by the tests of a node's first boot: a pair to vary, and its first member."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from cloudinit.spec import Member, NodeSpec, digest_of
from tests.unit.cloudinit.fake_node import FakeNode

MEMBERS = (
    Member(name="ec2vip-a", address=IPv4Address("10.0.250.186")),
    Member(name="ec2vip-b", address=IPv4Address("10.0.250.187")),
)
VIP = IPv4Address("10.0.250.185")
KEY = bytes(range(256))
ENCRYPTED = {
    "key_parameter": "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip/ec2vip/dev/ec2vip/corosync-key",
    "key_digest": digest_of(KEY),
}
OWNERS = (
    "https://mirror.example/9-stream",
    "https://mirror.example/RPM-GPG-KEY#99DB70FAE1D7CE227FB6488205B555B38483C65D",
)
INSTALLER = {
    "installer_parameter": "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip/ec2vip/dev/ec2vip/installer",
    "installer_digest": "0123456789abcdef" * 4,
}


def make_spec(**changes: Any) -> NodeSpec:
    """The usual pair's first node, with changes. With al2023, its installer is in a parameter."""
    usual: dict[str, Any] = {
        "cluster_name": "dev",
        "name": "ec2vip-a",
        "members": MEMBERS,
        "vips": (VIP,),
        "prefix_length": 24,
        "platform": "debian12",
        **(INSTALLER if changes.get("platform") == "al2023" else {}),
    }
    return NodeSpec(**{**usual, **changes})


@pytest.fixture
def spec() -> NodeSpec:
    return make_spec()


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """The first member, with no packages installed."""
    return FakeNode(tmp_path, make_spec())
