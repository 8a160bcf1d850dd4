"""A node's disk: layers over the image, the newest one writable.

Each layer is an ext4 of a fixed size in a file in memory. So a node can neither fill the machine's disk nor
leave anything on it. A snapshot is a new layer on top. As on a machine, ext4 decides when to write: the file
may lack what a node has not synced, and a power cut loses that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab import userns
from tests.lab.errors import LabError
from tests.lab.process import CommandError, run

LAYER_BYTES = 1 << 30
"""A node with the cluster stack writes some 300 MB."""
MEMORY_BYTES = 4 * LAYER_BYTES
"""Room for all layers of a disk, and for a copy of one of them."""
MAKE = (
    *("mkfs.ext4", "-q", "-m", "0", "-O", "^resize_inode"),
    *("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-J", "size=16"),
)
BALLAST = "ballast"
"""The file that fills a disk up. It lies beside what the node sees."""
MOUNT = ("mount", "-t", "ext4", "-o", "loop,noatime,noinit_itable")


class Disk:
    """A node's disk in `folder`. The machine boots from `root`.

    Its files belong to the users of the user namespace `users`. Everything is mounted in the caller's mount
    namespace.
    """

    def __init__(self, folder: Path, users: str) -> None:
        self.folder, self._users = folder, users
        self._lower: list[Path] = []
        self._memory = folder / "memory"
        self.root = folder / "root"

    @property
    def upper(self) -> Path:
        """The folder that receives what the node writes."""
        return layers(self.folder)[-1] / "upper"

    def make(self, image: Sequence[Path], fill: Callable[[Path], None]) -> None:
        """Put a new layer over the `image`, let `fill` write into it, and mount the root.

        `image` lists the image's own layers, the uppermost first.
        """
        self.root.mkdir(parents=True)
        self._memory.mkdir()
        try:
            run(
                ["mount", "-t", "tmpfs", "-o", f"mode=700,size={MEMORY_BYTES}", "lab-disk", str(self._memory)]
            )
            for number, layer in enumerate(image):
                mapped = self.folder / f"image-{number}"
                userns.map_into(self._users, layer, mapped)
                self._lower.append(mapped)
            self._add_layer()
            fill(self.upper)
            userns.give(self._users, self.upper)
            sync((), layers(self.folder)[-1])
            self._mount_root()
        except BaseException:
            for folder in self._folders():
                run(["umount", "--lazy", str(folder)], check=False)
            raise

    def add_layer(self) -> None:
        """Keep what has been written so far: `reset` will come back to it. The node must be off."""
        self._unmount(self.root)
        self._add_layer()
        self._mount_root()

    def reset(self) -> None:
        """Forget what was written since the last `add_layer` (or `make`). The node must be off."""
        self._unmount(self.root)
        self._unmount(newest := layers(self.folder)[-1])
        self._fill(newest)
        self._mount_root()

    def lose_unwritten(self) -> None:
        """Forget what was written but has not reached the disk, as a power cut does. The node must be off."""
        newest = layers(self.folder)[-1]
        cut = self._memory / "cut"
        run(["cp", "--sparse=always", str(self._file(newest)), str(cut)])
        self._unmount(self.root)
        self._unmount(newest)  # this writes the rest, but into the file that we replace
        cut.replace(self._file(newest))
        self._mount(newest)
        self._mount_root()

    def remove(self) -> None:
        """Unmount everything, if it was made. A process that still runs in it keeps it until its own end."""
        if not self.root.exists():
            return
        for folder in self._folders():
            self._unmount(folder)
            folder.rmdir()
        self.folder.rmdir()

    def _folders(self) -> list[Path]:
        """What is mounted, the last one first."""
        return [self.root, *reversed(layers(self.folder)), self._memory, *self._lower]

    def _add_layer(self) -> None:
        folder = self.folder / f"layer-{len(layers(self.folder))}"
        folder.mkdir(parents=True)
        self._fill(folder)

    def _file(self, layer: Path) -> Path:
        return self._memory / layer.name

    def _mount(self, layer: Path) -> None:
        run([*MOUNT, str(self._file(layer)), str(layer)])

    def _fill(self, layer: Path) -> None:
        self._file(layer).unlink(missing_ok=True)
        with self._file(layer).open("wb") as file:
            file.truncate(LAYER_BYTES)
        run([*MAKE, str(self._file(layer))])
        self._mount(layer)
        (layer / "upper").mkdir(mode=0o755)
        userns.give(self._users, layer / "upper")
        (layer / "work").mkdir(mode=0o755)
        sync((), layer)

    def _mount_root(self) -> None:
        newest, *older = reversed(layers(self.folder))
        lower = ":".join(str(path) for path in [*(layer / "upper" for layer in older), *self._lower])
        options = f"lowerdir={lower},upperdir={newest / 'upper'},workdir={newest / 'work'}"
        run(["mount", "-t", "overlay", "-o", options, "lab-root", str(self.root)])

    @staticmethod
    def _unmount(folder: Path) -> None:
        run(["umount", "--lazy", str(folder)])


def require(images: Path, place: Path) -> None:
    """Try to make a disk from the folder `images` at `place`. Raises LabError if this machine can't."""
    userns.make("probe")
    try:
        probe = Disk(place, "probe")
        probe.make([images], lambda upper: None)
        probe.remove()
    except CommandError as error:
        raise LabError(f"cannot make a disk of {images}: {error.message}", userns.NEEDED) from error
    finally:
        userns.remove("probe")


def layers(folder: Path) -> list[Path]:
    """A disk's layers, the oldest first."""
    return sorted(folder.glob("layer-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def fill_up(prefix: Sequence[str], layer: Path, left: int) -> None:
    """Fill the layer up to `left` free bytes, while the node may go on writing.

    `prefix` is the command prefix that enters the namespace in which the layer is mounted. Raises LabError if
    there is more room after many tries.
    """
    ballast, end = str(layer / BALLAST), 0
    for attempt in range(50):
        shown = run([*prefix, "stat", "--file-system", "--format=%S %a", str(layer)]).stdout
        block, free = map(int, shown.split())
        if (more := block * free - left) <= 0:
            if end:
                run([*prefix, "sync", ballast])
            return
        # If the node has just written, there is no room for all of it.
        length = max(block, more >> attempt // 2)
        run([*prefix, "fallocate", "--offset", str(end), "--length", str(length), ballast], check=False)
        end += length
    raise LabError(f"{layer} still has room", "see what the node removes from it")


def free_up(prefix: Sequence[str], layer: Path) -> None:
    """Undo `fill_up`."""
    run([*prefix, "rm", "--force", str(layer / BALLAST)])


def sync(prefix: Sequence[str], layer: Path) -> None:
    """Flush everything written to the layer to the disk."""
    run([*prefix, "sync", "--file-system", str(layer)])
