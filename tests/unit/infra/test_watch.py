"""What an `up` makes of what EC2 shows of the nodes, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pulumi
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra import rollout, watch
from infra.rollout import Rollout, Wanted, order
from infra.watch import Expected, Node, PairError, Watch

A, B, VIP = "ec2vip-a", "ec2vip-b", "10.0.250.185"
ADDRESSES = {A: "10.0.250.186", B: "10.0.250.187"}
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
        """An instance that runs, with changes: state, holds, launched, made_from, instance_type, profile, tagged,
        called, address."""
        self.nodes[name] = {
            "state": "running",
            "holds": False,
            "launched": NOW,
            "profile": "profile",
            "tagged": True,
            "called": name,
            "address": ADDRESSES.get(name, "10.0.250.9"),
        } | changes
        return f"i-{name}"

    def describe_instances(self, Filters: list[dict[str, Any]], NextToken: str = "") -> Any:  # noqa: N803
        """One instance a page, as EC2 is free to do."""
        self._refuse("describe_instances")
        wanted = {each["Name"]: each["Values"] for each in Filters}
        page = int(NextToken or 0)
        found = [self._shown(name) for name in self.nodes if self._passes(name, wanted)]
        more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
        return {"Reservations": [{"Instances": found[page : page + 1]}], **more}

    def _passes(self, name: str, wanted: Mapping[str, list[str]]) -> bool:
        node = self.nodes[name]
        values = {
            "tag:ec2vip:pair": "ec2vip" if node["tagged"] else "",
            "instance-id": f"i-{name}",
            "subnet-id": "subnet",
            "private-ip-address": node["address"],
        }
        return all(values[each] in allowed for each, allowed in wanted.items())

    def _shown(self, name: str) -> dict[str, Any]:
        node = self.nodes[name]
        addresses = [node["address"], *([VIP] if node["holds"] else [])]
        return {
            "PrivateIpAddress": node["address"],
            "InstanceId": f"i-{name}",
            "State": {"Name": node["state"]},
            "InstanceType": node.get("instance_type", "t3.micro"),
            "LaunchTime": node["launched"],
            "IamInstanceProfile": {"Arn": f"arn:aws:iam::1:instance-profile/{node['profile']}"},
            "Tags": [
                {"Key": "Name", "Value": node["called"]},
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
    for module in (watch, rollout):
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


def watching(ec2: Ec2, known: Mapping[str, str] | None = None, minutes: float = 20) -> Watch:
    """A watch of the pair, of which Pulumi's state has `known`: ids by name."""

    async def knows() -> Mapping[str, str]:
        return known or {}

    expected = Expected(
        profile=pulumi.Output.from_input("profile"), addresses=ADDRESSES, subnet_id="subnet", known=knows
    )
    return Watch("ec2vip", VIP, expected, timedelta(minutes=minutes), lambda: ec2)


def works(ec2: Ec2, name: str = B, *, again: bool = False, minutes: float = 20) -> None:
    """Wait for a node. The resource is only shown to the user."""

    async def run() -> None:
        watch = watching(ec2, minutes=minutes)
        await watch.works(name, f"i-{name}", again=again, resource=None)  # type: ignore[arg-type]

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


@pytest.mark.parametrize("before", [True, False])
def test_a_node_that_shuts_down_is_named_at_once(before: bool, ec2: Ec2) -> None:
    ec2.add(B, state="shutting-down")
    with pytest.raises(
        PairError,
        match=r"i-ec2vip-b\) is shutting-down; wait until it is terminated, then run `pulumi up --re",
    ):
        works(ec2, again=before)


def test_a_node_that_ec2_shows_as_terminated_is_not_waited_for(ec2: Ec2) -> None:
    ec2.add(B, state="terminated")
    with pytest.raises(PairError, match=r"i-ec2vip-b\) is gone; run `pulumi up --refresh`"):
        works(ec2)


