"""Each fault does what it says while it is in force, and is undone exactly. No guest boots here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.cluster.hollow import VIP, A, B, Hollow, eventually
from tests.lab.cgroup import Cgroup
from tests.lab.errors import LabError
from tests.lab.faults import CLIENT, Faults
from tests.lab.process import run


@pytest.fixture
def faults(hollow: Hollow) -> Iterator[Faults]:
    begun = Faults(hollow.lab)
    yield begun
    begun.undo_all()


def ruleset(hollow: Hollow) -> str:
    """All nft rules of the fabric, without counters."""
    listed = run([*hollow.lab.in_fabric(), "nft", "--stateless", "list", "ruleset"]).stdout
    return re.sub(r"counter packets \d+ bytes \d+", "counter", listed)


def test_a_fault_is_told_to_the_timeline_and_ends_once(hollow: Hollow, faults: Faults) -> None:
    since = time.monotonic()
    with faults.isolate(hollow.a) as fault:
        assert fault.in_force
    fault.undo()
    told = [(e["fault"], e["what"], e["nodes"]) for e in hollow.lab.timeline.read("fault", since=since)]
    assert told == [("isolate", "begins", [hollow.a]), ("isolate", "ends", [hollow.a])]


def test_faults_that_are_left_over_end_together(hollow: Hollow, faults: Faults) -> None:
    first, second = faults.isolate(hollow.a), faults.api(hollow.b, "down")
    faults.undo_all()
    assert not first.in_force
    assert not second.in_force
    assert hollow.client_reaches(A)


def test_a_node_without_power_answers_nothing_and_ec2_calls_it_running(
    hollow: Hollow, faults: Faults
) -> None:
    with faults.power_loss(hollow.a):
        assert not hollow.client_reaches(A)
        assert hollow.client_reaches(B)
        assert hollow.state(hollow.a) == "running"
        with pytest.raises(LabError, match="is not running"):
            hollow.lab.leader(hollow.a)
    hollow.wait_for_power(hollow.a)
    assert hollow.client_reaches(A)


def test_power_does_not_come_back_to_what_ec2_has_stopped_meanwhile(hollow: Hollow, faults: Faults) -> None:
    with faults.power_loss(hollow.a):
        hollow.ec2.stop_instances(InstanceIds=[hollow.a], Force=True)
        eventually(lambda: hollow.state(hollow.a) == "stopped")
    assert hollow.state(hollow.a) == "stopped"
    with pytest.raises(LabError, match="is not running"):
        hollow.lab.leader(hollow.a)


def test_a_hanging_machine_runs_nothing_and_answers_nothing(hollow: Hollow, faults: Faults) -> None:
    group = Cgroup(hollow.lab.name, hollow.a)
    with faults.hang(hollow.a):
        assert group.is_frozen()
        assert not hollow.client_reaches(A)
    assert not group.is_frozen()
    assert hollow.client_reaches(A)


def test_a_machine_can_lose_power_while_it_hangs(hollow: Hollow, faults: Faults) -> None:
    with faults.hang(hollow.a), faults.power_loss(hollow.a), pytest.raises(LabError, match="is not running"):
        hollow.lab.leader(hollow.a)
    hollow.wait_for_power(hollow.a)
    assert hollow.client_reaches(A)


def test_a_stalled_machine_goes_on_answering_pings(hollow: Hollow, faults: Faults) -> None:
    with faults.stall(hollow.a):
        assert Cgroup(hollow.lab.name, hollow.a).is_frozen()
        assert hollow.client_reaches(A)
    assert not Cgroup(hollow.lab.name, hollow.a).is_frozen()


def test_a_partition_is_between_two_and_leaves_the_vpcs_rules_alone(hollow: Hollow, faults: Faults) -> None:
    before = ruleset(hollow)
    with faults.partition(hollow.a, hollow.b):
        assert not hollow.reaches(hollow.a, B)
        assert not hollow.reaches(hollow.b, A)
        assert hollow.client_reaches(A)
        assert hollow.client_reaches(B)
        assert before in ruleset(hollow)
    assert ruleset(hollow) == before
    assert hollow.reaches(hollow.a, B)


def test_a_partition_one_way_stops_the_answers_too_but_not_what_goes_the_other_way(
    hollow: Hollow, faults: Faults
) -> None:
    """A ping needs both ways, so we count what arrives at the other node."""
    with faults.partition(hollow.a, hollow.b, one_way=True):
        assert arrived(hollow, hollow.a, hollow.b, B) == 0
        assert arrived(hollow, hollow.b, hollow.a, A) > 0
    assert arrived(hollow, hollow.a, hollow.b, B) > 0


def arrived(hollow: Hollow, sender: str, receiver: str, address: str) -> int:
    """How many of three pings arrive, as the receiver counts them."""
    count = "table inet count { chain in { type filter hook input priority 0; icmp type echo-request counter; }; }"
    hollow.lab.run_in(receiver, ["nft", count])
    try:
        hollow.lab.run_in(sender, ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "0.3", address], check=False)
        listed = hollow.lab.run_in(receiver, ["nft", "--json", "list", "table", "inet", "count"]).stdout
    finally:
        hollow.lab.run_in(receiver, ["nft", "delete", "table", "inet", "count"])
    (rule,) = [item["rule"] for item in json.loads(listed)["nftables"] if "rule" in item]
    return int(next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part))


def test_a_partition_of_one_protocol_lets_the_others_through(hollow: Hollow, faults: Faults) -> None:
    with faults.partition(hollow.a, hollow.b, protocol="corosync"):
        assert hollow.reaches(hollow.a, B)
    with faults.partition(hollow.a, hollow.b, protocol="icmp"):
        assert not hollow.reaches(hollow.a, B)
    with pytest.raises(LabError, match=r"no protocol 'sctp'; use one of corosync, icmp"):
        faults.partition(hollow.a, hollow.b, protocol="sctp")


def test_the_client_can_be_one_side_of_a_partition(hollow: Hollow, faults: Faults) -> None:
    with faults.partition(hollow.a, CLIENT):
        assert not hollow.client_reaches(A)
        assert hollow.reaches(hollow.b, A)
    assert hollow.client_reaches(A)


def test_an_isolated_node_has_no_metadata_and_no_api_either(hollow: Hollow, faults: Faults) -> None:
    with faults.isolate(hollow.a):
        assert hollow.metadata(hollow.a, timeout_s=0.5) == "TimeoutError"
        assert hollow.metadata(hollow.b) == "200"
        assert not hollow.client_reaches(A)
    assert hollow.metadata(hollow.a) == "200"


def test_packets_get_lost_at_about_the_rate_asked_for(hollow: Hollow, faults: Faults) -> None:
    with faults.packet_loss(hollow.a, percent=50):
        shown = run(
            [*hollow.lab.in_client(), "ping", "-n", "-q", "-c", "200", "-i", "0.005", "-W", "1", A],
            check=False,
        )
    lost = float(re.findall(r"([\d.]+)% packet loss", shown.stdout)[0])
    # A ping may get lost on either of two ways: 75 % of 200, give or take six standard deviations.
    assert 55 < lost < 95
    assert hollow.client_reaches(A)
    with pytest.raises(LabError, match="a loss of 0 % is out of range"):
        faults.packet_loss(hollow.a, percent=0)


def test_names_are_not_answered_to_the_node_whose_name_service_is_down(
    hollow: Hollow, faults: Faults
) -> None:
    assert resolves(hollow, hollow.a)
    with faults.dns_down(hollow.a):
        assert not resolves(hollow, hollow.a)
        assert resolves(hollow, hollow.b)
        assert hollow.metadata(hollow.a) == "200"
    assert resolves(hollow, hollow.a)


RESOLVE = """
from dnslib import DNSRecord
try:
    print(len(DNSRecord.parse(DNSRecord.question("ec2.us-east-1.amazonaws.com").send(
        "169.254.169.253", timeout=0.5)).rr))
