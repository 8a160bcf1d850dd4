from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cloudinit import node

SCRIPTS = sorted(Path(node.__file__).parent.glob("*.sh"))


@pytest.mark.subprocess  # shellcheck is a program of its own
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    found = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_scripts_are_there() -> None:
    assert [script.name for script in SCRIPTS] == [
        "bootstrap.sh",
        "build.sh",
        "fetch.sh",
        "guard.sh",
        "install-apt.sh",
        "install-dnf.sh",
        "probe.sh",
        "report.sh",
        "repository.sh",
    ]
