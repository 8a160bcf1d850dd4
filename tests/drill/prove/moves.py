"""Moves a free address between a pair's nodes, and measures when who notices.

Everything is seen from inside the Region, by the hosts' own clocks: the user's machine is too far away. The
Amazon Time Sync Service keeps these clocks together. AWS names one millisecond, and microseconds for some types
("It's About Time: Microsecond-Accurate Clocks on Amazon EC2 Instances", AWS Compute Blog).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cloudinit.places import LIBRARY_PATH
from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET, Ground
from tests.drill.prove.on_node import metadata, take
from tests.drill.prove.report import MEASURES, Measure
from tests.lab.errors import LabError

CALL, DESCRIBED, SHOWN, GONE, HEARD, HEARD_OUTSIDE, READ = MEASURES[:7]

LEAD_S = 8.0
"""From the commands to the move: all programs must run by then. SSM takes one or two seconds (assumed)."""
LIMIT_S = 30.0
"""How long the programs look after a move's start (assumed). A move takes seconds (what is public of it:
tests/aws/emulator/settings.py)."""
SPARE_TRIES = 2
"""How many moves more than asked we try if some fail."""

ON_NODE = Path(__file__).resolve().parent / "on_node"
NOT_THERE = ("InvalidParameterValue", "InvalidNetworkInterfaceID.NotFound")
"""What EC2 answers if an interface does not have the address that it shall give back."""
NO_ROOM = "PrivateIpAddressLimitExceeded"
"""A t3.micro has room for two, its own and the VIP (EC2 User Guide, "IP addresses per network interface")."""
CLOCK = ("sh", "-c", "date +%s.%N; chronyc tracking || true")
OFFSET = re.compile(r"^System time\s*:\s*(\d+\.\d+) seconds", re.MULTILINE)
DROP = (
    "sh",
    "-c",
    'ip -4 -o address show to "$1/32" | while read -r _ device _; do'
    ' ip address del "$1/32" dev "$device" || exit; done',
    "sh",
)
"""Takes an address off a system, if the system has it; the address comes last."""


@dataclass(frozen=True)
class Move:
    """One move; times in s since 1970 by the hosts' clocks, None for what nobody saw.

    `heard` is by the client's place. `reads` are the times that Describe calls took (s). `troubles` says by the
    measure's name why there is no value.
    """

    began: float | None = None
    answered: float | None = None
    described: float | None = None
    shown: float | None = None
    gone: float | None = None
    heard: Mapping[str, float] = field(default_factory=dict)
    reads: Sequence[float] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)

    @property
    def arrived(self) -> float | None:
        """When the new node certainly got packets; if no client heard it, when EC2 answered."""
        return min(self.heard.values(), default=self.answered)


@dataclass(frozen=True)
class _Clocks:
    """`ahead` is the nodes' time of day less our monotonic time; it is low by what SSM takes for an answer.

    `offset` is the largest that a host's chrony reports (s), None if no host has chrony.
    """

    ahead: float
    offset: float | None
    clients: Mapping[str, str]
    silent: Mapping[str, str]

    def start(self) -> float:
        return self.ahead + time.monotonic() + LEAD_S


def measure_moves(ground: Ground, times: int, say: Callable[[str], None]) -> list[Measure]:
    """Move the spare address `times` times; the first seven measures. In the end nobody has the address.

    If the user interrupts, we first wait for the programs on the hosts, at most LEAD_S + LIMIT_S and what SSM
    takes: one of them might still make its call. Raises LabError if somebody has the address or a node does not
    answer, and ClientError if EC2 refuses to give the address to the first node or to take it back.
    """
    interfaces = _interfaces(ground)
    clocks = _clocks(ground)
    moves: list[Move] = []
    new = ground.standby()
    (old,) = set(ground.nodes) - {new}
    try:
        # All moves are between two nodes, as a fail-over is: a client knows the old one's hardware address.
        if why := _why_no_room(ground, interfaces[old]):
            say(f"{old} {why}")
            return _measures([Move(troubles={CALL: f"{old} {why}"})], clocks)
        for _ in range(times + SPARE_TRIES):
            if sum(move.answered is not None for move in moves) == times:
                break
            say(f"moving {ground.spare} from {old} to {new}")
            moves.append(move := _move(ground, clocks, old, new))
            if move.answered is not None:
                old, new = new, old
            for measure, why in move.troubles.items():
                say(f"{measure}: {why}")
    finally:
        _remove(ground, interfaces, say)
    return _measures(moves, clocks)


def _interfaces(ground: Ground) -> dict[str, str]:
    """The nodes' primary interfaces. Raises LabError if any interface of their subnet has the spare address."""
    found = ground.ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": list(ground.nodes)}]
    )["NetworkInterfaces"]
    primary = [each for each in found if each["Attachment"]["DeviceIndex"] == 0]
    taken = ground.ec2.describe_network_interfaces(
        Filters=[
            {"Name": "addresses.private-ip-address", "Values": [ground.spare]},
            {"Name": "subnet-id", "Values": [each["SubnetId"] for each in primary]},
        ]
    )["NetworkInterfaces"]
    if taken:
        raise LabError(
            f"{ground.spare} belongs to {taken[0]['NetworkInterfaceId']}; only a free address may be moved",
            "take another address of the subnet",
        )
    return {each["Attachment"]["InstanceId"]: each["NetworkInterfaceId"] for each in primary}


