"""Which image an AMI id stands for: the platforms' look-ups, the baked ones, and words that mean nothing."""

from __future__ import annotations

import pytest

from cloudinit.platforms import PLATFORMS, SsmAmi
from tests.drill.clouds import Choice
from tests.lab.amis import AMIS, KINDS, SUITES, Image, ami_id, image_of
from tests.lab.emulator.images import IMAGES
from tests.lab.errors import LabError
from tests.lab.recipe import MIRROR_PACKAGES, files


@pytest.mark.parametrize("platform", SUITES)
def test_a_platforms_look_up_ends_at_the_image_of_that_platform(platform: str) -> None:
    lookup = PLATFORMS[platform].ami["x86_64"]
    assert isinstance(lookup, SsmAmi)
    (found,) = [image.ami_id for image in IMAGES if lookup.parameter in image.parameters]
    assert image_of(found) == Image(platform)
    assert ami_id(platform, "public") == found


@pytest.mark.parametrize("platform", SUITES)
def test_each_platform_has_two_baked_images_for_a_pair_to_be_rolled_between(platform: str) -> None:
    baked = {ami_id(platform, kind) for kind in KINDS if kind.startswith("baked")}
    assert len(baked) == 2
    assert {image_of(ami) for ami in baked} == {Image(platform, baked=True)}
    assert baked <= {image.ami_id for image in IMAGES if not image.owner_id}


@pytest.mark.parametrize("platform", SUITES)
def test_the_mirror_has_what_the_platform_installs_and_the_image_asks_the_platforms_own(
    platform: str,
) -> None:
    asked = set(PLATFORMS[platform].packages) - {"iproute2"}  # in the image already
    assert asked <= set(MIRROR_PACKAGES)
    assert f"/{platform} ./" in files(platform)["etc/apt/sources.list"]


def test_every_image_that_boots_is_one_that_ec2_knows() -> None:
    assert set(AMIS) <= {image.ami_id for image in IMAGES}


def test_what_the_lab_cannot_boot_is_refused_with_what_it_can() -> None:
    with pytest.raises(LabError, match="'al2023' is none that the lab can boot; say debian12 or debian13"):
        Choice().but("al2023", "")
    with pytest.raises(LabError, match="AMI 'golden' is none of the lab's; say public, baked or baked-2"):
        Choice().but("", "golden")
    with pytest.raises(LabError, match="nothing to boot for ami-0123"):
        image_of("ami-0123")


def test_what_is_left_out_stays_as_it_was() -> None:
    assert Choice("debian13", "public").but("", "baked") == Choice("debian13", "baked")
    assert Choice("debian13", "baked").but("debian12", "") == Choice("debian12", "baked")
