"""The images that the lab's machines can boot, and their AMI ids.

Each platform has its own image and two that an owner has baked. A baked image is the same system with the
cluster stack's packages already installed, and no cluster configured. The ids are made up.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.errors import LabError

SUITES = {"al2023": "bookworm", "debian12": "bookworm", "debian13": "trixie"}
"""Platform → the Debian release that its machines run. For al2023 it is a stand-in: Debian under dnf."""


@dataclass(frozen=True)
class Image:
    """An image to boot: the platform's own, or one with the cluster stack's packages baked in."""

    platform: str
    baked: bool = False

    def __str__(self) -> str:
        return f"{self.platform}, baked" if self.baked else self.platform


AMIS = {
    "ami-0a12023a12023a000": Image("al2023"),
    "ami-0a12023a12023ab01": Image("al2023", baked=True),
    "ami-0a12023a12023ab02": Image("al2023", baked=True),
    "ami-0deb1a2e12000a3d6": Image("debian12"),
    "ami-0deb1a2e12ba4ed01": Image("debian12", baked=True),
    "ami-0deb1a2e12ba4ed02": Image("debian12", baked=True),
    "ami-0deb1a2e13000a3d6": Image("debian13"),
    "ami-0deb1a2e13ba4ed01": Image("debian13", baked=True),
    "ami-0deb1a2e13ba4ed02": Image("debian13", baked=True),
}

KINDS = ("public", "baked", "baked-2")
"""The kinds to choose from: the platform's newest public image, or one of the two that an owner has baked."""


def ami_id(platform: str, kind: str) -> str:
    """The image's id. Raises LabError if the lab does not know the platform or the kind."""
    if platform not in SUITES:
        raise LabError(f"the lab cannot boot platform {platform!r}", f"use {' or '.join(sorted(SUITES))}")
    if kind not in KINDS:
        raise LabError(f"the lab has no AMI {kind!r}", f"use {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    known = [key for key, image in AMIS.items() if image.platform == platform]
    return known[KINDS.index(kind)]


def image_of(ami: str) -> Image:
    """The image that a machine with this AMI id boots. Raises LabError if the lab has none for it."""
    try:
        return AMIS[ami]
    except KeyError:
        raise LabError(f"the lab has nothing to boot for {ami}", f"launch one of {', '.join(AMIS)}") from None
