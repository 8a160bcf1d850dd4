"""A node's disk: layers in memory over the image, the newest one writable.

Each layer is a tmpfs of its own with a fixed size, so that a node can neither fill the machine's disk nor leave
anything on it, a full disk is one `remount` away (and so is the way back), and a snapshot is a new layer on top.
What is in them counts into the node's memory bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab import userns
from tests.lab.errors import LabError
from tests.lab.process import CommandError, run

LAYER_BYTES = 1 << 30
"""A node with the cluster stack writes some 300 MB."""


class Disk:
    """The disk in `folder`, of which `root` is what the machine boots from; it belongs to the users of the user
    namespace `users`.

    Everything is mounted in the caller's mount namespace.
    """

    def __init__(self, folder: Path, users: str) -> None:
        self.folder, self._users = folder, users
        self._lower: list[Path] = []
        self.root = folder / "root"

    @property
    def upper(self) -> Path:
        """Where what the node writes lands."""
        return layers(self.folder)[-1] / "upper"

    def make(self, image: Sequence[Path], fill: Callable[[Path], None]) -> None:
        """An empty layer over the image's, the uppermost first, and into it what `fill` writes; then the root."""
        self.root.mkdir(parents=True)
        for number, layer in enumerate(image):
            mapped = self.folder / f"image-{number}"
            userns.map_into(self._users, layer, mapped)
            self._lower.append(mapped)
        self._add_layer()
        fill(self.upper)
        userns.give(self._users, self.upper)
        self._mount_root()

    def add_layer(self) -> None:
        """Keep what is written by now for good: from here on `reset` comes back to it. The node must be off."""
        self._unmount(self.root)
        self._add_layer()
        self._mount_root()

    def reset(self) -> None:
        """Forget what was written since the last `add_layer` (or `make`). The node must be off."""
        self._unmount(self.root)
        self._unmount(newest := layers(self.folder)[-1])
        self._fill(newest)
        self._mount_root()

    def remove(self) -> None:
        """Unmount it all, where it was made; what still runs in it keeps it until its end."""
        if not self.root.exists():
            return
        for folder in [self.root, *reversed(layers(self.folder)), *self._lower]:
            self._unmount(folder)
            folder.rmdir()
        self.folder.rmdir()

    def _add_layer(self) -> None:
        folder = self.folder / f"layer-{len(layers(self.folder))}"
        folder.mkdir(parents=True)
        self._fill(folder)

    def _fill(self, layer: Path) -> None:
        run(["mount", "-t", "tmpfs", "-o", f"mode=700,size={LAYER_BYTES}", "lab-disk", str(layer)])
        (layer / "upper").mkdir(mode=0o755)
        userns.give(self._users, layer / "upper")
        (layer / "work").mkdir(mode=0o755)

    def _mount_root(self) -> None:
        newest, *older = reversed(layers(self.folder))
        lower = ":".join(str(path) for path in [*(layer / "upper" for layer in older), *self._lower])
        options = f"lowerdir={lower},upperdir={newest / 'upper'},workdir={newest / 'work'}"
        run(["mount", "-t", "overlay", "-o", options, "lab-root", str(self.root)])

    @staticmethod
    def _unmount(folder: Path) -> None:
        run(["umount", "--lazy", str(folder)])


def require(images: Path, place: Path) -> None:
    """Try at `place` to make a node's disk of the folder `images`. Raises LabError if this machine can't."""
    userns.make("probe")
    try:
        probe = Disk(place, "probe")
        probe.make([images], lambda upper: None)
        probe.remove()
    except CommandError as error:
        raise LabError(f"no disk can be made of {images}: {error.message}", userns.NEEDED) from error
    finally:
        userns.remove("probe")


def layers(folder: Path) -> list[Path]:
    """A disk's layers, the oldest first."""
    return sorted(folder.glob("layer-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def resize(prefix: Sequence[str], layer: Path, size: int) -> None:
    """Let the layer hold `size` bytes; `prefix` are the words that put a command where it is mounted.

    Raises CommandError where it holds more already.
    """
    run([*prefix, "mount", "-o", f"remount,size={size}", str(layer)])


def used(prefix: Sequence[str], layer: Path) -> int:
    """Bytes in the layer."""
    shown = run([*prefix, "stat", "--file-system", "--format=%S %b %f", str(layer)]).stdout
    block, total, free = map(int, shown.split())
    return block * (total - free)


__all__ = ["LAYER_BYTES", "Disk", "layers", "require", "resize", "used"]