def _why_no_room(ground: Ground, eni: str) -> str:
    """Give the spare address to the interface; why that is impossible, or empty."""
    try:
        ground.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[ground.spare])
    except ClientError as error:
        if error.response["Error"]["Code"] != NO_ROOM:
            raise
        return "has no room for an address beside the VIP: set ec2vip:instanceType to a larger one (t3.small)"
    return ""


def _clocks(ground: Ground) -> _Clocks:
    """Ask all hosts for their time. Raises LabError if a node does not answer."""

    def ask(host: str) -> tuple[float, str] | None:
        said = ground.commands.run(host, CLOCK)
        return None if said is None else (float(said.split()[0]) - time.monotonic(), said)

    hosts = [*ground.nodes, *ground.clients.values()]
    with ThreadPoolExecutor(len(hosts)) as pool:
        said = dict(zip(hosts, pool.map(ask, hosts), strict=True))
    if silent := [node for node in ground.nodes if said[node] is None]:
        raise LabError(
            f"SSM does not reach {' and '.join(silent)}", "set ec2vip:ssm, or wait for SSM's agent"
        )
    answers = [each for each in said.values() if each]
    offsets = [float(found[1]) for _, text in answers if (found := OFFSET.search(text))]
    return _Clocks(
        ahead=min(ahead for ahead, _ in answers),
        offset=max(offsets, default=None),
        clients={place: host for place, host in ground.clients.items() if said[host]},
        silent={place: host for place, host in ground.clients.items() if not said[host]},
    )


def _move(ground: Ground, clocks: _Clocks, old: str, new: str) -> Move:
    """Move the address once; every host runs its program at the same time."""
    # Until the move EC2 delivers to the old node, which must be silent: then every answer is the new node's.
    if ground.commands.run(old, [*DROP, ground.spare]) is None:
        return Move(troubles={CALL: f"{old} does not give {ground.spare} up"})
    start = clocks.start()
    tasks = {
        CALL: (new, "take", [LIBRARY_PATH]),
        SHOWN: (new, "metadata", [LIBRARY_PATH, "shown"]),
        GONE: (old, "metadata", [LIBRARY_PATH, "gone"]),
        **{PLACES[place]: (host, "listen", []) for place, host in clocks.clients.items()},
    }
    with ThreadPoolExecutor(len(tasks)) as pool:
        runs = {name: pool.submit(_run, ground, start, *task) for name, task in tasks.items()}
        said = {name: run.result() for name, run in runs.items()}
    troubles = {name: str(each["error"]) for name, each in said.items() if "error" in each}
    if CALL in troubles:
        return Move(troubles=troubles)
    called, seconds = said[CALL], f"not within {LIMIT_S:.0f} s"
    seen = {
        DESCRIBED: called["described"],
        **{name: said[name].get("seen") for name in (SHOWN, GONE)},
        **{PLACES[place]: said[PLACES[place]].get("heard") for place in clocks.clients},
    }
    missed = {name: seconds for name, moment in seen.items() if moment is None}
    return Move(
        began=called["began"],
        answered=called["answered"],
        described=seen[DESCRIBED],
        shown=seen[SHOWN],
        gone=seen[GONE],
        heard={place: heard for place in clocks.clients if (heard := seen[PLACES[place]]) is not None},
        reads=called["reads"],
        troubles=missed | troubles,
    )