def begin(ec2: Ec2, known: Mapping[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
    """The ids that are seen, by name, and what makes them doubtful."""

    async def look() -> tuple[dict[str, Node], list[str]]:
        return await watching(ec2, known).begin()

    found, doubts = asyncio.run(look())
    return {name: node.instance_id for name, node in found.items()}, doubts


@pytest.mark.parametrize(
    "changes",
    [
        {"tagged": False},
        {"called": "renamed"},
        {"profile": "the-one-before"},
        {"tagged": False, "called": ""},
    ],
)
def test_a_node_that_pulumi_knows_is_seen_whatever_became_of_its_marks(
    changes: dict[str, Any], ec2: Ec2
) -> None:
    ids = {A: ec2.add(A, **changes), B: ec2.add(B)}
    assert begin(ec2, ids) == (ids, [])


def test_a_node_that_pulumi_knows_and_that_ec2_does_not_or_no_longer_is_gone(ec2: Ec2) -> None:
    ec2.add(A, state="terminated")
    assert begin(ec2, {A: "i-ec2vip-a", B: "i-of-last-week"}) == ({}, [])


@pytest.mark.parametrize("changes", [{"tagged": False}, {"called": "renamed"}, {"profile": "anothers"}])
def test_an_instance_with_a_nodes_address_that_is_no_known_node_is_doubtful(
    changes: dict[str, Any], ec2: Ec2
) -> None:
    ec2.add(A, **changes)
    found, (doubt,) = begin(ec2)
    assert found == {}
    assert doubt.startswith(
        "i-ec2vip-a has 10.0.250.186, a node's address, and is not known as a node; if it is one"
    )
    assert "ec2vip:pair with ec2vip" in doubt


def test_two_instances_of_one_name_are_doubtful(ec2: Ec2) -> None:
    mine = ec2.add(A)
    other = ec2.add("orphan", called=A)
    found, (doubt,) = begin(ec2, {A: mine})
    assert found == {A: mine}
    assert doubt == f"{mine} and {other} are both called {A}; terminate the one that does not belong here"


def test_one_that_ends_does_not_hide_its_successor(ec2: Ec2) -> None:
    ec2.add("z-old", called=A, state="shutting-down", address=ADDRESSES[A])
    new = ec2.add(A)
    assert begin(ec2) == ({A: new}, [])


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


class Run:
    """A run of the program of which it is known what it is."""

    def __init__(self, is_up: bool) -> None:
        self._is_up = is_up
        self.pending: list[bool] = []

    async def is_up(self, pending: bool) -> bool:
        self.pending.append(pending)
        return self._is_up


UP, REFRESH = Run(True), Run(False)


class Made:
    """A registered node, of which only the id counts here."""

    def __init__(self, instance_id: str | None) -> None:
        self.id = pulumi.Output.from_input(instance_id)


def second_turn(
    ec2: Ec2,
    first_id: str | None,
    made_from: str = "new",
    names: tuple[str, str] = (A, B),
    run: Run = UP,
) -> Rollout:
    """Wait for the turn of the first of `names`, which goes second; both are to be made from `made_from`."""
    second, first = names

    async def wait() -> Rollout:
        turns = Rollout((A, B), watching(ec2), run)  # type: ignore[arg-type]
        for name, instance_id in ((second, f"i-{second}"), (first, first_id)):
            turns.made(name, Made(instance_id))
        wanted = Wanted(pulumi.Output.from_input(made_from), "t3.micro")
        for name in (first, second):
            turn = turns.turn(name, wanted, [])
        await pulumi.Output.from_input(turn).future()
        return turns

    return asyncio.run(wait())


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
    monkeypatch.setattr(rollout, "MOVE_LIMIT", timedelta(seconds=0.01))
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

    ec2.describe_instances = takes  # type: ignore[method-assign,assignment]
    second_turn(ec2, "i-ec2vip-a", "new.key2", names=(B, A))
    assert ec2.rebooted == []
    assert ec2.nodes[A]["holds"]


def left(turns: Rollout) -> list[str]:
    """The nodes that the run leaves as they are."""
    (transform,) = turns.transforms
    kept = []
    for name in (A, B):
        options = pulumi.ResourceOptions(replacement_trigger="new")
        args = pulumi.ResourceTransformArgs(True, "aws:ec2/instance:Instance", name, {}, options)
        if (changed := transform(args)) is not None:
            assert isinstance(changed, pulumi.ResourceTransformResult)
            assert (changed.opts.ignore_changes, changed.opts.replacement_trigger) == (["*"], None)
            kept.append(name)
    return kept


def test_a_run_that_may_be_no_up_leaves_the_holder_as_it_is_and_waits_for_nobody(
    ec2: Ec2, said: list[str]
) -> None:
    """A refresh, a destroy, and an up whose --target leaves out what tells that it is one."""
    ec2.add(A, holds=True, made_from="old")
    ec2.consoles[ec2.add(B)] = FAILED
    assert left(second_turn(ec2, "i-ec2vip-b", run=REFRESH)) == [A]
    assert ec2.rebooted == []
    assert "leaves ec2vip-a (i-ec2vip-a) as it is" in said[-1]


def test_a_first_node_that_is_another_now_shows_that_it_is_an_up(ec2: Ec2) -> None:
    ec2.add(A, holds=True, made_from="old")
    ec2.add(B, made_from="old")
    show = ec2.describe_instances

    def replaced(**request: Any) -> Any:
        answer = show(**request)
        if "subnet-id" in str(request) and "NextToken" not in answer:  # the last look at the beginning
            ec2.consoles[ec2.add("new", called=B, address=ADDRESSES[B])] = FAILED
            del ec2.nodes[B]
        return answer

    ec2.describe_instances = replaced  # type: ignore[method-assign,assignment]
    with pytest.raises(PairError, match=r"ec2vip-b \(i-new\) is no working member"):
        second_turn(ec2, "i-new", run=REFRESH)


@pytest.mark.parametrize(("run", "stops"), [(UP, True), (REFRESH, False)])
def test_an_up_that_cannot_tell_the_nodes_stops_and_another_run_leaves_both(
    run: Run, stops: bool, ec2: Ec2
) -> None:
    ec2.add(A, holds=True, made_from="old")
    ec2.add(B, tagged=False)
    if stops:
        with pytest.raises(
            PairError, match=r"not known for certain: i-ec2vip-b has 10.0.250.187.*up --refresh"
        ):
            second_turn(ec2, "i-ec2vip-b", run=run)
    else:
        assert left(second_turn(ec2, "i-ec2vip-b", run=run))[:1] == [A]


@pytest.mark.parametrize(
    ("changes", "pending"),
    [
        ({}, False),
        ({"state": "stopped"}, True),
        ({"made_from": "old"}, True),
        ({"instance_type": "t3.large"}, True),
        ({"state": "terminated"}, True),
        ({"state": "shutting-down"}, True),
        ({"holds": False}, True),
    ],
)
def test_only_what_is_to_be_looked_after_is_told_to_pulumi(
    changes: dict[str, Any], pending: bool, ec2: Ec2
) -> None:
    """For it is told by a change of a resource, which an up that has nothing to do must not show."""
    ec2.add(A, **{"holds": True, **changes})
    ec2.consoles[ec2.add(B)] = DONE
    second_turn(ec2, "i-ec2vip-b", run=(run := Run(False)))
    assert run.pending == [pending]


def test_a_standby_that_did_not_say_that_it_joined_is_looked_after(ec2: Ec2) -> None:
    ec2.add(A, holds=True)
    ec2.consoles[ec2.add(B)] = FAILED
    second_turn(ec2, "i-ec2vip-b", run=(run := Run(False)))
    assert run.pending == [True]
