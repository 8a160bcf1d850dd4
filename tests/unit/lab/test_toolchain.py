"""Set-up on machines that can't have it: one line with the value, the rule and the remedy."""

from __future__ import annotations

import os
import platform
import shutil
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.lab import image, toolchain
from tests.lab.amis import Image
from tests.lab.errors import LabError
from tests.lab.paths import PROJECT

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EC2VIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CI", raising=False)


def test_another_system_than_linux_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LabError, match="needs Linux; this is Darwin; use a Debian or Ubuntu machine"):
        toolchain.ensure("lab")


def test_who_is_not_root_is_told_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root.*sudo"):
        toolchain.ensure("lab")
    assert not (tmp_path / "cache").exists()


def test_a_system_without_apt_is_told_which_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LabError, match="apt-get is not here; use Debian"):
        toolchain.ensure("lab")


def test_a_full_disk_is_told_with_both_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 100 << 20))
    with pytest.raises(LabError, match=r"100 MiB free; set-up wants 2048 MiB; .*EC2VIP_CACHE"):
        toolchain.ensure("python")
    (tmp_path / "cache").mkdir(exist_ok=True)
    with pytest.raises(LabError, match="100 MiB free; the image wants"):
        image.ensure([Image("debian12")])


def test_without_pulumi_and_go_both_remedies_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LabError, match=r"Go: none\); install Pulumi .* or Go"):
        toolchain._build_pulumi(tmp_path / "pulumi")


def test_what_fails_half_way_is_removed(tmp_path: Path) -> None:
    half = tmp_path / "venv"
    half.mkdir()
    with pytest.raises(KeyboardInterrupt), toolchain._removed_unless_complete(half):
        raise KeyboardInterrupt
    assert not half.exists()


def test_an_error_ends_in_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert toolchain.main(["lab", "--", "true"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wrong_call_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert toolchain.main(["everything"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_under_ci_a_lab_that_cannot_be_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("CI", "true")
    assert toolchain.main(["test", "--", "true"]) == 1


def test_two_checkouts_share_one_virtual_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Sequence[str]] = []
    for name in ("one", "another"):
        checkout = tmp_path / name
        checkout.mkdir()
        for file in ("requirements.txt", "pyproject.toml"):
            shutil.copy(PROJECT / file, checkout / file)
        monkeypatch.setattr(toolchain, "PROJECT", checkout)
        monkeypatch.setattr(toolchain, "REQUIREMENTS", checkout / "requirements.txt")
        monkeypatch.setattr(toolchain, "run", lambda words, **_: installed(words, made))
        (tmp_path / "cache").mkdir(exist_ok=True)
        toolchain._virtual_environment()
    assert len(made) == 1
    assert "--requirement" in made[0]
    assert any(word.startswith("moto[") for word in made[0])


def installed(words: Sequence[str], made: list[Sequence[str]]) -> CompletedProcess[str]:
    """As Python and pip would: a folder, and what pip was asked for."""
    if words[1] == "-m":
        Path(words[3]).mkdir()
    else:
        made.append(words)
    return CompletedProcess(words, 0, "", "")
