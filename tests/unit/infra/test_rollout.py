"""Which node's turn it is in an `up`, and what a node has to wait for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pulumi
import pytest

from infra import rollout
from infra.rollout import Rollout, Wanted, order
from infra.watch import Node, PairError

from .watched import ADDRESSES, DONE, FAILED, NOW, A, B, Ec2, watching


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
    """A run of the program that is an `up` or not, as the test says; records each `pending`."""

    def __init__(self, is_up: bool) -> None:
        self._is_up = is_up
        self.pending: list[bool] = []

    async def is_up(self, pending: bool) -> bool:
        self.pending.append(pending)
        return self._is_up


UP, REFRESH = Run(True), Run(False)


class Made:
    """A registered node; only its id matters here."""

    def __init__(self, instance_id: str | None) -> None:
        self.id = pulumi.Output.from_input(instance_id)


def second_turn(
    ec2: Ec2,
    first_id: str | None,
    made_from: str = "new",
    names: tuple[str, str] = (A, B),
    run: Run = UP,
) -> Rollout:
    """Wait for the turn of `names[0]`, which goes second; both nodes are to be made from `made_from`."""
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
    """For example with --target: the engine then leaves the holder alone too, or the user has named it."""
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
    """The names of the nodes that the run leaves as they are."""
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
    """A refresh, a destroy, or an `up` whose --target leaves out the resource that reveals an `up`."""
    ec2.add(A, holds=True, made_from="old")
    ec2.consoles[ec2.add(B)] = FAILED
    assert left(second_turn(ec2, "i-ec2vip-b", run=REFRESH)) == [A]
    assert ec2.rebooted == []
    assert "leaves ec2vip-a (i-ec2vip-a) unchanged" in said[-1]


def test_a_first_node_that_is_another_now_shows_that_it_is_an_up(ec2: Ec2) -> None:
    ec2.add(A, holds=True, made_from="old")
    ec2.add(B, made_from="old")
    show = ec2.describe_instances

    def replaced(**request: Any) -> Any:
        answer = show(**request)
        if "subnet-id" in str(request) and "NextToken" not in answer:  # the last of the first requests
            ec2.consoles[ec2.add("new", called=B, address=ADDRESSES[B])] = FAILED
            del ec2.nodes[B]
        return answer

    ec2.describe_instances = replaced  # type: ignore[method-assign,assignment]
    with pytest.raises(PairError, match=r"ec2vip-b \(i-new\) has not joined the cluster"):
        second_turn(ec2, "i-new", run=REFRESH)


@pytest.mark.parametrize(("run", "stops"), [(UP, True), (REFRESH, False)])
def test_an_up_that_cannot_tell_the_nodes_stops_and_another_run_leaves_both(
    run: Run, stops: bool, ec2: Ec2
) -> None:
    ec2.add(A, holds=True, made_from="old")
    ec2.add(B, tagged=False)
    if stops:
        with pytest.raises(PairError, match=r"which nodes .* has: i-ec2vip-b has 10.0.250.187.*up --refresh"):
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
    """We tell Pulumi by changing a resource; an `up` that has nothing to do must not show a change."""
    ec2.add(A, **{"holds": True, **changes})
    ec2.consoles[ec2.add(B)] = DONE
    second_turn(ec2, "i-ec2vip-b", run=(run := Run(False)))
    assert run.pending == [pending]


def test_a_standby_that_did_not_say_that_it_joined_is_looked_after(ec2: Ec2) -> None:
    ec2.add(A, holds=True)
    ec2.consoles[ec2.add(B)] = FAILED
    second_turn(ec2, "i-ec2vip-b", run=(run := Run(False)))
    assert run.pending == [True]
