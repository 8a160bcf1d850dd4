"""Where the lab keeps what: the checkout, the cache that outlives it, and one private folder per lab.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.lab.errors import LabError

PROJECT = Path(__file__).resolve().parents[2]
BUILD = PROJECT / "build"
DEFAULT_LAB = "ec2vip"
LAB_MARK = "ec2vip-lab"
"""The file with the lab's name in a lab's folder. Without it, we remove only an empty folder."""
TOOLS = "tools.json"
"""The file beside it with the PATH and the virtual environment that the lab was started with."""


def default_cache_dir() -> Path:
    """Where the cache is unless `EC2VIP_CACHE` moves it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ec2vip"


def cache_dir() -> Path:
    """Downloads and builds, keyed by version inside. `EC2VIP_CACHE` moves it; losing it costs only time."""
    return Path(os.environ.get("EC2VIP_CACHE") or default_cache_dir())


def labs_dir() -> Path:
    """The parent of every lab's private folder. `EC2VIP_LABS` moves it."""
    return Path(os.environ.get("EC2VIP_LABS") or "/var/lib/ec2vip-labs")


def lab_dir(name: str) -> Path:
    """One lab's private folder. Raises LabError if `name` is not a plain word."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,23}", name):
        raise LabError(
            f"lab name {name!r} is not a lower-case word of at most 24 letters, digits and dashes",
            "choose one like `ec2vip`",
        )
    return labs_dir() / name
