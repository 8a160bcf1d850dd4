"""What an `up` makes of what EC2 shows of the nodes, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pulumi
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra import roll, watch
from infra.roll import Roll, Wanted, order
from infra.watch import Node, PairError, Watch

A, B, VIP = "ec2vip-a", "ec2vip-b", "10.0.250.185"
NOW = datetime.now(timezone.utc)
DONE = "[    1.0] x\r\nec2vip: settings: done (1 s)\r\nec2vip: bootstrap done (23 s)\r\n"
FAILED = "ec2vip: bootstrap failed: packages: not within 900 s\r\nlogin: "


class Ec2:
    """EC2 as a script: what it shows of the instances and consoles, and what it was asked to do."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.consoles: dict[str, str] = {}
        self.posted = NOW + timedelta(seconds=1)
        self.rebooted: list[str] = []
        self.on_reboot: Callable[[str], None] = lambda instance_id: None
        self.refuses: dict[str, Exception] = {}
        self.nitro = True

    def add(self, name: str, **changes: Any) -> str:
        """An instance that runs, with changes: state, holds, launched, made_from, instance_type, profile."""
        self.nodes[name] = {
            "state": "running",
            "holds": False,
            "launched": NOW,
            "profile": "profile",
        } | changes
        return f"i-{name}"

    def describe_instances(self, **_: Any) -> Any:
        self._refuse("describe_instances")
        return {"Reservations": [{"Instances": [self._shown(name) for name in self.nodes]}]}

    def _shown(self, name: str) -> dict[str, Any]:
        node = self.nodes[name]
        addresses = ["10.0.250.186", *([VIP] if node["holds"] else [])]
        return {
            "InstanceId": f"i-{name}",
            "State": {"Name": node["state"]},
            "InstanceType": node.get("instance_type", "t3.micro"),
            "LaunchTime": node["launched"],
            "IamInstanceProfile": {"Arn": f"arn:aws:iam::1:instance-profile/{node['profile']}"},
            "Tags": [
                {"Key": "Name", "Value": name},
                {"Key": "ec2vip:made-from", "Value": node.get("made_from", "new")},
            ],
            "NetworkInterfaces": [{"PrivateIpAddresses": [{"PrivateIpAddress": a} for a in addresses]}],
        }

    def get_console_output(self, InstanceId: str, Latest: bool = False) -> Any:  # noqa: N803
        self._refuse("get_console_output")
        if Latest and not self.nitro:
            raise _error("UnsupportedOperation")
        text = self.consoles.get(InstanceId, "")
        return {"Timestamp": self.posted, "Output": text}

    def reboot_instances(self, InstanceIds: list[str]) -> None:  # noqa: N803
        self.rebooted += InstanceIds
        self.on_reboot(InstanceIds[0])

    def _refuse(self, call: str) -> None:
        if call in self.refuses:
            raise self.refuses[call]


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (watch, roll):
        monkeypatch.setattr(module, "POLL_S", 0.001)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is told meanwhile."""
    lines: list[str] = []
    for level in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, level, lambda text, *_: lines.append(text))
    return lines


@pytest.fixture
def ec2(said: list[str]) -> Ec2:
    return Ec2()


def works(ec2: Ec2, name: str = B, *, again: bool = False, minutes: float = 20) -> None:
    """Wait for a node. The resource is only shown to the user."""

    async def run() -> None:
        watching = Watch(
            "ec2vip", VIP, pulumi.Output.from_input("profile"), timedelta(minutes=minutes), lambda: ec2
        )
        await watching.works(name, f"i-{name}", again=again, resource=None)  # type: ignore[arg-type]

    asyncio.run(run())


def test_the_holder_works_whatever_its_console_says(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B, holds=True)] = FAILED
    works(ec2)


@pytest.mark.parametrize("nitro", [True, False])
def test_a_node_works_that_says_so_on_its_console(nitro: bool, ec2: Ec2, said: list[str]) -> None:
    ec2.nitro = nitro
    ec2.consoles[ec2.add(B)] = DONE
    works(ec2)
    assert ec2.rebooted == []


def test_a_node_that_failed_ends_the_wait_with_its_words(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B)] = FAILED
    with pytest.raises(PairError, match=r"ec2vip-b \(i-ec2vip-b\).*failed: packages: not within 900 s; mend"):
        works(ec2)
    assert ec2.rebooted == []


def test_a_node_that_failed_before_this_up_tries_again_once(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B)] = FAILED
    ec2.on_reboot = lambda instance_id: ec2.consoles.update({instance_id: FAILED + DONE})
    works(ec2, again=True)
    assert ec2.rebooted == ["i-ec2vip-b"]
    ec2.consoles["i-ec2vip-b"] = FAILED
    ec2.on_reboot = lambda instance_id: ec2.consoles.update({instance_id: FAILED + FAILED})
    with pytest.raises(PairError, match="bootstrap failed"):
        works(ec2, again=True)
    assert ec2.rebooted == ["i-ec2vip-b"] * 2


def test_a_silent_node_is_waited_for_within_the_limit_from_its_start(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B, launched=NOW - timedelta(minutes=21))] = "Kernel panic - not syncing"
    with pytest.raises(
        PairError, match=r"20 minutes after its start.*last words: Kernel panic - not syncing"
    ):
        works(ec2)


def test_what_was_posted_before_a_start_says_nothing_of_it(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B, launched=NOW - timedelta(minutes=21))] = DONE
    ec2.posted = NOW - timedelta(minutes=22)
    with pytest.raises(PairError, match="last words: nothing"):
        works(ec2)


def test_a_stopped_node_is_not_waited_for(ec2: Ec2) -> None:
    ec2.add(B, state="stopped")
    with pytest.raises(PairError, match="is stopped and so no working member; start it"):
        works(ec2)


def test_a_node_that_ends_meanwhile_is_not_waited_for(ec2: Ec2) -> None:
    ec2.add(B)
    show = ec2.get_console_output

    def ends(**request: Any) -> Any:
        ec2.nodes[B]["state"] = "terminated"
        return show(**request)

    ec2.get_console_output = ends  # type: ignore[method-assign,assignment]
    with pytest.raises(PairError, match="is gone"):
        works(ec2)


def test_nodes_of_another_stack_are_not_these(ec2: Ec2) -> None:
    ec2.add(B, holds=True, profile="anothers")
    with pytest.raises(PairError, match="not known to be a working member"):
        works(ec2, minutes=0.0001)


def test_an_answer_that_is_missing_is_asked_for_again(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B, launched=NOW - timedelta(minutes=19.9999))] = DONE
    ec2.refuses["get_console_output"] = EndpointConnectionError(endpoint_url="https://ec2")
    with pytest.raises(PairError, match="EC2's last answer: Could not connect"):
        works(ec2)


def test_what_is_not_allowed_is_an_error_with_a_remedy(ec2: Ec2) -> None:
    ec2.add(B)
    ec2.refuses["get_console_output"] = _error("UnauthorizedOperation")
    with pytest.raises(PairError, match=r"infra.deployer.*readyTimeoutMinutes to 0"):
        works(ec2)


def _node(name: str, state: str = "running", holds: bool = False) -> Node:
    return Node(
        name=name,
        instance_id=f"i-{name}",
        state=state,
        instance_type="t3.micro",
        launched=NOW,
        made_from="new",
        holds=holds,
    )


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ([], A),
        ([_node(A), _node(B)], A),
        ([_node(A, holds=True), _node(B)], B),
        ([_node(A), _node(B, holds=True)], A),
        ([_node(A)], B),
        ([_node(A), _node(B, "stopped", holds=True)], B),
        ([_node(A, "stopped"), _node(B, "stopped", holds=True)], A),
    ],
)
def test_whoever_serves_less_goes_first(nodes: list[Node], first: str) -> None:
    assert order({node.name: node for node in nodes}, (A, B))[0] == first


class Made:
    """A registered node, of which only the id counts here."""

    def __init__(self, instance_id: str | None) -> None:
        self.id = pulumi.Output.from_input(instance_id)


def second_turn(
    ec2: Ec2, first_id: str | None, made_from: str = "new", names: tuple[str, str] = (A, B)
) -> None:
    """Wait for the turn of the first of `names`, which goes second; both are to be made from `made_from`."""
    second, first = names

    async def run() -> None:
        watching = Watch(
            "ec2vip", VIP, pulumi.Output.from_input("profile"), timedelta(minutes=20), lambda: ec2
        )
        turns = Roll((A, B), watching)
        for name, instance_id in ((second, f"i-{second}"), (first, first_id)):
            turns.made(name, Made(instance_id))
        wanted = Wanted(pulumi.Output.from_input(made_from), "t3.micro")
        for name in (first, second):
            turn = turns.turn(name, wanted, [])
        await pulumi.Output.from_input(turn).future()

    asyncio.run(run())


def test_a_holder_that_stays_does_not_wait_for_a_node_that_stays(ec2: Ec2) -> None:
    ec2.add(A, holds=True)
    ec2.add(B)
    second_turn(ec2, "i-ec2vip-b")
    assert ec2.rebooted == []


def test_a_holder_that_is_to_go_hands_over_to_a_node_that_works(ec2: Ec2) -> None:
    ec2.add(A, holds=True, made_from="old")
    ec2.consoles[ec2.add(B)] = DONE

    def move(instance_id: str) -> None:
        ec2.nodes[A]["holds"], ec2.nodes[B]["holds"] = False, True

    ec2.on_reboot = move
    second_turn(ec2, "i-ec2vip-b")
    assert ec2.rebooted == ["i-ec2vip-a"]


def test_a_holder_is_not_let_go_where_the_other_does_not_take_the_vip(
    ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll, "MOVE_LIMIT", timedelta(seconds=0.01))
    ec2.add(A, holds=True, made_from="old")
    ec2.consoles[ec2.add(B)] = DONE
    with pytest.raises(PairError, match=r"ec2vip-b .* did not take the VIP .* ec2vip-a was not replaced"):
        second_turn(ec2, "i-ec2vip-b")


def test_a_holder_is_not_moved_for_a_node_that_this_up_leaves_old(ec2: Ec2) -> None:
    """As with --target: the engine then leaves the holder alone as well, or the user has named it."""
    ec2.add(A, holds=True, made_from="old")
    ec2.consoles[ec2.add(B, made_from="old")] = DONE
    second_turn(ec2, "i-ec2vip-b")
    assert ec2.rebooted == []


def test_a_holder_is_not_let_go_where_there_is_no_other(ec2: Ec2) -> None:
    ec2.add(A, holds=True, made_from="old")
    with pytest.raises(PairError, match=r"there is no ec2vip-b to take over.*--target"):
        second_turn(ec2, None)


def test_with_another_key_the_first_node_goes_first_and_takes_the_vip_unasked(ec2: Ec2) -> None:
    ec2.add(A, made_from="new.key2")
    ec2.add(B, holds=True, made_from="old.key1")
    ec2.consoles["i-ec2vip-a"] = DONE
    looks = 0
    show = ec2.describe_instances

    def takes(**request: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 5:
            ec2.nodes[A]["holds"], ec2.nodes[B]["holds"] = True, False
        return show(**request)

    ec2.describe_instances = takes  # type: ignore[method-assign]
    second_turn(ec2, "i-ec2vip-a", "new.key2", names=(B, A))
    assert ec2.rebooted == []
    assert ec2.nodes[A]["holds"]
