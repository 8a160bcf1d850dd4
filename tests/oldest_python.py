"""Checks that the programs for a node run under the oldest Python that a node has."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

OLDEST = "3.9"
"""Amazon Linux 2023's own."""


def too_new(*paths: Path, except_for: Iterable[str] = ()) -> str:
    """vermin's report on what Python OLDEST lacks of what these programs or folders use; empty if nothing.

    `except_for` are names that the programs can do without.
    """
    known = [word for name in except_for for word in ("--exclude", name)]
    words = ["vermin", f"--target={OLDEST}-", "--no-tips", "--violations", *known, *map(str, paths)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr if ended.returncode else ""
