"""A signal ends a command in order, but does not interrupt a repair that has begun."""

from __future__ import annotations

import os
import signal

import pytest

from tests.lab.ending import SIGNALS, Ending


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_ends_the_work_and_names_the_status(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Ending().in_order() as ending, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert ending.status == 128 + number
    assert signal.getsignal(number) is before


def test_a_second_one_is_answered_and_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    mended = False
    with Ending().in_order() as ending:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        with ending.held():
            os.kill(os.getpid(), signal.SIGTERM)
            mended = True
    assert mended
    assert ending.number == signal.SIGHUP
    assert "SIGTERM: repairing what is broken; wait for it" in capfd.readouterr().err


def test_a_first_one_while_it_mends_counts_at_the_end_of_that() -> None:
    mended: list[signal.Signals] = []

    def mend(ending: Ending) -> None:
        with ending.held():
            os.kill(os.getpid(), signal.SIGTERM)
            mended.append(signal.SIGTERM)

    with Ending().in_order() as ending, pytest.raises(KeyboardInterrupt):
        mend(ending)
    assert mended


def test_what_was_ignored_stays_ignored() -> None:
    """`nohup` ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Ending().in_order() as ending:
            os.kill(os.getpid(), signal.SIGHUP)
        assert ending.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)
