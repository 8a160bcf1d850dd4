"""Ends a command in order after a signal, if it breaks things: it first brings back what it broke.

Ctrl-C (SIGINT), `kill` or an ending job (SIGTERM), and a terminal or connection that closes (SIGHUP) have the
same effect here. Source of their meanings: signal(7).
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
AGAIN = "repairing what is broken; wait for it, or leave it broken with Ctrl-\\ (SIGQUIT)"


class Ending:
    """The signals that this process has received. `number` is the first one, 0 if there was none."""

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
        """Let the first signal raise KeyboardInterrupt wherever the program is; later ones only print a line.

        A signal that was ignored before (nohup) stays ignored.
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
        """Let no signal interrupt the block, which repairs something; a signal takes effect at its end."""
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
"""The only one in this process: signals go to a process, not to an object."""


def _say(text: str) -> None:
    """Print a line from a signal handler, which may have interrupted a `print`."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def _need_no_listener() -> None:
    """Send output to /dev/null if the terminal or pipe is gone: an error there would stop the repairs."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            poll = select.poll()
            poll.register(stream, 0)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)
