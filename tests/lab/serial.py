"""A machine's console, kept in a file that does not grow beyond what anybody reads."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import IO

MOST_BYTES = 1 << 20
"""EC2 shows the last 64 KiB; a boot says some 20 KiB. Half of it is dropped when it is full."""


def keep(stream: IO[bytes], path: Path) -> threading.Thread:
    """Append what comes from the stream to the file, in a thread that ends with the stream.

    A full disk does not hold the machine up: what can't be written is lost.
    """

    def body() -> None:
        with stream:
            while chunk := os.read(stream.fileno(), 1 << 16):
                with contextlib.suppress(OSError):
                    _append(path, chunk)

    thread = threading.Thread(target=body, name=f"console-{path.parent.name}", daemon=True)
    thread.start()
    return thread


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(chunk)
        size = file.tell()
    if size > MOST_BYTES:
        kept = path.read_bytes()[-MOST_BYTES // 2 :]
        aside = path.with_suffix(".part")
        aside.write_bytes(b"lab: %d bytes were dropped here\n" % (size - len(kept)) + kept)
        aside.replace(path)
