"""Whether what runs on a node does so under the oldest Python that a node has."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

OLDEST = "3.9"
"""Amazon Linux 2023's own."""


def too_new(*paths: Path, except_for: Iterable[str] = ()) -> str:
    """What vermin finds in these programs, or folders of them, that Python OLDEST lacks; empty if nothing.

    `except_for` are names that the programs do without where they are missing.
    """
    known = [word for name in except_for for word in ("--exclude", name)]
    words = ["vermin", f"--target={OLDEST}-", "--no-tips", "--violations", *known, *map(str, paths)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr if ended.returncode else ""


__all__ = ["OLDEST", "too_new"]
