from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address

import pytest

from cloudinit import cib
from cloudinit.spec import NodeSpec
from tests.unit.cloudinit.conftest import make_spec


def test_the_commands_say_the_whole_cluster(spec: NodeSpec) -> None:
    assert [" ".join(command) for command in cib.commands(spec)] == [
        "property set --force no-quorum-policy=ignore transition-delay=50ms cluster-recheck-interval=60s "
        f"dc-deadtime=2s stonith-enabled=false ec2vip-settings={cib.digest(spec)}",
        "resource defaults update resource-stickiness=INFINITY migration-threshold=1 failure-timeout=60s",
        "resource op defaults update record-pending=true",
        "resource create ec2vip ocf:heartbeat:ec2vip ec2_vip=10.0.250.185 "
        # Not the original's stop, which would keep the VIP from both nodes after a failed start on one.
        "op start timeout=60s on-fail=restart "
        "op monitor interval=10s timeout=60s on-fail=restart "
        "op stop timeout=60s on-fail=block --no-default-ops",
        "resource create vip ocf:heartbeat:IPaddr2 ip=10.0.250.185 cidr_netmask=24 arp_count=1 arp_bg=true "
        "op start timeout=20s on-fail=restart "
        "op monitor interval=10s timeout=20s on-fail=restart "
        "op stop timeout=20s on-fail=block --no-default-ops",
        "resource group add vip-group ec2vip vip",
    ]


def test_a_failure_on_each_node_does_not_last() -> None:
    """With migration-threshold=1 a failure bans its node; it must expire, and be seen to."""
    assert cib.RESOURCE_DEFAULTS["migration-threshold"] == "1"
    assert cib.RESOURCE_DEFAULTS["failure-timeout"] == cib.PROPERTIES["cluster-recheck-interval"]


def test_what_the_first_start_needs_is_also_among_the_settings() -> None:
    assert cib.SEED_PROPERTIES.items() <= cib.PROPERTIES.items()
    assert set(cib.SEED_PROPERTIES) == {"dc-deadtime", "stonith-enabled"}


def test_the_digest_is_the_same_on_both_nodes_and_whatever_is_not_a_setting() -> None:
    usual = cib.digest(make_spec())
    assert len(usual) == 16
    assert cib.digest(make_spec(name="ec2vip-b")) == usual
    assert cib.digest(make_spec(token_ms=300, platform="debian13")) == usual


@pytest.mark.parametrize("changes", [{"vip": IPv4Address("10.0.250.10")}, {"prefix_length": 23}])
def test_the_digest_changes_with_a_parameter(changes: dict[str, object]) -> None:
    assert cib.digest(make_spec(**changes)) != cib.digest(make_spec())


@pytest.mark.parametrize("name", ["PROPERTIES", "RESOURCE_DEFAULTS", "OPERATION_DEFAULTS"])
def test_the_digest_changes_with_a_default(
    name: str, spec: NodeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cib.digest(spec)
    monkeypatch.setattr(cib, name, {**getattr(cib, name), "another": "1"})
    assert cib.digest(spec) != before


def test_the_digest_changes_with_an_operation(spec: NodeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cib.digest(spec)
    first, *rest = cib.resources(spec)
    slower = dataclasses.replace(first.operations[0], timeout_s=61)
    changed = dataclasses.replace(first, operations=(slower, *first.operations[1:]))
    monkeypatch.setattr(cib, "resources", lambda _: (changed, *rest))
    assert cib.digest(spec) != before
