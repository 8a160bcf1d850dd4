"""The cache: keeps what somebody has used within a month, or what a running lab needs.

An entry is named after what it was made from, so each change of a dependency leaves an older entry behind.
Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.files import write_whole
from tests.lab.log import say
from tests.lab.paths import cache_dir, default_cache_dir

KEPT_S = 30 * 86400.0
EVERY_S = 86400.0
"""Time between two prunings: each goes through some thousand folders of bytecode."""

PRUNED = "pruned"
"""The file whose modification time is that of the last pruning."""

MARK = ".ec2vip-cache"
MARK_TEXT = (
    "The lab of ec2vip keeps its downloads and builds here, and removes what nobody has used for a month.\n"
)
BEFORE_SET_UP = frozenset({"pycache", "lock"})
"""What may be there before the first set-up: set-up's own bytecode (see the Makefile) and its lock."""

MADE = re.compile(r"venv-[0-9a-f]{12}|pulumi-\d+\.\d+\.\d+|image-[a-z0-9]+(-baked)?-[0-9a-f]{12}")
ASIDE = re.compile(rf"({MADE.pattern})(\.part|\.part\.installer|\.gone)")
"""Leftovers of an interrupted build or removal. Nobody else works on them while we hold the cache."""

_held: dict[Path, int] = {}


def claim() -> None:
    """Make the cache's folder if it does not exist, and mark it as ours.

    Raises LabError if EC2VIP_CACHE is a folder with other things, because pruning might remove some of them.
    """
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MARK).exists():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in BEFORE_SET_UP)
    if others and folder != default_cache_dir():
        raise LabError(
            f"EC2VIP_CACHE={folder} holds other files, such as {others[0]}; it must be empty, or an older "
            "cache of this project",
            f"choose another folder, or, if it is such a cache, run: touch {folder / MARK}",
        )
    write_whole(folder / MARK, MARK_TEXT)


def use(folder: Path) -> Path:
    """Note that the folder is used now, and return it."""
    with contextlib.suppress(OSError):  # the cache may be somebody else's
        os.utime(folder)
    return folder


def hold(folder: Path) -> None:
    """Protect the folder from pruning while this process lives: a lab may be up for longer than a month."""
    use(folder)
    if folder not in _held:
        _held[folder] = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(_held[folder], fcntl.LOCK_SH)


def is_due() -> bool:
    """Whether the cache is ours and writable, and has not been pruned for EVERY_S."""
    if not (cache_dir() / MARK).exists() or not os.access(cache_dir(), os.W_OK):
        return False
    last = cache_dir() / PRUNED
    return not last.exists() or time.time() - last.stat().st_mtime >= EVERY_S


def prune() -> None:
    """Remove what nobody has used for KEPT_S, once in EVERY_S. The caller must hold the cache (`turns`).

    We rename a folder before we remove anything from it, so a folder with its own name is always complete.
    """
    if not is_due():
        return
    now = time.time()
    removed = []
    for folder in _matching(MADE):
        if now - folder.stat().st_mtime > KEPT_S and _is_free(folder):
            folder.rename(folder.with_name(f"{folder.name}.gone"))
            removed.append(folder.name)
    for folder in _matching(ASIDE):
        shutil.rmtree(folder, ignore_errors=True)
    _prune_bytecode(cache_dir() / "pycache")
    (cache_dir() / PRUNED).touch()
    if removed:
        say(
            f"removed from {cache_dir()} what nobody has used for {KEPT_S / 86400:.0f} days: {', '.join(removed)}"
        )


def _matching(names: re.Pattern[str]) -> Iterator[Path]:
    """The cache's folders with such a name, except links to folders elsewhere."""
    for path in sorted(cache_dir().iterdir()):
        if names.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _is_free(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _prune_bytecode(root: Path) -> None:
    """Remove the bytecode of folders that are gone: the tree under `root` mirrors the machine's folders."""
    for folder, inside, _ in os.walk(root):
        for name in list(inside):
            kept = Path(folder, name)
            if not Path("/", kept.relative_to(root)).exists():
                shutil.rmtree(kept, ignore_errors=True)
                inside.remove(name)
