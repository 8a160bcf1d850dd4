from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from cloudinit.spec import Member, NodeSpec, digest_of
from tests.unit.cloudinit.conftest import MEMBERS, VIP, make_spec


def test_the_first_member_bootstraps_and_the_second_does_not() -> None:
    first, second = make_spec(name="ec2vip-a"), make_spec(name="ec2vip-b")
    assert (first.bootstraps, second.bootstraps) == (True, False)
    assert (first.member, first.peer) == MEMBERS
    assert (second.peer, second.member) == MEMBERS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "ec2vip-c"}, ["ec2vip-c", "not one of the members"]),
        ({"members": (MEMBERS[0], MEMBERS[0])}, ["both members are named", "ec2vip-a"]),
        (
            {"members": (MEMBERS[0], Member(name="b", address=MEMBERS[0].address))},
            ["10.0.250.186", "3 different"],
        ),
        ({"vips": (MEMBERS[1].address,)}, ["10.0.250.187", "3 different"]),
        ({"vips": ()}, ["vips is empty", "set at least one"]),
        ({"vips": (IPv4Address("10.0.9.1"),)}, ["10.0.250.186", "outside 10.0.9.0/24"]),
        ({"vips": (VIP, VIP)}, ["10.0.250.185, 10.0.250.185", "4 different"]),
        ({"vips": (VIP, IPv4Address("10.0.9.1"))}, ["10.0.9.1", "outside 10.0.250.0/24"]),
        ({"token_ms": 125}, ["125", "126..300000"]),
        ({"token_ms": 300_001}, ["300001", "126..300000"]),
        ({"key_parameter": "arn:aws:ssm:us-east-1:123456789012:parameter/k"}, ["key_digest", "set both"]),
        ({"package_repository": "https://a.example/9"}, ["package_repository_key", "set both"]),
        (
            {
                "package_repository": "https://a.example/9",
                "package_repository_key": "https://a.example/KEY#12AB",
            },
            ["https://a.example/KEY#12AB", "has no fingerprint", "40 hexadecimal digits"],
        ),
    ],
)
def test_a_contradiction_is_refused_with_the_value_and_the_rule(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=words[0]) as refusal:
        make_spec(**changes)
    for word in words:
        assert word in str(refusal.value)


def test_a_spec_cannot_be_changed(spec: NodeSpec) -> None:
    with pytest.raises(AttributeError):
        spec.token_ms = 1  # type: ignore[misc]


def test_another_key_is_another_digest_and_the_digest_is_not_the_key() -> None:
    assert digest_of(b"x" * 128) != digest_of(b"y" * 128)
    assert len(digest_of(b"x" * 128)) == 12
