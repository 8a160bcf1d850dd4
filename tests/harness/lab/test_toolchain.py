"""If a machine cannot have set-up, it says so in one line: the value, the rule and the remedy."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import time
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.lab import cache, image, toolchain
from tests.lab.amis import Image
from tests.lab.errors import LabError
from tests.lab.paths import TOOLS

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
    with pytest.raises(LabError, match=r"100 MiB free; set-up needs 2048 MiB; .*EC2VIP_CACHE"):
        toolchain.ensure("python")
    (tmp_path / "cache").mkdir(exist_ok=True)
    with pytest.raises(LabError, match="100 MiB free; the image needs"):
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


def test_without_an_engine_nothing_is_downloaded_that_nobody_has_the_hash_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Go checks modules against go.sum; Pulumi's installer checks nothing and would run as root."""
    built: list[Path] = []

    def build(into: Path) -> None:
        built.append(into)
        into.mkdir(parents=True)

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(toolchain, "require_room", lambda folder, level: None)
    monkeypatch.setattr(toolchain, "_build_pulumi", build)
    assert toolchain._pulumi() == toolchain.pulumi_dir()
    assert built == [toolchain.pulumi_dir().with_name(f"{toolchain.pulumi_dir().name}.part")]


def pins() -> dict[str, list[Requirement]]:
    """The lock's packages by name, each with its version; several if Pythons need different ones."""
    found: dict[str, list[Requirement]] = {}
    for entry in toolchain.LOCK.read_text().replace("\\\n", " ").splitlines():
        if entry and not entry.startswith("#"):
            words, *hashes = entry.split(" --hash=")
            assert hashes, f"{words} has no hash"
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), words
            pin = Requirement(words)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def test_the_lock_has_a_version_and_hashes_of_all_that_is_asked_for() -> None:
    """Run `make lock` after a change of requirements.txt or of the `test` extra."""
    locked = pins()
    for line in toolchain.declared():
        wanted = Requirement(line)
        versions = [str(pin.specifier) for pin in locked.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{line}: not in the lock; run `make lock`"
        assert all(version.startswith("==") for version in versions)
        unfit = [version for version in versions if not wanted.specifier.contains(version[2:])]
        assert not unfit, f"{line}: the lock has {unfit}; run `make lock`"


def test_what_is_there_is_used_though_the_cache_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only cache is enough: set-up takes no lock, prunes nothing and makes no network request."""
    venv = toolchain.venv_dir()
    venv.mkdir(parents=True)
    (venv / "complete").touch()

    def refuse() -> None:
        raise AssertionError("it is all there")

    monkeypatch.setattr(toolchain, "one_at_a_time", refuse)
    assert toolchain.ensure("python")["VIRTUAL_ENV"] == str(venv)


def test_what_is_about_to_be_used_is_not_pruned_however_old() -> None:
    cache.claim()
    venv, long_ago = toolchain.venv_dir(), time.time() - cache.KEPT_S - 60
    venv.mkdir()
    (venv / "complete").touch()
    os.utime(venv, (long_ago, long_ago))
    assert cache.is_due()
    assert toolchain.ensure("python")["VIRTUAL_ENV"] == str(venv)
    assert (venv / "complete").exists()
    assert not cache.is_due()


def test_a_folder_that_is_not_the_caches_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For example /usr/local/bin, if the machine already has an engine there."""
    venv = toolchain.venv_dir()
    venv.mkdir(parents=True)
    (venv / "complete").touch()
    engine = tmp_path / "bin"
    engine.mkdir()
    (engine / "pulumi").touch()
    os.utime(engine, (1, 1))
    monkeypatch.setattr(toolchain, "_pulumi_on_path", lambda: engine)
    assert toolchain.ensure("engine")["PATH"].startswith(f"{engine}:{venv}/bin:")
    assert engine.stat().st_mtime == 1


def test_a_cache_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert toolchain.main(["python", "--", "true"]) == 1
    said = capsys.readouterr().err
    assert f"error: set-up can't write to {tmp_path / 'cache'}: Read-only file system; fix that" in said
    assert said.count("\n") == 1


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a lab; the test fails if set-up begins."""
    monkeypatch.setenv("EC2VIP_LABS", str(tmp_path))
    monkeypatch.setenv("LAB", "mine")
    monkeypatch.delenv("STACK", raising=False)
    monkeypatch.setattr(toolchain, "ensure", lambda level: pytest.fail(f"{level} would be installed"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_a_command_on_a_running_lab_has_what_the_lab_was_started_with(lab: Path) -> None:
    (lab / "venv/bin").mkdir(parents=True)
    (lab / "venv/bin/python").touch()
    tools = {"PATH": "/engine:/usr/bin", "VIRTUAL_ENV": str(lab / "venv")}
    (lab / TOOLS).write_text(json.dumps(tools))
    assert toolchain.of_running_lab() == tools


def test_of_no_lab_it_is_said_and_nothing_is_installed(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`down` succeeds, because the lab is already down."""
    lab.rmdir()
    for command, status in (("status", 1), ("verify", 1), ("env", 1), ("down", 0)):
        assert toolchain.main(["running", "--", "python", "-m", "tests.lab", command]) == status
        assert capsys.readouterr().err == "no lab 'mine' runs here; start one with `make up`\n"


def test_who_may_not_see_a_lab_is_told_whose_it_is(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for command in ("status", "verify", "env", "down"):
        assert toolchain.main(["running", "--", "python", "-m", "tests.lab", command]) == 1
        said = capsys.readouterr().err
        assert said == f"error: lab 'mine' in {lab} is another user's; run it with sudo, or as root\n"


def test_another_stack_than_the_labs_needs_no_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.rmdir()
    monkeypatch.setenv("STACK", "dev")
    monkeypatch.setattr(toolchain, "ensure", lambda level: {"LEVEL": level})
    assert toolchain._environment("running") == {"LEVEL": "engine"}


def test_two_checkouts_share_one_virtual_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Sequence[str]] = []
    for name in ("one", "another"):
        lock = tmp_path / name / "requirements.lock"
        lock.parent.mkdir()
        shutil.copy(toolchain.LOCK, lock)
        monkeypatch.setattr(toolchain, "LOCK", lock)
        monkeypatch.setattr(toolchain, "run", lambda words, **_: installed(words, made))
        (tmp_path / "cache").mkdir(exist_ok=True)
        toolchain._virtual_environment()
    assert len(made) == 1
    assert made[0][-3:] == ["--require-hashes", "--requirement", str(tmp_path / "one/requirements.lock")]


def test_another_hash_is_another_virtual_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = toolchain.venv_dir()
    lock = tmp_path / "requirements.lock"
    lock.write_text(re.sub("sha256:.", "sha256:0", toolchain.LOCK.read_text(), count=1))
    monkeypatch.setattr(toolchain, "LOCK", lock)
    assert toolchain.venv_dir() != before


def installed(words: Sequence[str], made: list[Sequence[str]]) -> CompletedProcess[str]:
    """Act as Python and pip: create the environment's folder, or record pip's arguments."""
    if words[1] == "-m":
        Path(words[3]).mkdir()
    else:
        made.append(words)
    return CompletedProcess(words, 0, "", "")
