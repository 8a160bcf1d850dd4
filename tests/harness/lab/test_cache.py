"""What the cache keeps and what it removes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import cache
from tests.lab.errors import LabError
from tests.lab.paths import PROJECT
from tests.lab.turns import one_at_a_time

VENV, NEWER, ENGINE = "venv-0123456789ab", "venv-ba9876543210", "pulumi-3.259.0"
IMAGE, BAKED = "image-debian12-0478f5dad2c6", "image-debian12-baked-0478f5dad2c6"
LONG_AGO = time.time() - cache.KEPT_S - 60


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EC2VIP_CACHE", str(tmp_path / "cache"))
    cache.claim()
    return tmp_path / "cache"


def made(kept: Path, name: str, used: float = LONG_AGO) -> Path:
    folder = kept / name
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    os.utime(folder, (used, used))
    return folder


def names(kept: Path) -> set[str]:
    return {path.name for path in kept.iterdir()} - {cache.PRUNED, cache.MARK}


def test_what_nobody_has_used_for_a_month_goes_and_is_named(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (VENV, IMAGE, BAKED, ENGINE, "matplotlib"):
        made(kept, name)
    made(kept, NEWER, used=time.time() - cache.KEPT_S / 2)
    cache.prune()
    assert names(kept) == {NEWER, "matplotlib"}
    said = capsys.readouterr().err
    assert all(name in said for name in (VENV, IMAGE, BAKED, ENGINE))


def test_what_is_used_again_stays(kept: Path) -> None:
    used, held = made(kept, VENV), made(kept, IMAGE)
    cache.use(used)
    cache.hold(held)
    cache.prune()
    assert names(kept) == {used.name, held.name}
    assert min(folder.stat().st_mtime for folder in (used, held)) > LONG_AGO + cache.KEPT_S / 2


@pytest.mark.subprocess
def test_what_a_process_holds_stays_until_its_end(kept: Path) -> None:
    """The holder is another process, such as a lab."""
    folder = made(kept, IMAGE)
    code = "import sys; from tests.lab.cache import hold; from pathlib import Path; hold(Path(sys.argv[1])); "
    words = [sys.executable, "-c", code + "print('held', flush=True); sys.stdin.read()", str(folder)]
    with subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        os.utime(folder, (LONG_AGO, LONG_AGO))
        cache.prune()
        assert folder.exists()
        holder.kill()
    (kept / "pruned").unlink()
    cache.prune()
    assert not folder.exists()


def test_what_was_left_half_made_or_half_removed_goes(kept: Path) -> None:
    for left in (f"{IMAGE}.part", f"{VENV}.gone", f"{ENGINE}.part.installer"):
        made(kept, left, used=time.time())
    cache.prune()
    assert names(kept) == set()


def test_the_bytecode_of_folders_that_are_gone_goes(kept: Path, tmp_path: Path) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    for origin in (here, gone):
        made(kept, f"pycache{origin}")
    cache.prune()
    assert (kept / f"pycache{here}/complete").exists()
    assert not (kept / f"pycache{gone}").exists()


def test_it_is_looked_at_once_a_day(kept: Path) -> None:
    cache.prune()
    folder = made(kept, VENV)
    cache.prune()
    assert folder.exists()
    os.utime(kept / "pruned", (LONG_AGO, LONG_AGO))
    cache.prune()
    assert not folder.exists()


OTHERS = (
    "venv-of-somebody",
    "venv-0123456789abc",
    "image-gallery",
    "pulumi-docs",
    "backup.part",
    "trash.gone",
)


def test_what_is_not_exactly_of_ours_stays_however_old(kept: Path, tmp_path: Path) -> None:
    """On a shared disk: names like ours, and links with our names to a folder elsewhere."""
    for name in OTHERS:
        made(kept, name)
    elsewhere = made(tmp_path, "elsewhere")
    (kept / VENV).symlink_to(elsewhere)
    (kept / f"{IMAGE}.part").symlink_to(elsewhere)
    cache.prune()
    assert names(kept) == {*OTHERS, VENV, f"{IMAGE}.part"}
    assert (elsewhere / "complete").exists()


def test_a_folder_without_our_mark_is_never_pruned(kept: Path) -> None:
    (kept / cache.MARK).unlink()
    made(kept, VENV)
    made(kept, f"{IMAGE}.part")
    cache.prune()
    assert names(kept) == {VENV, f"{IMAGE}.part"}


def test_a_folder_of_other_things_is_refused_with_the_remedy(kept: Path) -> None:
    (kept / cache.MARK).unlink()
    (kept / "letters").mkdir()
    with (
        pytest.raises(
            LabError, match=r"EC2VIP_CACHE=.* holds other files, such as letters; .* touch .*cache"
        ),
        one_at_a_time(),
    ):
        pass
    assert {path.name for path in kept.iterdir()} == {"letters"}
    (kept / cache.MARK).touch()
    with one_at_a_time():
        pass


def test_a_folder_in_which_only_pythons_bytecode_is_becomes_ours(kept: Path) -> None:
    """Python writes the bytecode of set-up before set-up has looked at the folder (see the Makefile)."""
    (kept / cache.MARK).unlink()
    (kept / "pycache").mkdir()
    with one_at_a_time():
        assert "removes what nobody has used" in (kept / cache.MARK).read_text()


def test_a_cache_of_before_the_mark_is_ours_at_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2VIP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made(tmp_path / "ec2vip", VENV)
    cache.claim()
    assert (tmp_path / "ec2vip" / cache.MARK).exists()
