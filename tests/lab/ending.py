"""How a command that breaks things is ended from outside: in order, with what it broke brought back.

Ctrl-C (SIGINT), `kill` and an ending job (SIGTERM), and a terminal or connection that closes (SIGHUP) are one
thing here. Source of what they mean: signal(7).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = "what was broken is being brought back; wait for it, or leave it broken with Ctrl-\\ (SIGQUIT)"


class Ending:
    """What has been asked of this process. `number` is the first signal, 0 as long as there was none."""

    def __init__(self) -> None:
        self.number = 0
        self._held = 0
        self._owed = False

    @property
    def status(self) -> int:
        """The exit status of a program that the signal ended."""
        return 128 + self.number

    @contextlib.contextmanager
    def in_order(self) -> Iterator[Ending]:
        """Have the first signal raise KeyboardInterrupt wherever the program is; any other one gets a line.

        One that was ignored before (nohup) stays ignored.
        """
        self.number, self._owed = 0, False
        before: dict[signal.Signals, Any] = {
            each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN
        }
        for each in before:
            signal.signal(each, self._asked)
        try:
            yield self
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no signal interrupt this: it mends. One that comes meanwhile counts at its end."""
        _need_no_listener()
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._owed and not self._held:
            self._owed = False
            raise KeyboardInterrupt

    def _asked(self, number: int, frame: FrameType | None) -> None:
        _need_no_listener()
        if self.number or self._held:
            _say(f"{signal.Signals(number).name}: {AGAIN}")
        if self.number:
            return
        self.number = number
        if self._held:
            self._owed = True
            return
        raise KeyboardInterrupt


ENDING = Ending()
"""This process's: signals come to a process, not to an object."""


def _say(text: str) -> None:
    """From a signal's handler, which may have interrupted a print."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def _need_no_listener() -> None:
    """Write into nothing where the terminal or the pipe is gone: its error would keep the rest from being done."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            poll = select.poll()
            poll.register(stream, 0)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)
