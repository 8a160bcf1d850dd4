"""What the cache keeps and what it lets go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import cache
from tests.lab.paths import PROJECT

LONG_AGO = time.time() - cache.KEPT_S - 60


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EC2VIP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def made(kept: Path, name: str, used: float = LONG_AGO) -> Path:
    folder = kept / name
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    os.utime(folder, (used, used))
    return folder


def names(kept: Path) -> set[str]:
    return {path.name for path in kept.iterdir()} - {"pruned"}


def test_what_nobody_has_used_for_a_month_goes_and_is_named(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("venv-old", "image-debian12-old", "pulumi-1.0", "matplotlib"):
        made(kept, name)
    made(kept, "venv-new", used=time.time() - cache.KEPT_S / 2)
    cache.prune()
    assert names(kept) == {"venv-new", "matplotlib"}
    said = capsys.readouterr().err
    assert all(name in said for name in ("venv-old", "image-debian12-old", "pulumi-1.0"))


def test_what_is_used_again_stays(kept: Path) -> None:
    used, held = made(kept, "venv-old"), made(kept, "image-debian12-old")
    cache.use(used)
    cache.hold(held)
    cache.prune()
    assert names(kept) == {used.name, held.name}
    assert min(folder.stat().st_mtime for folder in (used, held)) > LONG_AGO + cache.KEPT_S / 2


@pytest.mark.subprocess
def test_what_a_process_holds_stays_until_its_end(kept: Path) -> None:
    """Another process: a lab's."""
    folder = made(kept, "image-debian12-old")
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
    made(kept, "image-debian12-x.part", used=time.time())
    made(kept, "venv-x.gone", used=time.time())
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
    folder = made(kept, "venv-old")
    cache.prune()
    assert folder.exists()
    os.utime(kept / "pruned", (LONG_AGO, LONG_AGO))
    cache.prune()
    assert not folder.exists()
