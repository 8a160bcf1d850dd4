"""The VPC's data plane, tested by packets: who is reached, from where, and what a rule lets through.

No guest boots. tests/lab/README.md lists the behaviours of EC2 to which each test holds the lab.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.hollow import LISTEN, METADATA, PING_IN, SEND, VIP, A, B, Hollow, eventually
from tests.lab.network_plan import API, CLIENT_ADDRESS, IMDS, RESOLVER

BEHIND = "behind"


def test_an_address_that_only_ec2_knows_gets_no_answer(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    count = (
        "table inet count { chain in { type filter hook prerouting priority -300; ip daddr %s counter; }; }"
    )
    hollow.lab.run_in(hollow.a, ["nft", count % VIP])
    try:
        assert not hollow.client_reaches(VIP)
        counted = hollow.lab.run_in(hollow.a, ["nft", "list", "table", "inet", "count"]).stdout
    finally:
        hollow.lab.run_in(hollow.a, ["nft", "delete", "table", "inet", "count"])
    assert "packets 0" not in counted, "EC2 delivers it all the same"
    assert not hollow.in_os(hollow.a), "EC2 must not put it into the guest's system"
    hollow.bring_up(hollow.a)
    assert hollow.client_reaches(VIP)


def test_an_address_that_only_the_system_knows_gets_no_packet(hollow: Hollow) -> None:
    hollow.bring_up(hollow.a)
    assert not hollow.client_reaches(VIP)
    hollow.assign(hollow.a)
    assert hollow.client_reaches(VIP)


def test_packets_follow_the_assignment_and_nothing_else(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.b)
    assert not hollow.client_reaches(VIP)
    hollow.assign(hollow.b)
    assert hollow.client_reaches(VIP)


def test_an_arp_announcement_of_a_guest_moves_nothing(hollow: Hollow) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.a)
    hollow.bring_up(hollow.b)
    hollow.take_down(hollow.a)
    hollow.python(hollow.b, ANNOUNCE, VIP)
    assert not hollow.client_reaches(VIP)


ANNOUNCE = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("ens5", 0x0806))
mac = s.getsockname()[4]; vip = socket.inet_aton(sys.argv[1])
for kind in (1, 2):
    arp = b"\\x00\\x01\\x08\\x00\\x06\\x04" + kind.to_bytes(2, "big") + mac + vip + b"\\xff" * 6 + vip
    s.send(b"\\xff" * 6 + mac + b"\\x08\\x06" + arp)
"""


def test_a_guest_cannot_send_from_an_address_that_is_not_its_own(hollow: Hollow) -> None:
    """This is EC2's source check: the addresses in the guest's own system do not count."""
    hollow.assign(hollow.a)
    for node in (hollow.a, hollow.b):
        hollow.bring_up(node)
    assert heard_by_the_client(hollow, hollow.a) == VIP
    assert heard_by_the_client(hollow, hollow.b) == "nothing"


def heard_by_the_client(hollow: Hollow, sender: str) -> str:
    """The sender of the datagram that the client gets when the node sends one from the VIP; or `nothing`."""
    listener = hollow.begin(hollow.lab.in_client(), LISTEN, CLIENT_ADDRESS)
    hollow.python(sender, SEND, VIP)
    return listener.communicate(timeout=20)[0].strip()


def test_members_of_one_group_do_not_reach_each_other_without_a_rule(hollow: Hollow) -> None:
    assert hollow.reaches(hollow.a, B)
    hollow.revoke(PING_IN)
    try:
        assert not hollow.reaches(hollow.a, B)
        itself = {
            "IpProtocol": "icmp",
            "FromPort": -1,
            "ToPort": -1,
            "UserIdGroupPairs": [{"GroupId": hollow.group}],
        }
        hollow.allow(itself)
        assert hollow.reaches(hollow.a, B)
        assert not hollow.client_reaches(B), "the client is no member"
        hollow.assign(hollow.a)
        hollow.bring_up(hollow.a)
        assert hollow.reaches(hollow.a, B, "-I", VIP), "a member's secondary address is a member's"
        hollow.revoke(itself)
    finally:
        hollow.allow(PING_IN)


