"""What an `up` concludes from what EC2 shows of the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from infra.watch import Node, PairError

from .watched import ADDRESSES, DONE, FAILED, NOW, A, B, Ec2, error, watching


def works(ec2: Ec2, name: str = B, *, again: bool = False, minutes: float = 20) -> None:
    """Wait until the node works. The resource only tells Pulumi beside what to show progress."""

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
    with pytest.raises(PairError, match=r"ec2vip-b \(i-ec2vip-b\).*failed: packages: not within 900 s; fix"):
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
    with pytest.raises(PairError, match="is stopped, so it is not in the cluster; start it"):
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
    """The ids of the nodes found, by name, and the reasons to doubt them."""

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
        "i-ec2vip-a has 10.0.250.186, a node's address, but is not tagged as a node; if it is a node"
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
    with pytest.raises(PairError, match="has not reported that it joined the cluster"):
        works(ec2, minutes=0.0001)


def test_an_answer_that_is_missing_is_asked_for_again(ec2: Ec2) -> None:
    ec2.consoles[ec2.add(B, launched=NOW - timedelta(minutes=19.9999))] = DONE
    ec2.refuses["get_console_output"] = EndpointConnectionError(endpoint_url="https://ec2")
    with pytest.raises(PairError, match="EC2's last answer: Could not connect"):
        works(ec2)


def test_what_is_not_allowed_is_an_error_with_a_remedy(ec2: Ec2) -> None:
    ec2.add(B)
    ec2.refuses["get_console_output"] = error("UnauthorizedOperation")
    with pytest.raises(PairError, match=r"infra.deployer.*readyTimeoutMinutes to 0"):
        works(ec2)
