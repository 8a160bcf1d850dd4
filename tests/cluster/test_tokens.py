"""`make tokens` on its smallest part: it measures, and the pair gets its own token back."""

from __future__ import annotations

import pytest

from tests.bench.subjects.stage import COROSYNC
from tests.bench.tokens import Case, Results, Tokens, run_tokens
from tests.drill.pair import Pair
from tests.lab.errors import LabError
from tests.lab.lab import Lab

RUNNING = ("corosync-cmapctl", "-g", "runtime.config.totem.token")


def running(lab: Lab, pair: Pair) -> list[tuple[str, str]]:
    """Each node's token as Corosync has it, and its file."""
    return [
        (lab.run_in(node, RUNNING).stdout.split()[-1], lab.run_in(node, ["cat", COROSYNC]).stdout)
        for node in pair.node_ids
    ]


def test_a_short_stall_is_measured_at_another_token(lab: Lab, pair: Pair) -> None:
    before, holder = running(lab, pair), pair.holder()
    results: Results = {"2000": {"crashes": [{}], "cases": {}, "failed": []}}
    kept: list[str] = []
    seen: list[list[str]] = []

    def look(results: Results) -> None:
        kept.extend(results["2000"]["cases"])
        seen.append([token for token, _ in running(lab, pair)])

    # On a busy machine, a stall of a third of this token still stays far below the token.
    run_tokens(lab, pair, [2000], 1, results, lambda _: None, look, [Case("stall", 0.3)])
    assert seen == [["2000", "2000"]]
    assert kept == ["stall 0.3"]
    assert results["2000"]["failed"] == []
    assert results["2000"]["cases"]["stall 0.3"]["moves"] == 0
    assert results["2000"]["cases"]["stall 0.3"]["lasted_s"] >= 0.6
    assert pair.holder() == holder
    assert running(lab, pair) == before


def interrupted_while_another_token_runs(tokens: Tokens) -> None:
    """Press Ctrl-C in the middle. Until then, a second run is refused."""
    with tokens.ready():
        with (
            pytest.raises(LabError, match="another `make tokens` is at work"),
            Tokens(tokens.lab, tokens.pair, tokens.progress).ready(),
        ):
            pytest.fail("two at once")
        tokens.give(3000)
        raise KeyboardInterrupt


def test_an_interruption_gives_the_pair_its_own_token_back(lab: Lab, pair: Pair) -> None:
    before = running(lab, pair)
    with pytest.raises(KeyboardInterrupt):
        interrupted_while_another_token_runs(Tokens(lab, pair, lambda _: None))
    assert running(lab, pair) == before
    assert pair.flaws() == []


def test_a_woken_holder_leaves_the_vip_with_its_peer(lab: Lab, pair: Pair) -> None:
    """We try it once for each node, because Pacemaker's own choice would suit one of them.

    On a busy machine, the peer may take the VIP within half a second of the waking. Then both stop it, and
    the peer starts it again.
    """
    tokens = Tokens(lab, pair, lambda _: None)
    for _ in pair.node_ids:
        before = pair.holder()
        outcome = tokens.disturb(Case("stall", 4.0), 1000)
        assert outcome.moves in (1, 2)
        assert pair.holder() != before
