"""The probe's machine reports what no test can know about its system, and always ends itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cloudinit import places, userdata
from tests.unit.cloudinit.conftest import make_spec
from tests.unit.cloudinit.fake_node import FakeNode

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it


def probe(node: FakeNode) -> list[str]:
    """The node's console output, with packages from its archives."""
    for path, executable, content in userdata.builder_files("al2023"):
        target = node.root / path.lstrip("/")
        target.write_text(content)
        target.chmod(0o755 if executable else 0o644)
    script = node.root / "probe"
    script.write_text(userdata._script(places.PROBE_SOURCE))
    (node.fakes / "bin/shutdown").write_text('#!/bin/bash\necho "shutdown $*" >>"$FAKE/calls.log"\n')
    (node.fakes / "bin/shutdown").chmod(0o755)
    (node.fakes / "bin/sleep").write_text('#!/bin/bash\nexec /usr/bin/sleep "0.0$1"\n')
    (node.fakes / "bin/sleep").chmod(0o755)
    (node.root / "run").mkdir()
    subprocess.run(
        ["bash", str(script)],
        env={
            "EC2VIP_ROOT": str(node.root),
            "EC2VIP_CONSOLE": str(node.console),
            "EC2VIP_PACKAGES_LIMIT": "0",
            "PATH": f"{node.fakes / 'bin'}:/usr/bin:/bin",
            "FAKE": str(node.fakes),
        },
        check=False,
        timeout=120,
        capture_output=True,
    )
    return node.console.read_text().splitlines()


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    node = FakeNode(tmp_path, make_spec(platform="al2023"))
    node.say("offers", "corosync\npacemaker\npcs\nresource-agents\n")
    return node


def test_it_says_what_the_system_has_and_runs_a_cluster_on_it(node: FakeNode) -> None:
    node.say("view.xml", "Current DC: probe\n")
    said = probe(node)
    assert "probe: before: pacemaker" in said
    assert "ec2vip: image done" in said
    assert any(line.startswith("probe: packages: status 0 after ") for line in said)
    assert "pcs property set stonith-enabled=false no-quorum-policy=ignore" in node.calls
    (made,) = node.calls_of("pcs resource create vip ocf:heartbeat:IPaddr2 ip=10.0.250.250 ")
    assert "--wait" in made
    assert said[-1] == "probe: end"
    assert node.calls[-1] == "shutdown -h now"


def test_it_ends_itself_and_says_why_if_the_packages_cannot_be_had(node: FakeNode) -> None:
    node.say("dnf-silent", "999")
    node.say("dnf-says", "Error: All mirrors were tried\n")
    said = probe(node)
    assert any(line.startswith("probe: packages: status 1 after ") for line in said)
    assert "probe: log: Error: All mirrors were tried" in "\n".join(said)
    assert said[-1] == "probe: end"
    assert node.calls[-1] == "shutdown -h now"


def test_it_has_all_of_the_installer_and_room(node: FakeNode) -> None:
    assert len(userdata.probe("al2023")) < userdata.MAX_BYTES // 2
