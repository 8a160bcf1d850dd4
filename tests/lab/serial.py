"""Stores a machine's console in a file of limited size."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import IO

MOST_BYTES = 1 << 20
"""EC2 shows the last 64 KiB; a boot writes some 20 KiB. When the file is full, its older half is dropped."""


def keep(stream: IO[bytes], path: Path) -> threading.Thread:
    """Append the stream's data to the file, in a thread that ends with the stream.

    A full disk does not hold the machine up: what we can't write is lost.
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
