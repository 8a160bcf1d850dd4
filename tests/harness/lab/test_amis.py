"""Which image an AMI id stands for: the platforms' look-ups, the baked images, and ids without a meaning."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloudinit.platforms import PLATFORMS, SsmAmi
from tests.aws.emulator.images import BAKED, IMAGES
from tests.drill.clouds import Choice
from tests.lab.amis import AMIS, KINDS, SUITES, Image, ami_id, image_of
from tests.lab.errors import LabError
from tests.lab.image_contents import files, mirror_packages, rpm_names
from tests.lab.mirror import AMAZON, DEBIAN, NAMES, Mirror
from tests.lab.rpms import RELEASE


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
    chosen = PLATFORMS[platform]
    asked = set(chosen.packages) - {"iproute2"}  # already in the image
    assert asked <= set(rpm_names() if chosen.installer == "dnf" else mirror_packages(platform))
    if chosen.installer == "dnf":
        assert AMAZON.split(".")[1:] == ["s3", "dualstack", "us-east-1", "amazonaws", "com"]
        assert AMAZON.startswith("al2023-repos-us-east-1-")
        assert "etc/apt/sources.list" not in files(platform)
    else:
        assert f"/{platform} ./" in files(platform)["etc/apt/sources.list"]


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if PLATFORMS[name].build])
def test_the_mirror_has_each_source_under_the_addresses_that_the_product_knows(
    platform: str, tmp_path: Path
) -> None:
    build = PLATFORMS[platform].build
    assert build is not None
    (tmp_path / "sources").mkdir()
    mirror = Mirror(lambda _: tmp_path, [platform])
    for source in build.sources:
        (tmp_path / "sources" / source.name).touch()
        for address in map(urlsplit, source.addresses):
            assert address.hostname in NAMES
            assert mirror.find(str(address.hostname), address.path) == tmp_path / "sources" / source.name


def test_the_mirror_gives_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core/Packages").touch()
    mirror = Mirror(lambda _: tmp_path / "core", ["debian12"])
    assert mirror.find(DEBIAN, "/debian/debian12/./Packages") == tmp_path / "core/Packages"
    for path in (
        "/debian/debian12/../../../etc/passwd",
        "/debian/debian11/Packages",
        "/debian/debian12",
        "/",
    ):
        assert mirror.find(DEBIAN, path) is None
    assert mirror.find("snapshot.debian.org", "/file/0") is None


def test_what_a_mirror_is_told_to_exchange_is_exchanged_until_it_is_told_otherwise(tmp_path: Path) -> None:
    for name in ("core", "stream"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "repomd.xml").touch()
    mirror = Mirror(lambda _: tmp_path, ["al2023"])
    asked = (AMAZON, f"/core/mirrors/{RELEASE}/x86_64/mirror.list")
    address = urlsplit(str(mirror.find(*asked)).strip())
    index = (str(address.hostname), f"{address.path}repomd.xml")
    assert mirror.find(*index) == tmp_path / "core/repomd.xml"
    mirror.tell({}, {"core/": "stream/"})
    assert mirror.find(*index) == tmp_path / "stream/repomd.xml"
    mirror.tell({}, {})
    assert mirror.find(*index) == tmp_path / "core/repomd.xml"


def test_every_image_that_boots_is_one_that_ec2_knows() -> None:
    assert set(AMIS) <= {image.ami_id for image in IMAGES}
    baked = {ami_id: platform for platform, ami_ids in BAKED.items() for ami_id in ami_ids}
    assert baked == {ami_id: image.platform for ami_id, image in AMIS.items() if image.baked}


def test_what_the_lab_cannot_boot_is_refused_with_what_it_can() -> None:
    with pytest.raises(LabError, match="the lab cannot boot platform 'plan9'; use al2023 or debian12 or deb"):
        Choice().but("plan9", "")
    with pytest.raises(LabError, match="the lab has no AMI 'golden'; use public, baked or baked-2"):
        Choice().but("", "golden")
    with pytest.raises(LabError, match="nothing to boot for ami-0123"):
        image_of("ami-0123")


def test_what_is_left_out_stays_as_it_was() -> None:
    assert Choice("debian13", "public").but("", "baked") == Choice("debian13", "baked")
    assert Choice("debian13", "baked").but("debian12", "") == Choice("debian12", "baked")
