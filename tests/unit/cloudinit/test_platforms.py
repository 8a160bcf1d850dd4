from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudinit.platforms import PLATFORMS, NamedAmi, SsmAmi, platform
from tests.lab.paths import PROJECT
from tests.oldest_python import too_new


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


@pytest.mark.subprocess  # vermin is a program of its own
def test_what_runs_on_a_node_needs_no_newer_python_than_its_oldest(tmp_path: Path) -> None:
    newer = tmp_path / "newer.py"
    newer.write_text("import sys\nprint(sys.orig_argv)\n")
    assert "3.10" in too_new(newer), "nothing would be found"
    sources = [*(PROJECT / "agent").glob("*.py"), *(PROJECT / "tests/drill/prove/on_node").glob("*.py")]
    assert too_new(*sorted(sources), PROJECT / "cloudinit/node/parameter.py") == ""


def test_each_source_of_a_build_is_pinned_and_comes_over_tls() -> None:
    builds = [platform.build for platform in PLATFORMS.values() if platform.build]
    assert builds
    for build in builds:
        assert len({source.name for source in build.sources}) == len(build.sources)
        for source in build.sources:
            assert re.fullmatch("[0-9a-f]{64}", source.sha256)
            assert source.addresses
            assert all(address.startswith("https://") for address in source.addresses)
    assert set(PLATFORMS["al2023"].packages) >= set(builds[0].replaces)
