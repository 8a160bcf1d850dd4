"""The agent as the program that is installed on a node."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent import ec2vip, ocf, outcome
from cloudinit import minify, places

from .cloud import VIP
from .conftest import Node
from .recorded import environment

SOURCE = Path(ec2vip.__file__)
GOLDEN = Path(__file__).with_name("meta-data.xml")
IMDS = r"IMDS_ADDRESS ?= ?\(.*"


def test_the_meta_data_is_the_golden_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert ocf.main(["meta-data"], {}) == outcome.SUCCESS
    assert capsys.readouterr().out == GOLDEN.read_text()


def test_the_meta_data_keeps_to_the_resource_agent_api() -> None:
    # Both ra-api-1.dtd and metadata.rng of ClusterLabs' resource-agents 4.12 allow this.
    agent = ET.fromstring(GOLDEN.read_text())
    assert (agent.tag, agent.get("name")) == ("resource-agent", "ec2vip")
    assert [child.tag for child in agent] == ["version", "longdesc", "shortdesc", "parameters", "actions"]
    assert agent.findtext("version") == "1.1"
    for parameter in agent.iterfind("parameters/parameter"):
        assert set(parameter.attrib) == {"name", "unique", "required"}
        assert {parameter.get("unique"), parameter.get("required")} <= {"0", "1"}
        assert [child.tag for child in parameter] == ["longdesc", "shortdesc", "content"]
        assert parameter[2].get("type") in {"string", "integer", "boolean"}
        assert set(parameter[2].attrib) <= {"type", "default"}
    for text in agent.iter():
        if text.tag in ("longdesc", "shortdesc"):
            assert text.attrib == {"lang": "en"}
            assert (text.text or "").strip()
    names = [action.get("name") for action in agent.iterfind("actions/action")]
    assert {"start", "stop", "monitor", "validate-all", "meta-data", "migrate_to", "migrate_from"} == set(
        names
    )
    for action in agent.iterfind("actions/action"):
        assert set(action.attrib) <= {"name", "timeout", "interval", "depth"}
        assert (action.get("timeout") or "").endswith("s")


def test_every_module_is_python_3_9_and_no_more_than_a_person_reads() -> None:
    for source in places.AGENT_SOURCES.glob("*.py"):
        ast.parse(source.read_text(), feature_version=(3, 9))
        assert len(source.read_text().splitlines()) <= 400, source


@pytest.mark.parametrize("words", [[], ["usage"], ["reload"], ["start", "x"]])
def test_what_is_no_action_is_answered_with_those_there_are(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ocf.main(words, {}) == outcome.ERR_UNIMPLEMENTED
    assert "stop|monitor" in capsys.readouterr().err


def test_logs_go_to_the_clusters_syslog_facility(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import syslog

    opened: list[object] = []
    written: list[object] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: opened.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda *words: written.append(words))
    monkeypatch.setenv("HA_LOGFACILITY", "local3")
    monkeypatch.setenv("OCF_RESOURCE_INSTANCE", "vip-ec2")
    for level in ("INFO", "WARNING", "ERR"):
        outcome.log(level, "text")
    assert opened[0] == ("ec2vip(vip-ec2)", syslog.LOG_PID, syslog.LOG_LOCAL3)
    assert written == [
        (syslog.LOG_INFO, "INFO: text"),
        (syslog.LOG_WARNING, "WARNING: text"),
        (syslog.LOG_ERR, "ERR: text"),
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.subprocess  # tests the program itself, its first line and its interpreter's flags
class TestAsAProgram:
    @pytest.fixture(params=["source", "minified"])
    def program(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """The program and its package, as in the tree or as a node gets them."""
        library = tmp_path / "lib"
        (library / "agent").mkdir(parents=True)
        for source in places.AGENT_SOURCES.glob("*.py"):
            text = source.read_text() if request.param == "source" else minify.python(source.read_text())
            if source.name != "__init__.py":  # contains only a text for readers
                (library / "agent" / source.name).write_text(text)
        program = tmp_path / "ec2vip"
        (library / "agent" / "ec2vip.py").rename(program)
        change(program, re.escape(f'"{ec2vip.LIBRARY}"'), f'"{library}"')
        program.chmod(0o755)
        return program

    @pytest.fixture
    def on_a(self, program: Path, a: Node) -> Path:
        """The program, with node a's metadata service, EC2 and folder for records."""
        library = program.with_name("lib") / "agent"
        change(library / "metadata.py", r'"169\.254\.169\.254", ?80', f"{a.address[0]!r}, {a.address[1]}")
        change(library / "ocf.py", '"/run/resource-agents"', f'"{a.folder}"')
        change(library / "ocf.py", r'endpoint(: str)? ?= ?""', f'endpoint="{a.endpoint}"')
        return program

    def run(self, words: list[str], kind: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the program in Pacemaker's environment for an action of that kind."""
        return subprocess.run(
            words,
            env={**environment(kind, ec2_vip=VIP), "HA_LOGFACILITY": "none", **more},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_the_file_in_the_tree_may_be_executed(self) -> None:
        assert os.access(SOURCE, os.X_OK)
        assert SOURCE.read_text().startswith("#!/usr/bin/python3 -IS\n")

    def test_meta_data_needs_nothing(self, program: Path) -> None:
        done = subprocess.run([program, "meta-data"], env={}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, GOLDEN.read_text(), "")

    def test_a_bad_parameter_is_reported_to_pacemaker(self, program: Path) -> None:
        done = self.run([str(program), "monitor"], "monitor", OCF_RESKEY_ec2_vip="10.0.250")
        assert done.returncode == outcome.ERR_CONFIGURED
        assert "ocf-exit-reason:ec2_vip '10.0.250' is not an IPv4 address" in done.stderr

    def test_the_vip_comes_and_goes(self, on_a: Path, a: Node) -> None:
        trust = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], "PATH": "/nonexistent"}
        for kind, code, owners in (
            ("validate-all", outcome.SUCCESS, []),
            ("probe", outcome.NOT_RUNNING, []),
            ("start", outcome.SUCCESS, ["eni-a"]),
            ("monitor", outcome.SUCCESS, ["eni-a"]),
            ("probe", outcome.SUCCESS, ["eni-a"]),
            ("stop", outcome.SUCCESS, []),
        ):
            done = self.run([str(on_a), "monitor" if kind == "probe" else kind], kind, **trust)
            assert (done.returncode, a.api.owners()) == (code, owners), done.stderr
            assert "unexpected" not in done.stderr

    @pytest.mark.parametrize("kind", ["stop", "probe", "monitor", "start"])
    def test_without_its_package_it_keeps_the_vip_up(self, program: Path, kind: str) -> None:
        (program.with_name("lib") / "agent" / "ocf.py").write_text("import nothing_of_that_name\n")
        code = {"stop": outcome.SUCCESS, "probe": outcome.NOT_RUNNING}.get(kind, outcome.ERR_GENERIC)
        done = self.run([str(program), "monitor" if kind == "probe" else kind], kind)
        assert done.returncode == code
        assert "nothing_of_that_name" in done.stderr

    def test_a_holders_monitor_imports_only_what_it_needs(self, on_a: Path, a: Node) -> None:
        # This runs every ten seconds on every node, so it must not import a module that costs milliseconds.
        a.act("start")
        a.api.calls.clear()
        done = self.run([sys.executable, "-IS", "-X", "importtime", str(on_a), "monitor"], "monitor")
        assert (done.returncode, a.api.calls) == (outcome.SUCCESS, []), done.stderr
        imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        assert "agent.rules" in imported
        heavy = {
            "socket",
            "json",
            "re",
            "enum",
            "ipaddress",
            "datetime",
            "hashlib",
            "http.client",
            "ssl",
            "email",
        }
        heavy |= {"typing", "dataclasses", "pathlib", "threading", "subprocess", "random", "site", "logging"}
        heavy |= {"xml.etree.ElementTree", "urllib.parse", "agent.api", "agent.ec2", "agent.cluster"}
        assert not heavy & imported


def change(file: Path, pattern: str, text: str) -> None:
    """Replace the pattern's only match in a file."""
    changed, count = re.subn(pattern, lambda _: text, file.read_text())
    assert count == 1, pattern
    file.write_text(changed)
