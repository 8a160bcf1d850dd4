"""What counts as changed on a node's disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.changed import changed, layers_of


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    return tmp_path / "upper"


@pytest.fixture
def lower(tmp_path: Path) -> list[Path]:
    """Two layers below, the newer one first."""
    return [tmp_path / "newer", tmp_path / "older"]


def put(layer: Path, name: str, text: str = "text", mode: int = 0o644) -> None:
    path = layer / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_new_files_other_contents_and_other_modes_are_changes(upper: Path, lower: list[Path]) -> None:
    for name in ("etc/content", "etc/mode", "etc/back"):
        put(lower[1], name)
    put(upper, "etc/new")
    put(upper, "etc/content", "another")
    put(upper, "etc/mode", mode=0o600)
    put(upper, "etc/back")
    assert set(changed(upper, lower)) == {"etc/new", "etc/content", "etc/mode"}


def test_the_newest_layer_below_is_what_counts(upper: Path, lower: list[Path]) -> None:
    put(lower[1], "etc/a", "old")
    put(lower[0], "etc/a", "kept")
    put(upper, "etc/a", "old")
    assert list(changed(upper, lower)) == ["etc/a"]


def test_a_link_that_points_elsewhere_is_a_change(upper: Path, lower: list[Path]) -> None:
    for layer, target in ((lower[0], "here"), (upper, "there")):
        layer.mkdir()
        (layer / "link").symlink_to(target)
    assert list(changed(upper, lower)) == ["link"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("var/log/pacemaker/pacemaker.log", False),
        ("var/lib/pacemaker/cib/cib.xml", False),
        ("var/lib/pacemaker/pengine/pe-input-1.bz2", False),
        ("var/lib/pacemaker/litter", True),
        ("etc/corosync/corosync.conf", True),
        ("usr/lib/ocf/resource.d/heartbeat/ec2vip", True),
        ("var/lib/dpkg/status", True),
    ],
)
def test_what_a_node_writes_as_it_runs_is_none(
    upper: Path, lower: list[Path], name: str, counts: bool
) -> None:
    put(upper, name)
    assert list(changed(upper, lower)) == ([name] if counts else [])


def test_the_layers_are_read_off_the_mounts() -> None:
    mounts = "tmpfs /run tmpfs rw 0 0\n"
    mounts += "lab-root /n/root overlay rw,lowerdir=/n/l0:/image,upperdir=/n/l1,workdir=/w 0 0\n"
    assert layers_of(Path("/n/root"), mounts) == (Path("/n/l1"), [Path("/n/l0"), Path("/image")])
    with pytest.raises(LookupError, match="no overlay is mounted at /other"):
        layers_of(Path("/other"), mounts)