except OSError:
    print(0)
"""


def resolves(hollow: Hollow, node: str) -> bool:
    return hollow.python(node, RESOLVE) == "1"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("down", r"ConnectionResetError|RemoteDisconnected"),
        ("slow", "TimeoutError"),
        ("hang", "TimeoutError"),
        ("401", "401"),
        ("404", "404"),
        ("503", "503"),
    ],
)
def test_the_metadata_service_fails_one_node(hollow: Hollow, faults: Faults, kind: str, answer: str) -> None:
    with faults.imds(hollow.a, kind):
        assert re.fullmatch(answer, hollow.metadata(hollow.a, timeout_s=1))
        assert hollow.metadata(hollow.b) == "200"
    assert hollow.metadata(hollow.a) == "200"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("down", "ConnectionClosedError|SSLError|EndpointConnectionError"),
        ("slow", "ReadTimeoutError"),
        ("hang", "ReadTimeoutError"),
        ("throttled", "RequestLimitExceeded"),
        ("denied", "UnauthorizedOperation"),
        ("expired", "RequestExpired"),
    ],
)
def test_the_api_fails_one_node(hollow: Hollow, faults: Faults, kind: str, answer: str) -> None:
    with faults.api(hollow.a, kind):
        assert re.fullmatch(answer, hollow.api(hollow.a, timeout_s=1))
    assert hollow.api(hollow.a, timeout_s=10) == "OK"


def test_an_unknown_kind_is_refused_with_those_there_are(hollow: Hollow, faults: Faults) -> None:
    with pytest.raises(LabError, match="'broken' is no fault of the api; use one of down"):
        faults.api(hollow.a, "broken")


def test_a_full_disk_has_no_room_until_the_end(hollow: Hollow, faults: Faults) -> None:
    """We write through the node's root, as a guest does."""
    root = hollow.lab.folder / "nodes" / hollow.a / "disk/root"

    def write(name: str, size: int) -> bool:
        words = ["dd", "if=/dev/zero", f"of={root}/var/{name}", "bs=64k", f"count={size >> 16}"]
        return run([*hollow.lab.enter(), *words], check=False).returncode == 0

    assert write("before", 8 << 20)
    with faults.disk_full(hollow.a):
        assert not write("during", 8 << 20)
        kept = run([*hollow.lab.enter(), "stat", "--format=%s", f"{root}/var/before"]).stdout
        assert int(kept) == 8 << 20
    assert write("after", 8 << 20)


