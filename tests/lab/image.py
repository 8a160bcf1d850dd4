"""The images on disk: Debian from its own archive, each with a package mirror, and the layers of baked ones.

A platform's own image holds what a cloud image holds: systemd, cloud-init with the Ec2 datasource,
certificates, networking. It has nothing of the cluster stack: cloud-init installs that in the node, from the
mirror, as it would on EC2. A baked image is not a copy, but a layer over that one with the packages
installed.

Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloudinit import platforms
from tests.lab import image_contents, rpms
from tests.lab.amis import SUITES, Image
from tests.lab.errors import LabError
from tests.lab.log import step
from tests.lab.paths import PROJECT, cache_dir
from tests.lab.process import run
from tests.lab.turns import one_at_a_time

ROOM_BYTES = {False: 3 << 30, True: 1 << 30}
"""Free disk space needed to build an image, by whether it is baked."""

BAKE = Path(__file__).with_name("bake.sh")
SOURCES = (Path(__file__), BAKE, Path(image_contents.__file__), Path(rpms.__file__), Path(platforms.__file__))
"""The files that determine an image: if one changes, it is another image."""
STEPS = tuple(PROJECT / "cloudinit/node" / name for name in ("build.sh", "install-dnf.sh"))
"""The files that also determine a baked image, if the product's own step makes it."""


def folder(image: Image) -> Path:
    """The finished image's folder in the cache.

    It has `root/` (the file system, or the layer over the platform's own) and, unless the image is baked,
    `mirror/` (packages and index).
    """
    sources = [*SOURCES, *(STEPS if image.baked and platforms.platform(image.platform).build else ())]
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    return cache_dir() / f"image-{image.platform}{'-baked' if image.baked else ''}-{key}"


def layers(image: Image) -> list[Path]:
    """The folders of an image's file system, the uppermost first. Raises LabError if one is missing."""
    parts = [image, Image(image.platform)] if image.baked else [image]
    if lacking := [part for part in parts if not folder(part).exists()]:
        raise LabError(f"the image {lacking[0]} is not made", f"Lab.up(images=[{lacking[0]!r}]) makes it")
    return [folder(part) / "root" for part in parts]


def mirror(platform: str) -> Path:
    """The folder with the platform's packages."""
    return folder(Image(platform)) / "mirror"


def ensure(images: Iterable[Image]) -> None:
    """Make the images that do not exist yet. Raises LabError with apt's output if that fails."""
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
        title = f"baking the node image ({image})"
        built = platforms.platform(image.platform).build
        expected = f"about {'4 min' if built else 'half a minute'}, the first time only"
    else:
        title, expected = f"making the node image ({image})", "1 to 3 min, the first time only"
    with step(title, expected=expected), _complete(folder(image)) as aside:
        if image.baked:
            _bake(image.platform, aside / "root")
        else:
            (aside / "mirror").mkdir()
            _bootstrap(image.platform, aside / "root", aside / "mirror")
            if platforms.platform(image.platform).installer == "dnf":
                _rpm_repositories(image.platform, aside / "root", aside / "mirror")
            else:
                _index(aside / "mirror")
            _customise(image.platform, aside / "root")


@contextlib.contextmanager
def _complete(finished: Path) -> Iterator[Path]:
    """A working folder that becomes `finished` at the end; a failure or Ctrl-C leaves nothing behind."""
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
            f"{cache_dir()} has {free >> 20} MiB free; the image needs {wanted >> 20} MiB",
            "free some, or point EC2VIP_CACHE at a larger disk",
        )


def _bootstrap(platform: str, root: Path, mirror: Path) -> None:
    """Install Debian into `root`, and download the archive files that the nodes will install into `mirror`.

    What they build from goes into its folder `sources`.
    """
    names = " ".join(image_contents.mirror_packages(platform))
    download = (
        "export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG; apt-get --yes --download-only --no-install-recommends"
        f" -o Dir::Cache::archives={shlex.quote(str(mirror))} install {names}"
    )
    if platforms.platform(platform).build:
        (mirror / "sources").mkdir()
        download += (
            ' && sed "s/^deb /deb-src /" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"'
            f" && apt-get update && cd {shlex.quote(str(mirror / 'sources'))}"
            f" && apt-get source --download-only {image_contents.SOURCE_PACKAGE}"
            f" && apt-get download {' '.join(image_contents.BINARY_SOURCES)}"
        )
    run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(image_contents.image_packages(platform))}",
            '--aptopt=Apt::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            f"--customize-hook={download}",
            SUITES[platform],
            str(root),
        ],
        timeout_s=1800,
        remedy="apt must reach a Debian archive; fix that, then run the command again",
    )


def _index(mirror: Path) -> None:
    """Make a flat repository: write an index beside the files."""
    shutil.rmtree(mirror / "partial", ignore_errors=True)
    (mirror / "lock").unlink(missing_ok=True)
    packages = run(["apt-ftparchive", "packages", "."], cwd=mirror).stdout
    (mirror / "Packages").write_text(packages)
    (mirror / "Release").write_text(run(["apt-ftparchive", "release", "."], cwd=mirror).stdout)


def _rpm_repositories(platform: str, root: Path, mirror: Path) -> None:
    """Replace the archive files in `mirror` with RPM repositories.

    Gives the sources the names that the product uses. Puts the key, and the packages of the system itself,
    into the image. Raises LabError if apt has not fetched a source with the right SHA-256.
    """
    build = platforms.platform(platform).build
    assert build is not None
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in (mirror / "sources").iterdir()}
    for source in build.sources:
        if source.sha256 not in found:
            raise LabError(
                f"none of the fetched files is {source.name} with the SHA-256 {source.sha256}",
                "see SOURCE_PACKAGE and BINARY_SOURCES of image_contents.py",
            )
        found.pop(source.sha256).rename(mirror / "sources" / source.name)
    for path in found.values():
        path.unlink()
    rpms.make(mirror.glob("*.deb"), mirror, image_contents.rpm_names())
    for path in [*mirror.glob("*.deb"), mirror / "lock"]:
        path.unlink(missing_ok=True)
    shutil.rmtree(mirror / "partial", ignore_errors=True)
    keys = root / "etc/pki/rpm-gpg"
    keys.mkdir(parents=True)
    shutil.copy(mirror / "keys/amazon", keys / "RPM-GPG-KEY-amazon-linux-2023")
    for name in ("system-release", "lab-userland"):
        (package,) = (mirror / "core").glob(f"{name}-*.rpm")
        shutil.copy(package, root / "tmp")
        run(["chroot", str(root), "rpm", "--install", "--nosignature", f"/tmp/{package.name}"])
        (root / "tmp" / package.name).unlink()


def _customise(platform: str, root: Path) -> None:
    for name, text in image_contents.files(platform).items():
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    shutil.rmtree(root / "etc/apt/sources.list.d", ignore_errors=True)
    for unit in image_contents.MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _bake(platform: str, layer: Path) -> None:
    """Install the platform's packages over its image, and keep the changes as `layer`."""
    work = layer.with_name("work")
    work.mkdir()
    folders = map(str, (work, *layers(Image(platform)), mirror(platform), layer))
    chosen = platforms.platform(platform)
    if chosen.installer == "dnf":
        bake = [sys.executable, "-m", "tests.lab.bake_dnf", platform, *folders]
        run(["unshare", "--mount", "--net", *bake], cwd=PROJECT, timeout_s=2 * 3600)
    else:
        run(["unshare", "--mount", str(BAKE), *folders, *chosen.packages], timeout_s=600)
    work.rmdir()
