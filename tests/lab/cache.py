"""What the cache keeps: whatever somebody has used within a month, or a lab still stands on.

The names in it are made from what a thing was made of, so each change of a dependency leaves the older one behind.
Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.log import say
from tests.lab.paths import cache_dir

KEPT_S = 30 * 86400.0
EVERY_S = 86400.0
"""Between two looks: the one at the bytecode goes through some thousand folders."""

MADE = ("venv-*", "pulumi-*", "image-*")
ASIDE = ("*.part", "*.gone")
"""What was being made, or removed, when something ended it: nobody is at it while the cache is held."""

_held: dict[Path, int] = {}


def use(folder: Path) -> Path:
    """Note that the folder is used now, and return it."""
    with contextlib.suppress(OSError):  # the cache may be somebody else's
        os.utime(folder)
    return folder


def hold(folder: Path) -> None:
    """Use the folder for as long as this process lives: a lab may be up for longer than a month."""
    use(folder)
    if folder not in _held:
        _held[folder] = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(_held[folder], fcntl.LOCK_SH)


def prune() -> None:
    """Remove what has not been used for KEPT_S, once in EVERY_S. To be called with the cache held (`turns`).

    A folder is renamed before anything in it goes, so that what keeps its name is complete.
    """
    last = cache_dir() / "pruned"
    now = time.time()
    if last.exists() and now - last.stat().st_mtime < EVERY_S:
        return
    removed = []
    for folder in _matching(MADE):
        if (
            now - folder.stat().st_mtime > KEPT_S
            and folder.suffix not in (".part", ".gone")
            and _is_free(folder)
        ):
            folder.rename(folder.with_name(f"{folder.name}.gone"))
            removed.append(folder.name)
    for folder in _matching(ASIDE):
        shutil.rmtree(folder, ignore_errors=True)
    _prune_bytecode(cache_dir() / "pycache")
    last.touch()
    if removed:
        say(
            f"removed from {cache_dir()} what nobody has used for {KEPT_S / 86400:.0f} days: {', '.join(removed)}"
        )


def _matching(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from (path for path in sorted(cache_dir().glob(pattern)) if path.is_dir())


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
    """Remove the bytecode of folders that are gone: the tree under `root` is that of the machine's own folders."""
    for folder, inside, _ in os.walk(root):
        for name in list(inside):
            kept = Path(folder, name)
            if not Path("/", kept.relative_to(root)).exists():
                shutil.rmtree(kept, ignore_errors=True)
                inside.remove(name)