def test_a_starved_node_has_the_processor_time_it_is_left(hollow: Hollow, faults: Faults) -> None:
    group = Cgroup(hollow.lab.name, hollow.a)
    before = group.cpu_limit()
    with faults.cpu_starved(hollow.a, cpus=0.05):
        assert group.cpu_limit() == pytest.approx(0.05)
        assert busy_share(group) < 0.2
    assert group.cpu_limit() == before
    assert busy_share(group) > 0.2


def busy_share(group: Cgroup) -> float:
    """The share of a processor that a busy loop in the group gets, over half a second."""
    enter = 'for file in "$@"; do echo $$ > "$file"; done; exec '
    loop = "python3 -c 'import time; e = time.monotonic() + .5\nwhile time.monotonic() < e: pass\n"
    loop += "print(time.process_time())'"
    return float(run(["sh", "-c", enter + loop, "sh", *group.procs()]).stdout) / 0.5


def test_a_node_under_pressure_has_little_memory_left(hollow: Hollow, faults: Faults) -> None:
    group = Cgroup(hollow.lab.name, hollow.a)
    before = group.memory_limit()
    with faults.memory_pressure(hollow.a, spare=16 << 20):
        assert group.memory_limit() < group.memory_needed() + (64 << 20)
        assert not can_take(group, 128 << 20)
    assert group.memory_limit() == before
    assert can_take(group, 128 << 20)


