"""What the program reads about the nodes from Pulumi's state."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest

from infra.known import READ, Known
from infra.watch import PairError

NAMES = ("ec2vip-a", "ec2vip-b")
PAIR = "urn:pulumi:dev::ec2vip::ec2vip:index:FloatingIpPair$aws:ec2/"
OUTPUTS = {
    f"{PAIR}instance:Instance::ec2vip-a": "i-a",
    f"{PAIR}instance:Instance::search-a": "i-of-another-pair",
    f"{PAIR}vpc:Vpc::ec2vip-b": "vpc-1",
    "urn:pulumi:dev::ec2vip::aws:ec2/instance:Instance::ec2vip-b": "i-of-nobody",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stack names for which `answer` asked the backend; the fixture fixes the stack's own names."""
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    monkeypatch.setattr(pulumi, "get_project", lambda: "ec2vip")
    monkeypatch.setattr(pulumi, "get_organization", lambda: "organization")
    return []


def answer(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, refused: int = 0, *, is_new: bool = False
) -> dict[str, str]:
    known = Known("ec2vip")
    if is_new:
        known._note(pulumi.ResourceHookArgs("urn", "", "ec2vip", "ec2vip:index:FloatingIpPair"))

    async def invoke(token: str, arguments: dict[str, Any]) -> Any:
        assert token == READ
        asked.append(arguments["stackName"])
        if len(asked) <= refused:
            raise Exception("no such stack")
        return {"outputs": {urn: {"type": "", "outputs": {"id": key}} for urn, key in OUTPUTS.items()}}

    monkeypatch.setattr(pulumi.runtime, "invoke_async", invoke)
    return asyncio.run(known.nodes(NAMES))


def test_only_the_pairs_own_instances_count(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(asked, monkeypatch) == {"ec2vip-a": "i-a"}
    assert asked == ["organization/ec2vip/dev"]


def test_the_state_is_not_read_for_a_pair_that_this_run_makes(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no state yet, and the engine would crash if asked for it."""
    assert answer(asked, monkeypatch, is_new=True) == {}
    assert asked == []


def test_an_old_backend_knows_the_stack_by_its_short_name(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(asked, monkeypatch, refused=1) == {"ec2vip-a": "i-a"}
    assert asked == ["organization/ec2vip/dev", "dev"]


def test_a_state_that_cannot_be_read_is_not_an_empty_one(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        PairError, match=r"state of stack dev cannot be read, .*: no such stack; see `pulumi stack"
    ):
        answer(asked, monkeypatch, refused=2)
