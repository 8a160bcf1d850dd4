"""A machine's console on disk: its size is bounded, and it never blocks the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from tests.lab import serial


def written(path: Path, *chunks: bytes) -> bytes:
    """The console's file after a machine has written these chunks; empty if there is none."""
    source, sink = os.pipe()
    thread = serial.keep(os.fdopen(source, "rb", buffering=0), path)
    with os.fdopen(sink, "wb", buffering=0) as machine:
        for chunk in chunks:
            machine.write(chunk)
    thread.join(20)
    assert not thread.is_alive()
    return path.read_bytes() if path.exists() else b""


def test_what_a_machine_says_is_kept_over_its_boots(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    assert written(path, b"first boot\n") == b"first boot\n"
    assert written(path, b"second ", b"boot\n") == b"first boot\nsecond boot\n"


def test_a_machine_that_never_stops_talking_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial, "MOST_BYTES", 10_000)
    kept = written(tmp_path / "console.log", *(b"%09d\n" % number for number in range(50_000)))
    assert len(kept) <= 10_000 + (1 << 16)
    assert kept.startswith(b"lab: ")
    assert b" bytes were dropped here\n" in kept
    assert kept.endswith(b"000049998\n000049999\n")
    assert [path.name for path in tmp_path.iterdir()] == ["console.log"]


def test_a_full_disk_does_not_hold_the_machine_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, chunk: bytes) -> IO[bytes]:
        raise OSError("No space left on device")

    monkeypatch.setattr(serial, "_append", refuse)
    # This is more than a pipe holds, so the machine would block if nothing read it.
    assert written(tmp_path / "console.log", *(b"x" * 65536 for _ in range(32))) == b""
