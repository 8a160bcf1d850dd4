"""Shows the progress of long work on standard error: a line for each step, a heartbeat, and the time it took.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

HEARTBEAT_S = 15.0
"""Long enough to keep a log short, short enough that nobody thinks it hangs."""


def say(text: str) -> None:
    """Print one line for the user who waits."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str, *, expected: str = "") -> Iterator[None]:
    """Announce a step, say every HEARTBEAT_S seconds that it still runs, and end with its time.

    `expected` is what a user should know before waiting, such as "about 4 min, the first time only".
    """
    say(f"==> {title}" + (f" ({expected})" if expected else ""))
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            say(f"    … {title}: {time.monotonic() - started:.0f} s so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        say(f"    {title}: not done after {time.monotonic() - started:.1f} s")
        raise
    else:
        say(f"    {title}: {time.monotonic() - started:.1f} s")
    finally:
        done.set()
        thread.join()