def can_take(group: Cgroup, size: int) -> bool:
    enter = 'for file in "$@"; do echo $$ > "$file"; done; exec '
    take = f"python3 -c 'bytearray({size})'"
    return run(["sh", "-c", enter + take, "sh", *group.procs()], check=False).returncode == 0


def test_a_thief_has_the_vip_and_gives_back_what_it_still_has(hollow: Hollow, faults: Faults) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.a)
    interfaces = len(hollow.ec2.describe_network_interfaces()["NetworkInterfaces"])
    with faults.vip_stolen(VIP):
        assert VIP not in hollow.addresses(hollow.a)
        assert not hollow.client_reaches(VIP)
    assert hollow.client_reaches(VIP)
    with faults.vip_stolen(VIP):
        hollow.assign(hollow.b)
    assert VIP in hollow.addresses(hollow.b), "what the cluster took back must stay where it is"
    assert len(hollow.ec2.describe_network_interfaces()["NetworkInterfaces"]) == interfaces


def test_the_holders_system_loses_the_vip_and_gets_it_back(hollow: Hollow, faults: Faults) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.a)
    with faults.os_address_deleted(hollow.a, VIP):
        assert not hollow.client_reaches(VIP)
        assert VIP in hollow.addresses(hollow.a)
    assert hollow.client_reaches(VIP)
    with faults.os_address_deleted(hollow.a, VIP):
        hollow.assign(hollow.b)
    assert not hollow.in_os(hollow.a), "a node that is no longer the holder must not get it back"
    with pytest.raises(LabError, match=f"does not have {VIP}"):
        faults.os_address_deleted(hollow.a, VIP)


def test_the_wrong_system_has_the_vip_until_the_end(hollow: Hollow, faults: Faults) -> None:
    hollow.assign(hollow.a)
    hollow.bring_up(hollow.a)
    with faults.os_address_added(hollow.b, VIP):
        assert hollow.in_os(hollow.b)
        assert hollow.client_reaches(VIP)
    assert not hollow.in_os(hollow.b)
    with faults.os_address_added(hollow.b, VIP):
        hollow.assign(hollow.b)
    assert hollow.in_os(hollow.b), "it has become the holder"


def test_a_detached_role_is_attached_again(hollow: Hollow, faults: Faults) -> None:
    with faults.role_detached(hollow.a):
        assert hollow.api(hollow.a) == "NoCredentialsError"
        assert hollow.api(hollow.b, timeout_s=10) == "OK"
    assert hollow.api(hollow.a, timeout_s=10) == "OK"


def test_the_api_refuses_a_node_whose_clock_was_stepped_until_it_is_right_again(
    hollow: Hollow, faults: Faults
) -> None:
    for seconds in (3600, -3600):
        with faults.clock_step(hollow.a, seconds):
            assert hollow.api(hollow.a, timeout_s=10) == "RequestExpired"
            assert hollow.api(hollow.b, timeout_s=10) == "OK"
    assert hollow.api(hollow.a, timeout_s=10) == "OK"


def test_a_fault_of_an_unknown_node_is_refused(faults: Faults) -> None:
    with pytest.raises(LabError, match="no instance 'i-0'"):
        faults.isolate("i-0")


def test_a_node_that_can_start_no_process_goes_on_with_those_it_has(hollow: Hollow, faults: Faults) -> None:
    """Its kernel goes on answering; until the end, every fork in it is refused."""
    group = Cgroup(hollow.lab.name, hollow.a)
    before = group._read("pids.max")
    with faults.no_processes(hollow.a):
        assert group._read("pids.max").strip() == "1"
        assert hollow.client_reaches(A)
    assert group._read("pids.max") == before