def test_a_flow_that_is_tracked_outlives_its_rule_and_a_new_one_does_not(hollow: Hollow) -> None:
    flow = subprocess.Popen(
        [*hollow.lab.in_client(), "ping", "-n", "-c", "8", "-i", "0.2", "-W", "1", A],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert flow.stdout is not None
    while "icmp_seq=1 " not in flow.stdout.readline():
        pass
    hollow.revoke(PING_IN)
    try:
        assert not hollow.client_reaches(A)
        assert "icmp_seq=8 " in flow.communicate(timeout=20)[0]
    finally:
        hollow.allow(PING_IN)


def test_only_the_port_of_a_rule_is_open(hollow: Hollow) -> None:
    rule = {"IpProtocol": "udp", "FromPort": 7000, "ToPort": 7000, "IpRanges": [{"CidrIp": f"{B}/32"}]}
    hollow.allow(rule)
    try:
        assert sent_between(hollow, 7000) == B
        assert sent_between(hollow, 7001) == "nothing"
    finally:
        hollow.revoke(rule)
    assert sent_between(hollow, 7000) == "nothing"


def sent_between(hollow: Hollow, port: int) -> str:
    """The sender of the datagram that node a gets on this port when b sends one; or `nothing`."""
    listener = hollow.begin(hollow.lab.in_node(hollow.a), LISTEN.replace("7000", str(port)), A)
    send = SEND.replace(repr(CLIENT_ADDRESS), repr(A)).replace("7000", str(port))
    hollow.python(hollow.b, send, B)
    return listener.communicate(timeout=20)[0].strip()


def test_metadata_and_names_need_no_rule_and_the_api_needs_one(hollow: Hollow) -> None:
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    assert hollow.reaches(hollow.a, API)
    hollow.ec2.revoke_security_group_egress(GroupId=hollow.group, IpPermissions=[everything])
    try:
        assert hollow.reaches(hollow.a, IMDS)
        assert hollow.reaches(hollow.a, RESOLVER)
        assert not hollow.reaches(hollow.a, API)
        assert hollow.metadata(hollow.a) == "200"
    finally:
        hollow.ec2.authorize_security_group_egress(GroupId=hollow.group, IpPermissions=[everything])


def test_what_has_no_route_vanishes_without_a_word(hollow: Hollow) -> None:
    shown = hollow.lab.run_in(
        hollow.a, ["ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", "192.0.2.1"], check=False
    )
    assert "2 packets transmitted, 0 received, 100% packet loss" in shown.stdout
    assert "nreachable" not in shown.stdout


@contextmanager
def a_container(hollow: Hollow) -> Iterator[list[str]]:
    """A network one hop behind node a; yields the prefix that runs a command in it."""

    def on_node(*words: str) -> None:
        hollow.lab.run_in(hollow.a, words)

    on_node("ip", "netns", "add", BEHIND)
    try:
        on_node("ip", "link", "add", "inner", "type", "veth", "peer", "name", "outer", "netns", BEHIND)
        on_node("ip", "address", "add", "172.17.0.1/24", "dev", "inner")
        on_node("ip", "link", "set", "inner", "up")
        inside = ["ip", "netns", "exec", BEHIND]
        for words in (
            ["address", "add", "172.17.0.2/24", "dev", "outer"],
            ["link", "set", "outer", "up"],
            ["route", "add", "default", "via", "172.17.0.1"],
        ):
            on_node(*inside, "ip", *words)
        on_node("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        masquerade = (
            "table ip nat { chain out { type nat hook postrouting priority 100; oifname ens5 masquerade; }; }"
        )
        on_node("nft", masquerade)
        yield inside
    finally:
        on_node("nft", "delete", "table", "ip", "nat")
        on_node("ip", "netns", "delete", BEHIND)


def test_a_token_dies_on_its_way_to_whoever_is_a_hop_too_far(hollow: Hollow) -> None:
    """The hop limit is the answer's IP time to live: one, or two for a container."""
    with a_container(hollow) as inside:
        ask = [*inside, sys.executable, "-c", METADATA, "2"]
        hollow.ec2.modify_instance_metadata_options(InstanceId=hollow.a, HttpPutResponseHopLimit=1)
        assert hollow.metadata(hollow.a) == "200"
        assert hollow.lab.run_in(hollow.a, ask).stdout.strip() == "TimeoutError"
        hollow.ec2.modify_instance_metadata_options(InstanceId=hollow.a, HttpPutResponseHopLimit=2)
        assert hollow.lab.run_in(hollow.a, ask).stdout.strip() == "200"


def test_the_interface_comes_up_with_its_primary_address_and_the_way_out(hollow: Hollow) -> None:
    """On EC2, DHCP does this; here, the hypervisor does."""
    shown = hollow.lab.run_in(hollow.a, ["ip", "-4", "-brief", "address", "show", "dev", "ens5"]).stdout
    assert shown.split()[1:] == ["UP", f"{A}/24"]
    route = hollow.lab.run_in(hollow.a, ["ip", "route", "show", "default"]).stdout
    assert route.split()[:5] == ["default", "via", "10.0.250.1", "dev", "ens5"]


def test_a_boot_begins_without_the_network_of_the_one_before(hollow: Hollow) -> None:
    """Addresses, links and packet filters belong to a kernel, and each boot has a new one."""
    hollow.lab.run_in(hollow.a, ["ip", "link", "add", "behind0", "type", "veth", "peer", "name", "behind1"])
    hollow.lab.run_in(hollow.a, ["nft", "add table inet litter"])
    for address, link in ((VIP, "ens5"), ("192.0.2.1", "lo")):
        hollow.lab.run_in(hollow.a, ["ip", "address", "add", f"{address}/32", "dev", link])
    hollow.lab.ask("power-loss", instance_id=hollow.a)
    hollow.lab.ask("power-on", instance_id=hollow.a)
    hollow.wait_for_power(hollow.a)
    shown = hollow.lab.run_in(hollow.a, ["ip", "-4", "-brief", "address"]).stdout
    assert re.findall(r"[\d.]+/\d+", shown) == ["127.0.0.1/8", f"{A}/24"]
    assert "behind" not in hollow.lab.run_in(hollow.a, ["ip", "link"]).stdout
    assert hollow.lab.run_in(hollow.a, ["nft", "list", "tables"]).stdout == ""


def test_the_order_after_a_move_is_answer_then_route_then_metadata(hollow: Hollow) -> None:
    hollow.bring_up(hollow.a)
    before = hollow.lab.ask("set-delays", route_delay_s=0.6, imds_delay_s=0.6)
    try:
        since = time.monotonic()
        hollow.assign(hollow.a)
        assert VIP in hollow.addresses(hollow.a)
        assert not hollow.client_reaches(VIP) or time.monotonic() - since > 0.6
        eventually(lambda: hollow.client_reaches(VIP))
        eventually(lambda: bool(hollow.lab.timeline.read("imds-address", since=since)))
    finally:
        hollow.lab.ask("set-delays", **before)
    (call,) = [
        e for e in hollow.lab.timeline.read("api", since=since, administrator=True) if "Assign" in e["action"]
    ]
    (route,) = hollow.lab.timeline.read("route", since=since)
    (shown,) = hollow.lab.timeline.read("imds-address", since=since)
    assert route.t - call.t >= 0.5
    assert shown.t - route.t >= 0.5
