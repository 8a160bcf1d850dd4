"""A node's own users. Its root is an ordinary number on the machine, and owns only the node's network.

Every node has one user namespace, as long as its interface lives. Its users 0…65535 map to numbers that
nobody on the machine has. The node's network namespace belongs to it; otherwise the node's root could not
give its interface an address. The node sees the image through idmapped mounts: the files keep their owners on
the machine's disk.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import zlib
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.process import run

RANGE = 1 << 16
FIRST, SLOTS = 0x6000_0000, 0x0FFE
"""At the end of the range that systemd reserves for containers (systemd.io, UIDS-GIDS)."""

NAMES = Path("/run/userns")
NETWORKS = Path("/run/netns")

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""System calls without a wrapper in Debian 12's C library; every architecture has the same numbers."""
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
MOUNT_ATTR_IDMAP = 0x0010_0000

NEEDED = (
    "nodes need Linux 5.19, loop devices, and their images on ext4, xfs, btrfs or tmpfs; set EC2VIP_CACHE to "
    "move them"
)


class _MountAttr(ctypes.Structure):
    """struct mount_attr (mount_setattr(2))."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def root_of(name: str) -> int:
    """The machine's number for the root of the namespace `name`. Two nodes share one in 1 of 4000 cases."""
    return FIRST + zlib.crc32(name.encode()) % SLOTS * RANGE


def make(name: str) -> None:
    """Make a user namespace and a network namespace that belongs to it.

    NAMES and NETWORKS keep them under `name`.

    Raises LabError if the machine allows no user namespaces.
    """
    NAMES.mkdir(exist_ok=True)
    NETWORKS.mkdir(exist_ok=True)
    words = ["unshare", "--user", "--net", "sh", "-c", "echo; read end"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stderr
        if not holder.stdout.readline():
            raise LabError(
                f"cannot make a user namespace: {holder.stderr.read().strip()}",
                "see `sysctl user.max_user_namespaces`: each node needs one",
            )
        for file in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{file}").write_text(f"0 {root_of(name)} {RANGE}\n")
        for kind, folder in (("user", NAMES), ("net", NETWORKS)):
            (folder / name).touch()
            run(["mount", "--bind", f"/proc/{holder.pid}/ns/{kind}", str(folder / name)])
        holder.communicate("\n")


def remove(name: str) -> None:
    """Remove the names of both namespaces, which end with the last process in them."""
    for folder in (NAMES, NETWORKS):
        run(["umount", str(folder / name)])
        (folder / name).unlink()


def map_into(name: str, source: Path, target: Path) -> None:
    """Mount `source` at `target` with its owners moved into the namespace: 0 is the node's root, and so on.

    Raises LabError if the kernel or the file system of `source` can't do that.
    """
    target.mkdir()
    users = os.open(NAMES / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        tree = _call(OPEN_TREE, AT_FDCWD, bytes(source), OPEN_TREE_CLONE | os.O_CLOEXEC)
        try:
            attr = _MountAttr(attr_set=MOUNT_ATTR_IDMAP, userns_fd=users)
            _call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))
            _call(MOVE_MOUNT, tree, b"", AT_FDCWD, bytes(target), MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            os.close(tree)
    except OSError as error:
        raise LabError(
            f"{source} can't be mounted with a node's own users: {error.strerror}", NEEDED
        ) from error
    finally:
        os.close(users)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.syscall(number, *arguments))
    if result < 0:
        raise OSError(code := ctypes.get_errno(), os.strerror(code))
    return result


def give(name: str, folder: Path) -> None:
    """Make the namespace's root the owner of the folder and of everything in it."""
    owner = root_of(name)
    os.lchown(folder, owner, owner)
    for inside, folders, files in os.walk(folder):
        for each in (*folders, *files):
            os.lchown(Path(inside, each), owner, owner)
