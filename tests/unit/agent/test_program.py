"""The agent as the program that a node installs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent import ec2vip
from cloudinit import slim

from .cloud import VIP
from .conftest import Node

SOURCE = Path(ec2vip.__file__)
GOLDEN = Path(__file__).with_name("meta-data.xml")
IMDS = r"IMDS_ADDRESS ?= ?\(.*"


def test_the_meta_data_is_the_golden_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert ec2vip.main(["meta-data"], {}) == ec2vip.SUCCESS
    assert capsys.readouterr().out == GOLDEN.read_text()


def test_the_meta_data_keeps_to_the_resource_agent_api() -> None:
    # What ra-api-1.dtd and metadata.rng of ClusterLabs' resource-agents 4.12 both allow.
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


def test_every_parameter_has_the_default_that_is_described() -> None:
    given = ec2vip.settings({"OCF_RESKEY_ec2_vip": "10.0.250.18"})
    for content in ET.fromstring(GOLDEN.read_text()).iterfind("parameters/parameter"):
        default = content.find("content").get("default", "")  # type: ignore[union-attr]
        assert given[content.get("name", "")] == (
            default or {"ec2_vip": "10.0.250.18"}.get(content.get("name", ""), "")
        )


def test_the_source_is_python_3_9() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("words", "code", "stream"),
    [(["usage"], 0, "out"), ([], 3, "err"), (["reload"], 3, "err"), (["start", "x"], 3, "err")],
)
def test_usage_names_the_actions(
    words: list[str], code: int, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ec2vip.main(words, {}) == code
    assert "start|stop|monitor" in getattr(capsys.readouterr(), stream)


def test_a_fault_of_the_agents_own_is_an_error_and_not_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("oops\nand more")

    monkeypatch.setattr(ec2vip, "run", fails)
    assert ec2vip.main(["monitor"], {}) == ec2vip.ERR_GENERIC
    assert "ocf-exit-reason:unexpected KeyError(" in capsys.readouterr().err


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
        ec2vip.log(level, "text")
    assert opened[0] == ("ec2vip(vip-ec2)", syslog.LOG_PID, syslog.LOG_LOCAL3)
    assert written == [
        (syslog.LOG_INFO, "INFO: text"),
        (syslog.LOG_WARNING, "WARNING: text"),
        (syslog.LOG_ERR, "ERR: text"),
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.subprocess  # it is the program, its first line and its interpreter's flags that are tried
class TestAsAProgram:
    @pytest.fixture(params=["source", "slim"])
    def program(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        """The file, as in the tree and as a node gets it."""
        text = SOURCE.read_text()
        file = tmp_path / "ec2vip"
        file.write_text(text if request.param == "source" else slim.python(text))
        file.chmod(0o755)
        return file

    def run(self, program: Path, action: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), action], env=environ, capture_output=True, text=True, check=False
        )

    def test_the_file_in_the_tree_may_be_executed(self) -> None:
        assert os.access(SOURCE, os.X_OK)
        assert SOURCE.read_text().startswith("#!/usr/bin/python3 -IS\n")

    def test_meta_data_and_usage_need_nothing(self, program: Path) -> None:
        done = self.run(program, "meta-data")
        assert (done.returncode, done.stdout, done.stderr) == (0, GOLDEN.read_text(), "")
        assert self.run(program, "usage").returncode == 0

    def test_a_bad_parameter_is_reported_to_pacemaker(self, program: Path) -> None:
        done = self.run(program, "monitor", OCF_RESKEY_ec2_vip="10.0.250")
        assert done.returncode == ec2vip.ERR_CONFIGURED
        assert done.stderr.startswith("ocf-exit-reason:ec2_vip '10.0.250' is not an IPv4 address")

    def test_a_holders_monitor_imports_only_what_it_needs(self, program: Path, a: Node) -> None:
        # A module that costs milliseconds must not slip into what runs every ten seconds on every node.
        a.act("start")
        a.api.calls.clear()
        text = program.read_text()
        assert len(re.findall(IMDS, text)) == 1
        program.write_text(re.sub(IMDS, f"IMDS_ADDRESS = {a.address!r}", text))
        environ = {
            "OCF_RESKEY_ec2_vip": VIP,
            "OCF_RESOURCE_INSTANCE": "vip-ec2",
            "OCF_RESKEY_CRM_meta_interval": "10000",
            "HA_RSCTMP": str(a.folder),
        }
        words = [sys.executable, "-IS", "-X", "importtime", str(program), "monitor"]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, a.api.calls) == (ec2vip.SUCCESS, []), done.stderr
        imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        assert "socket" in imported
        heavy = {"http.client", "ssl", "email", "typing", "dataclasses", "pathlib", "threading", "subprocess"}
        heavy |= {"xml.etree.ElementTree", "random", "site", "botocore", "boto3", "urllib.parse", "logging"}
        assert not heavy & imported
