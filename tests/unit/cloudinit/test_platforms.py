from __future__ import annotations

import pytest

from cloudinit.platforms import PLATFORMS, NamedAmi, Platform, SsmAmi, platform


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_every_platform_has_an_image_for_both_architectures(name: str) -> None:
    assert set(PLATFORMS[name].ami) == {"x86_64", "arm64"}
    for ami in PLATFORMS[name].ami.values():
        assert isinstance(ami, SsmAmi | NamedAmi)
        if isinstance(ami, SsmAmi):
            assert ami.parameter.startswith("/aws/service/")


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_every_platform_gets_the_stack_and_the_agents_library(name: str) -> None:
    wanted = {"corosync", "pacemaker", "pcs", "resource-agents"}
    assert wanted <= set(PLATFORMS[name].packages)


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_only_the_vips_interface_is_kept_from_the_network_tools(name: str) -> None:
    for unit in PLATFORMS[name].network_units:
        assert "@{interface}." in unit, f"{unit} would be masked for every interface"


def test_debian_gets_what_pacemaker_only_recommends() -> None:
    for name in ("debian12", "debian13", "ubuntu2404"):
        assert "pacemaker-cli-utils" in PLATFORMS[name].packages


def test_an_unknown_platform_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'debian11' is unknown; choose one of al2023, debian12"):
        platform("debian11")


def test_a_known_platform_is_found() -> None:
    found = platform("al2023")
    assert isinstance(found, Platform)
    assert found.installer == "dnf"
