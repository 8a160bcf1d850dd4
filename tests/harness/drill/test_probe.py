from __future__ import annotations

import pytest

from tests.drill.probe import INTERVAL_S, REPLY, longest_outage
from tests.lab.errors import LabError


def test_the_outage_is_the_longest_gap_less_the_pace() -> None:
    replies = [(100.00, 1), (100.01, 2), (102.31, 30), (102.32, 31), (102.50, 49)]
    outage = longest_outage(replies)
    assert outage.seconds == pytest.approx(2.30 - INTERVAL_S)
    assert outage.start == 100.01


def test_lost_pings_are_the_sequence_numbers_that_never_came() -> None:
    assert longest_outage([(1.0, 5), (1.01, 6), (1.05, 9), (1.06, 10)]).lost == 2


def test_an_unbroken_row_of_answers_is_no_outage() -> None:
    outage = longest_outage([(1.0 + n * INTERVAL_S, n) for n in range(100)])
    assert (outage.seconds, outage.lost) == (0.0, 0)


def test_too_few_answers_measure_nothing_and_say_so() -> None:
    with pytest.raises(LabError, match="got 1 answers"):
        longest_outage([(1.0, 1)])


@pytest.mark.parametrize(
    ("line", "sequence"),
    [
        ("[1700000000.123456] 64 bytes from 10.0.250.185: icmp_seq=7 ttl=63 time=0.051 ms", 7),
        ("[1700000000.123456] 64 bytes from 10.0.250.185: icmp_seq=65536 ttl=63 time=0.1 ms (DUP!)", 65536),
    ],
)
def test_an_answer_is_recognised(line: str, sequence: int) -> None:
    match = REPLY.match(line)
    assert match
    assert int(match["sequence"]) == sequence


@pytest.mark.parametrize(
    "line",
    [
        "[1700000000.123456] From 169.254.0.1 icmp_seq=7 Destination Host Unreachable",
        "[1700000000.123456] no answer yet for icmp_seq=7",
        "PING 10.0.250.185 (10.0.250.185) 56(84) bytes of data.",
    ],
)
def test_what_is_no_answer_does_not_count_as_one(line: str) -> None:
    assert REPLY.match(line) is None
