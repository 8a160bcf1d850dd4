"""Which provider Pulumi finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import plugin
from tests.lab.errors import LabError
from tests.lab.paths import PROJECT


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("EC2VIP_PROVIDER", "PULUMI_AWS_PLUGIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))


def program(folder: Path, text: str, name: str = plugin.NAME) -> Path:
    """Create an executable script; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    """Make `pulumi plugin ls` list these versions of the AWS plugin."""
    entries = [{"name": "aws", "kind": "resource", "version": version} for version in versions]
    listed = json.dumps([{"name": "random", "kind": "resource", "version": "4.0.0"}, *entries])
    program(tmp_path / "bin", f"#!/bin/sh\ncat <<'EOF'\n{listed}\nEOF\n", "pulumi")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for version in versions:
        program(tmp_path / "pulumi" / "plugins" / f"resource-aws-v{version}", "#!/bin/sh\n")


def test_it_is_the_stand_in_unless_another_is_asked_for() -> None:
    assert plugin.plugin() == plugin.STAND_IN
    assert plugin.STAND_IN.is_file()


def test_a_provider_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EC2VIP_PROVIDER", "azure")
    with pytest.raises(LabError, match="PROVIDER 'azure' is not one of lab, aws; leave it out"):
        plugin.plugin()


@pytest.mark.subprocess
def test_the_real_one_is_the_newest_in_our_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EC2VIP_PROVIDER", "aws")
    listing(tmp_path, monkeypatch, "7.9.0", "7.10.1", "6.83.0", "8.0.0")
    assert plugin.plugin() == tmp_path / "pulumi" / "plugins" / "resource-aws-v7.10.1" / plugin.NAME


@pytest.mark.subprocess
def test_without_one_in_our_range_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EC2VIP_PROVIDER", "aws")
    listing(tmp_path, monkeypatch, "6.83.0")
    with pytest.raises(LabError, match=r"the AWS plugin >=7.8,<8 is not here; run `pulumi plugin install"):
        plugin.plugin()


def test_a_path_is_taken_if_a_plugin_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EC2VIP_PROVIDER", "aws")
    real = program(tmp_path / "opt", "#!/bin/sh\n")
    monkeypatch.setenv("PULUMI_AWS_PLUGIN", str(real))
    assert plugin.plugin() == real
    for wrong in (tmp_path / "nowhere" / plugin.NAME, program(tmp_path / "opt", "", "aws"), tmp_path):
        monkeypatch.setenv("PULUMI_AWS_PLUGIN", str(wrong))
        with pytest.raises(LabError, match=f"{wrong} is not a program named pulumi-resource-aws; give"):
            plugin.plugin()


@pytest.mark.subprocess
def test_the_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said(provider: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("EC2VIP_PROVIDER", provider)
        command = [sys.executable, "-m", "tests.lab.plugin"]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)

    listing(tmp_path, monkeypatch)
    missing = said("aws")
    assert (missing.returncode, missing.stdout, missing.stderr.count("\n")) == (1, "", 1)
    assert "PULUMI_AWS_PLUGIN" in missing.stderr
    assert said("").stdout == f"provider: {plugin.STAND_IN}\n"