def _run(ground: Ground, start: float, host: str, program: str, words: Sequence[str]) -> dict[str, Any]:
    """What a program from ON_NODE printed on a host; `error` if it did not run."""
    source = (ON_NODE / f"{program}.py").read_text(encoding="utf-8")
    told = [ground.spare, f"{start:.3f}", str(LIMIT_S), *words]
    printed = ground.commands.run(host, ["python3", "-I", "-c", source, *told])
    if not printed:
        return {"error": f"{host} did not run {program}.py"}
    said: dict[str, Any] = json.loads(printed)
    return said


def _remove(ground: Ground, interfaces: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Take the spare address from both nodes. We ask nobody who has it, for Describe may lag."""
    for eni in interfaces.values():
        try:
            ground.ec2.unassign_private_ip_addresses(
                NetworkInterfaceId=eni, PrivateIpAddresses=[ground.spare]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_THERE:
                raise
    for node in ground.nodes:
        if ground.commands.run(node, [*DROP, ground.spare]) is None:
            say(f"{node} may still have {ground.spare} in its system; a reboot removes it")


PLACES = {SAME_SUBNET: HEARD, OTHER_SUBNET: HEARD_OUTSIDE}


def _measures(moves: Sequence[Move], clocks: _Clocks) -> list[Measure]:
    good = [move for move in moves if move.answered is not None]
    heard = sum(bool(move.heard) for move in good)
    agree = (
        "by the hosts' own clocks, which agree to about a millisecond (assumed: the Amazon Time Sync Service)"
    )
    if clocks.offset is not None:
        agree += f"; the largest offset that chrony reports is {clocks.offset:.6f} s"
    arrived = (
        f"after the first answer that a client heard ({heard} of {len(good)} moves), else after the call's; "
        f"looked each {metadata.POLL_S} s; {agree}"
    )
    after = f"after the call's answer, negative if before it; pings each 0.01 s; {agree}"

    def measure(
        name: str, spans: Sequence[tuple[float | None, float | None]], note: str, setting: str = ""
    ) -> Measure:
        values = [end - begin for begin, end in spans if begin is not None and end is not None]
        return _measure(name, values, moves, note, setting)

    def absent(place: str) -> str:
        host = clocks.silent.get(place)
        return f"SSM does not reach the client {host}" if host else f"there is no client in {place}"

    return [
        measure(
            CALL,
            [(move.began, move.answered) for move in good],
            "the agent's own call on the new node, TLS included; without tries that EC2 turned away",
            "api_delay_s",
        ),
        measure(
            DESCRIBED,
            [(move.answered, move.described) for move in good],
            f"after the call's answer, and a Describe call at least; asked each {take.POLL_S} s",
            "describe_lag_s",
        ),
        measure(SHOWN, [(move.arrived, move.shown) for move in good], arrived, "imds_delay_s"),
        measure(GONE, [(move.arrived, move.gone) for move in good], arrived),
        *(
            measure(
                name,
                [(move.answered, move.heard.get(place)) for move in good],
                after if place in clocks.clients else absent(place),
                "route_delay_s" if place == SAME_SUBNET else "",
            )
            for place, name in PLACES.items()
        ),
        _measure(
            READ,
            [each for move in good for each in move.reads],
            moves,
            "the agent's own call on the new node, TLS included",
            "read_delay_s",
        ),
    ]


def _measure(
    name: str, values: Sequence[float], moves: Sequence[Move], note: str, setting: str = ""
) -> Measure:
    """A measure whose note also says what went wrong, once each."""
    whys = dict.fromkeys(
        move.troubles.get(name, move.troubles.get(CALL) if move.answered is None else None) for move in moves
    )
    missed = "; ".join(why for why in whys if why)
    lead = "not all" if values else "not measured"
    return Measure(name, values, note=f"{note}; {lead}: {missed}" if missed else note, setting=setting)
