"""Prints what has changed on a node's disk since its newest layer was begun, a path a line.

It is a program, `python -m tests.lab.changed ROOT`, because only processes behind the lab's walls see its
mounts. It leaves out what a node writes when it runs and boots as usual (VOLATILE), and files that are as
they were.

Standard library only.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

VOLATILE = re.compile(
    r"var/(log|cache|tmp|spool)/|tmp/|run/|root/\.cache/"
    r"|var/lib/(cloud|systemd|corosync|pcsd|dhcp|apt/lists|logrotate)/"
    r"|var/lib/pacemaker/(blackbox|cores|cib/(cib.*|[a-z.]+last)|pengine/.*)"
    r"|etc/(machine-id|mtab|\.pwd\.lock|resolv\.conf|ld\.so\.cache)$"
    r"|.*/__pycache__/"
)
"""Logs, caches, and what daemons store about their own run. For the cluster's state we ask the cluster."""


def changed(upper: Path, lower: Sequence[Path]) -> Iterator[str]:
    """Paths in `upper`, relative to it, of files that `lower` does not have, or has otherwise.

    The first folder of `lower` that has a file counts. Deleted files are among them: an overlay keeps a
    character device in their place.
    """
    for folder, _, names in os.walk(upper):
        for name in names:
            path = Path(folder, name)
            where = path.relative_to(upper)
            if VOLATILE.match(str(where)):
                continue
            before = next((layer / where for layer in lower if os.path.lexists(layer / where)), None)
            if before is None or not _same(path, before):
                yield str(where)


def _same(one: Path, other: Path) -> bool:
    first, second = one.lstat(), other.lstat()
    if (first.st_mode, first.st_uid, first.st_gid) != (second.st_mode, second.st_uid, second.st_gid):
        return False
    if stat.S_ISLNK(first.st_mode):
        return one.readlink() == other.readlink()
    if stat.S_ISREG(first.st_mode):
        return one.read_bytes() == other.read_bytes()
    return first.st_rdev == second.st_rdev


def layers_of(root: Path, mounts: str) -> tuple[Path, list[Path]]:
    """The upper and the lower folders of the overlay mounted at `root`; `mounts` is the text of /proc/mounts.

    Raises LookupError if there is no such overlay.
    """
    for line in mounts.splitlines():
        words = line.split()
        if words[1] == str(root) and words[2] == "overlay":
            options = dict(item.partition("=")[::2] for item in words[3].split(","))
            return Path(options["upperdir"]), [Path(path) for path in options["lowerdir"].split(":")]
    raise LookupError(f"no overlay is mounted at {root}")


if __name__ == "__main__":
    upper, lower = layers_of(Path(sys.argv[1]), Path("/proc/mounts").read_text())
    for path in sorted(changed(upper, lower)):
        print(path)
