from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address

import pytest

from cloudinit import cib
from cloudinit.spec import NodeSpec, Service
from tests.unit.cloudinit.conftest import VIP, make_spec


def test_the_commands_say_the_whole_cluster(spec: NodeSpec) -> None:
    assert [" ".join(command) for command in cib.commands(spec)] == [
        "property set --force no-quorum-policy=ignore cluster-recheck-interval=60s "
        f"dc-deadtime=1s stonith-enabled=false transition-delay=50ms ec2vip-settings={cib.digest(spec)}",
        "resource defaults update resource-stickiness=100000 migration-threshold=1 failure-timeout=60s",
        "resource op defaults update record-pending=true",
        "resource create ec2vip ocf:heartbeat:ec2vip ec2_vip=10.0.250.185 "
        # The original's on-fail=stop would keep the VIP from both nodes after a failed start on one.
        "op start timeout=60s on-fail=restart "
        "op monitor interval=10s timeout=60s on-fail=restart "
        "op stop timeout=60s on-fail=ignore "
        "op migrate_to timeout=20s on-fail=restart "
        "op migrate_from timeout=60s on-fail=restart "
        "meta allow-migrate=true migration-threshold=INFINITY --no-default-ops",
        "resource create vip ocf:heartbeat:IPaddr2 ip=10.0.250.185 cidr_netmask=32 arp_count=1 arp_bg=true "
        "op start timeout=20s on-fail=restart "
        "op monitor interval=10s timeout=20s on-fail=restart "
        "op stop timeout=20s on-fail=ignore "
        "meta migration-threshold=3 --no-default-ops",
        "resource group add vip-group vip",
        "constraint colocation add vip-group with ec2vip score=INFINITY id=vip-group-with-ec2vip",
    ]


def test_a_failure_on_each_node_does_not_last() -> None:
    """With migration-threshold=1, a failure bans its node; it must expire, and Pacemaker must notice that."""
    assert cib.RESOURCE_DEFAULTS["migration-threshold"] == "1"
    assert cib.RESOURCE_DEFAULTS["failure-timeout"] == cib.PROPERTIES["cluster-recheck-interval"]


def test_what_the_first_start_needs_is_also_among_the_settings() -> None:
    assert cib.SEED_PROPERTIES.items() <= cib.PROPERTIES.items()
    assert set(cib.SEED_PROPERTIES) == {"dc-deadtime", "stonith-enabled", "transition-delay"}


def test_the_digest_is_the_same_on_both_nodes_and_whatever_is_not_a_setting() -> None:
    usual = cib.digest(make_spec())
    assert len(usual) == 16
    assert cib.digest(make_spec(name="ec2vip-b")) == usual
    assert cib.digest(make_spec(token_ms=300, platform="debian13")) == usual


@pytest.mark.parametrize(
    "changes", [{"vips": (IPv4Address("10.0.250.10"),)}, {"vips": (VIP, IPv4Address("10.0.250.11"))}]
)
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
    (group,) = cib.groups(spec)
    slower = dataclasses.replace(group.in_os.operations[0], timeout_s=61)
    changed = dataclasses.replace(group.in_os, operations=(slower, *group.in_os.operations[1:]))
    monkeypatch.setattr(cib, "groups", lambda _: (dataclasses.replace(group, in_os=changed),))
    assert cib.digest(spec) != before


SECOND = IPv4Address("10.0.250.190")


def said(spec: NodeSpec, beginning: str) -> list[str]:
    """The commands with that beginning, in order."""
    joined = [" ".join(command) for command in cib.commands(spec)]
    return [command for command in joined if command.startswith(beginning)]


def test_each_vip_has_a_group_of_its_own_that_prefers_the_firsts_node() -> None:
    spec = make_spec(vips=(VIP, SECOND, IPv4Address("10.0.250.191")))
    assert said(spec, "resource group add") == [
        "resource group add vip-group vip",
        "resource group add vip-group-2 vip-2",
        "resource group add vip-group-3 vip-3",
    ]
    assert said(spec, "constraint") == [
        "constraint colocation add vip-group with ec2vip score=INFINITY id=vip-group-with-ec2vip",
        "constraint colocation add vip-group-2 with ec2vip-2 score=INFINITY id=vip-group-2-with-ec2vip-2",
        "constraint colocation add vip-group-3 with ec2vip-3 score=INFINITY id=vip-group-3-with-ec2vip-3",
        "constraint colocation add ec2vip-2 with vip-group score=1000 influence=false "
        "id=vip-group-2-with-vip-group",
        "constraint colocation add ec2vip-3 with vip-group score=1000 influence=false "
        "id=vip-group-3-with-vip-group",
    ]
    (second,) = said(spec, "resource create ec2vip-2 ")
    assert " ec2_vip=10.0.250.190 " in second
    # It must be below the preference for the first VIP's node, or the VIP would never return to it.
    assert " meta allow-migrate=true migration-threshold=INFINITY resource-stickiness=1 " in second
    assert not [command for command in said(spec, "resource create ec2vip ") if "stickiness" in command]


def test_the_digest_changes_with_a_vip_and_with_a_service() -> None:
    digests = {
        cib.digest(make_spec(**changes))
        for changes in ({}, {"vips": (VIP, SECOND)}, {"services": (NGINX,)}, {"services": (FILES,)})
    }
    assert len(digests) == 4


NGINX = Service(name="nginx", agent="systemd:nginx")
FILES = Service(
    name="files",
    agent="ocf:heartbeat:Filesystem",
    parameters={"directory": "/srv/my files"},
    start_s=120,
    moves_vip=False,
)


def test_services_are_in_the_first_group_after_the_vip() -> None:
    spec = make_spec(vips=(VIP, SECOND), services=(FILES, NGINX))
    assert said(spec, "resource group add vip-group ") == ["resource group add vip-group vip files nginx"]
    # The first service waits for the address in EC2 too, so all of them do.
    assert said(spec, "constraint order") == ["constraint order ec2vip then files id=vip-group-after-ec2vip"]


def test_a_unit_gets_times_that_leave_systemd_the_last_word() -> None:
    assert said(make_spec(services=(NGINX,)), "resource create nginx") == [
        "resource create nginx systemd:nginx op start timeout=100s on-fail=restart "
        "op monitor interval=10s timeout=30s on-fail=restart op stop timeout=100s on-fail=block "
        "meta migration-threshold=3 --no-default-ops"
    ]
    patient = dataclasses.replace(NGINX, start_s=300, interval_s=5)
    (command,) = said(make_spec(services=(patient,)), "resource create nginx")
    assert "op start timeout=300s on-fail=restart op monitor interval=5s timeout=30s on-fail" in command


def test_an_agent_keeps_the_operations_that_it_advises_but_for_those_given() -> None:
    assert said(make_spec(services=(FILES,)), "resource create files") == [
        "resource create files ocf:heartbeat:Filesystem directory=/srv/my files "
        "op start timeout=120s on-fail=restart meta migration-threshold=3 critical=false"
    ]
