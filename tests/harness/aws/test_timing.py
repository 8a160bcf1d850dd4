"""The answer, the route and the metadata each change after their own delay, in that order."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.aws.emulator import Settings
from tests.aws.emulator.addresses import AddressBook, View
from tests.aws.emulator.scheduler import Scheduler

from .conftest import NODE_A, NODE_B, VIP, Cloud, allow, eventually

NEVER = math.inf


def local_ipv4s(cloud: Cloud, instance_id: str) -> list[str]:
    mac = cloud.interface(instance_id).mac
    return cloud.metadata(instance_id).get(f"meta-data/network/interfaces/macs/{mac}/local-ipv4s").split("\n")


def test_the_route_follows_the_answer_by_its_delay(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(route_delay_s=0.3, imds_delay_s=0.2))
    instance_id = cloud.launch(NODE_A)
    answered = time.monotonic()
    cloud.assign(cloud.eni(instance_id), VIP)
    eventually(lambda: cloud.interface(instance_id).secondaries, lambda found: found == (VIP,))
    eventually(lambda: local_ipv4s(cloud, instance_id), lambda found: found == [NODE_A, VIP])
    (routed,) = [event["t"] for event in cloud.events if event["kind"] == "route"]
    (shown,) = [event["t"] for event in cloud.events if event["kind"] == "imds-address"]
    assert routed - answered >= 0.3
    assert shown - routed >= 0.2


def test_describe_knows_of_a_move_before_the_data_plane_and_the_metadata(
    new_cloud: Callable[..., Cloud],
) -> None:
    cloud = new_cloud()
    a, b = cloud.launch(NODE_A), cloud.launch(NODE_B)
    cloud.assign(cloud.eni(a), VIP)
    cloud.emulator.settings.route_delay_s = NEVER
    cloud.assign(cloud.eni(b), VIP, AllowReassignment=True)
    assert cloud.described(cloud.eni(b)) == [NODE_B, VIP]
    assert cloud.interface(a).secondaries == (VIP,), "packets still go to the old interface"
    assert local_ipv4s(cloud, a) == [NODE_A, VIP]
    assert local_ipv4s(cloud, b) == [NODE_B]


def test_describe_can_lag_while_the_truth_is_enforced(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(describe_lag_s=NEVER))
    eni = cloud.eni(cloud.launch(NODE_A))
    cloud.assign(eni, VIP)
    assert cloud.described(eni) == [NODE_A]
    cloud.ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])


@pytest.mark.parametrize("how", ["reboot", "stop and start"])
def test_stale_metadata_are_fresh_after_a_reboot_or_start(new_cloud: Callable[..., Cloud], how: str) -> None:
    cloud = new_cloud(Settings(imds_delay_s=NEVER))
    instance_id = cloud.launch(NODE_A)
    cloud.assign(cloud.eni(instance_id), VIP)
    assert local_ipv4s(cloud, instance_id) == [NODE_A]
    if how == "reboot":
        cloud.ec2.reboot_instances(InstanceIds=[instance_id])
    else:
        cloud.ec2.stop_instances(InstanceIds=[instance_id])
        cloud.ec2.start_instances(InstanceIds=[instance_id])
    assert local_ipv4s(cloud, instance_id) == [NODE_A, VIP]


def test_of_two_moves_the_later_one_stays_however_late_the_earlier_arrives(
    new_cloud: Callable[..., Cloud],
) -> None:
    cloud = new_cloud(Settings(route_delay_s=0.3))
    a, b = cloud.launch(NODE_A), cloud.launch(NODE_B)
    cloud.assign(cloud.eni(a), VIP)
    cloud.emulator.settings.route_delay_s = 0
    cloud.assign(cloud.eni(b), VIP, AllowReassignment=True)
    late = threading.Event()
    cloud.emulator._world.scheduler.after(0.4, late.set)
    assert late.wait(20)
    assert (cloud.interface(a).secondaries, cloud.interface(b).secondaries) == ((), (VIP,))


def test_an_older_version_of_a_place_is_dropped() -> None:
    view = View()
    place = ("vpc-1", VIP)
    assert view.apply(place, "eni-new", 2)
    assert not view.apply(place, "eni-old", 1)
    assert (view.of("eni-new"), view.of("eni-old")) == ((VIP,), ())


def test_the_same_address_in_two_vpcs_is_two_addresses() -> None:
    book = AddressBook(Settings(), Scheduler(), lambda: None, lambda event: None)
    book.changed("vpc-1", [VIP], "eni-1")
    book.changed("vpc-2", [VIP], "eni-2")
    assert (book.routed.of("eni-1"), book.routed.of("eni-2")) == ((VIP,), (VIP,))


def test_calls_of_a_node_wait_for_the_delay_and_the_administrators_do_not(
    new_cloud: Callable[..., Cloud],
) -> None:
    cloud = new_cloud(Settings(api_delay_s=0.3, read_delay_s=0.1))
    cloud.role("node", allow("ec2:*"))
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    eni, node = cloud.eni(instance_id), cloud.node(instance_id)
    node.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])
    node.describe_network_interfaces()
    assert cloud.calls("AssignPrivateIpAddresses")[0]["latency_s"] >= 0.3
    assert cloud.calls("DescribeNetworkInterfaces")[0]["latency_s"] >= 0.1


def test_nobody_waits_for_another_ones_delay(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(api_delay_s=3600, read_delay_s=0))
    cloud.role("node", allow("ec2:*"))
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    eni, node = cloud.eni(instance_id), cloud.node(instance_id)

    def assign() -> None:
        # The call gets no answer; the emulator's end ends it.
        try:
            node.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])
        except Exception:
            return

    waiting = threading.Thread(target=assign, daemon=True)
    waiting.start()
    reader = cloud.node(instance_id)
    assert reader.describe_network_interfaces()["NetworkInterfaces"]
    assert cloud.described(eni) == [NODE_A]
    assert waiting.is_alive()


def test_typical_times_are_documented_ones_and_instant_has_none() -> None:
    typical, instant = Settings.typical(), Settings.instant()
    assert typical.api_delay_s + typical.route_delay_s == pytest.approx(1.2)
    assert (instant.api_delay_s, instant.route_delay_s, instant.imds_delay_s) == (0, 0, 0)


def test_the_data_plane_is_told_when_it_must_follow(new_cloud: Callable[..., Cloud]) -> None:
    seen: list[Any] = []
    holder: dict[str, Cloud] = {}

    def follow() -> None:
        if "cloud" in holder:
            seen.append([each.addresses for each in holder["cloud"].emulator.interfaces()])

    holder["cloud"] = cloud = new_cloud(on_change=follow)
    instance_id = cloud.launch(NODE_A)
    assert seen[-1] == [(NODE_A,)]
    cloud.assign(cloud.eni(instance_id), VIP)
    assert seen[-1] == [(NODE_A, VIP)]
    count = len(seen)
    cloud.described(cloud.eni(instance_id))
    assert len(seen) == count, "a read changes nothing"
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    assert seen[-1] == []


def test_the_data_plane_may_look_from_another_thread_while_it_is_told(
    new_cloud: Callable[..., Cloud],
) -> None:
    """If the emulator called the data plane under its lock, the data plane would wait for itself."""
    holder: dict[str, Cloud] = {}
    stuck: list[threading.Thread] = []

    def follow() -> None:
        if "cloud" in holder:
            looking = threading.Thread(target=holder["cloud"].emulator.interfaces, daemon=True)
            looking.start()
            looking.join(10)
            if looking.is_alive():
                stuck.append(looking)

    holder["cloud"] = cloud = new_cloud(on_change=follow)
    cloud.assign(cloud.eni(cloud.launch(NODE_A)), VIP)
    assert stuck == []


def test_a_data_plane_that_fails_does_not_fail_the_call(new_cloud: Callable[..., Cloud]) -> None:
    def fails() -> None:
        raise RuntimeError("no such link")

    cloud = new_cloud(on_change=fails)
    cloud.assign(cloud.eni(cloud.launch(NODE_A)), VIP)


def test_the_agenda_keeps_the_order_of_what_is_due() -> None:
    now = 0.0
    scheduler, done = Scheduler(lambda: now), list[int]()
    busy, go, end = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        go.wait(20)

    scheduler.after(0.001, hold)
    now = 1.0
    scheduler.after(0.001, lambda: None)  # makes the scheduler look at the clock again
    assert busy.wait(20)
    for number, delay in ((3, 30), (1, 10), (2, 20)):
        scheduler.after(delay, partial(done.append, number))
    scheduler.after(NEVER, partial(done.append, 4))
    scheduler.after(0, partial(done.append, 0))
    scheduler.after(40, end.set)
    now = 100.0
    go.set()
    assert end.wait(20)
    scheduler.close()
    assert done == [0, 1, 2, 3]
