"""The images on disk: Debian from its own archive, a package mirror beside each, and what a baked one has more.

A platform's own image holds what a cloud image holds: systemd, cloud-init with the Ec2 datasource, certificates,
networking. Nothing of the cluster stack is in it: cloud-init installs that in the node, from the mirror, as it
would on EC2. A baked image is that one and a layer over it with the packages installed: no copy.

Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloudinit import platforms
from tests.lab import recipe
from tests.lab.amis import SUITES, Image
from tests.lab.errors import LabError
from tests.lab.log import step
from tests.lab.paths import cache_dir
from tests.lab.process import run
from tests.lab.turns import one_at_a_time

ROOM_BYTES = {False: 3 << 30, True: 1 << 30}
"""What making an image wants, by whether it is a baked one."""

BAKE = Path(__file__).with_name("bake.sh")
SOURCES = (Path(__file__), BAKE, Path(recipe.__file__), Path(platforms.__file__))
"""What an image is made by: another content is another image."""


def folder(image: Image) -> Path:
    """The finished image's folder in the cache: `root/` (the file system, or the layer over the platform's own)
    and, where it isn't baked, `mirror/` (packages and index)."""
    key = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:12]
    return cache_dir() / f"image-{image.platform}{'-baked' if image.baked else ''}-{key}"


def layers(image: Image) -> list[Path]:
    """The folders that make up its file system, the uppermost first. Raises LabError where one is not made."""
    parts = [image, Image(image.platform)] if image.baked else [image]
    if lacking := [part for part in parts if not folder(part).exists()]:
        raise LabError(f"the image {lacking[0]} is not made", f"Lab.up(images=[{lacking[0]!r}]) makes it")
    return [folder(part) / "root" for part in parts]


def mirror(platform: str) -> Path:
    """The folder with the platform's packages."""
    return folder(Image(platform)) / "mirror"


def ensure(images: Iterable[Image]) -> None:
    """Make those that aren't there. Raises LabError with apt's words where that fails."""
    for image in images:
        if folder(image).exists():
            continue
        if image.baked:
            ensure([Image(image.platform)])
        with one_at_a_time():
            if not folder(image).exists():
                _make(image)


def _make(image: Image) -> None:
    _require_room(ROOM_BYTES[image.baked])
    if image.baked:
        title, expected = f"baking the node image ({image})", "about half a minute, the first time only"
    else:
        title, expected = f"making the node image ({image})", "about 1 min, the first time only"
    with step(title, expected=expected), _complete(folder(image)) as aside:
        if image.baked:
            _bake(image.platform, aside / "root")
        else:
            (aside / "mirror").mkdir()
            _bootstrap(SUITES[image.platform], aside / "root", aside / "mirror")
            _index(aside / "mirror")
            _customise(image.platform, aside / "root")


@contextlib.contextmanager
def _complete(finished: Path) -> Iterator[Path]:
    """A folder to work in that becomes `finished` at the end; a failure or Ctrl-C leaves nothing."""
    aside = finished.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        aside.rename(finished)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _require_room(wanted: int) -> None:
    free = shutil.disk_usage(cache_dir()).free
    if free < wanted:
        raise LabError(
            f"{cache_dir()} has {free >> 20} MiB free; the image wants {wanted >> 20} MiB",
            "free some, or point EC2VIP_CACHE at a larger disk",
        )


def _bootstrap(suite: str, root: Path, mirror: Path) -> None:
    """Debian into `root`; the archive files of what the nodes will install into `mirror`."""
    download = (
        "APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes --download-only --no-install-recommends"
        f" -o Dir::Cache::archives={shlex.quote(str(mirror))} install {' '.join(recipe.MIRROR_PACKAGES)}"
    )
    run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(recipe.IMAGE_PACKAGES)}",
            '--aptopt=Apt::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            f"--customize-hook={download}",
            suite,
            str(root),
        ],
        timeout_s=1800,
        remedy="a Debian archive must be reachable by apt; mend that, then run the command again",
    )


def _index(mirror: Path) -> None:
    """A flat repository: the files and an index beside them."""
    shutil.rmtree(mirror / "partial", ignore_errors=True)
    (mirror / "lock").unlink(missing_ok=True)
    packages = run(["apt-ftparchive", "packages", "."], cwd=mirror).stdout
    (mirror / "Packages").write_text(packages)
    (mirror / "Release").write_text(run(["apt-ftparchive", "release", "."], cwd=mirror).stdout)


def _customise(platform: str, root: Path) -> None:
    for name, text in recipe.files(platform).items():
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    shutil.rmtree(root / "etc/apt/sources.list.d", ignore_errors=True)
    for unit in recipe.MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _bake(platform: str, layer: Path) -> None:
    """What the platform's packages change in its image, as a layer over it."""
    work = layer.with_name("work")
    work.mkdir()
    folders = (work, *layers(Image(platform)), mirror(platform), layer)
    packages = platforms.platform(platform).packages
    run(["unshare", "--mount", str(BAKE), *map(str, folders), *packages], timeout_s=600)
    work.rmdir()
