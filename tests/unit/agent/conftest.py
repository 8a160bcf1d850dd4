"""Nodes that run the agent in this process, against an EC2 on loopback."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import ec2vip

from .cloud import VIP, Api, Eni, Imds, ec2_api, metadata_service


@dataclass
class Result:
    """What an action gave: the exit code, the reason for Pacemaker, all that it wrote to stderr."""

    code: int
    reason: str
    stderr: str


@dataclass
class Node:
    """One node of the pair."""

    imds: Imds
    api: Api
    url: str
    folder: Path
    capture: pytest.CaptureFixture[str]
    address: tuple[str, int] = ("127.0.0.1", 1)
    ring: str = "1.a"
    members: str = "2"

    def quorum(self, item: str) -> str:
        """What Corosync says of the membership."""
        return {"Ring ID": self.ring, "Nodes": self.members}[item]

    @property
    def eni(self) -> Eni:
        return self.imds.eni

    @property
    def record(self) -> Path:
        return self.folder / "ec2vip-vip-ec2.json"

    def act(
        self, action: str, interval: int = 10000, parameters: Mapping[str, str] | None = None, **more: str
    ) -> Result:
        """Run an action as Pacemaker would: parameters and meta attributes in the environment."""
        environ = {
            "HA_RSCTMP": str(self.folder),
            "OCF_RESOURCE_INSTANCE": "vip-ec2",
            "OCF_RESKEY_CRM_meta_interval": str(interval),
            "OCF_RESKEY_ec2_vip": VIP,
            "OCF_RESKEY_endpoint": self.url,
            **{f"OCF_RESKEY_{name}": value for name, value in {**(parameters or {}), **more}.items()},
        }
        self.api.calls.clear()
        self.imds.asked.clear()
        self.capture.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ec2vip.Agent.__init__, "__defaults__", (self.quorum, False))
            code = ec2vip.main([action], environ, self.address)
        stderr = self.capture.readouterr().err
        reasons = re.findall("^ocf-exit-reason:(.*)$", stderr, re.MULTILINE)
        assert len(reasons) == (code not in (ec2vip.SUCCESS, ec2vip.NOT_RUNNING)), stderr
        return Result(code, reasons[0] if reasons else "", stderr)

    def probe(self) -> Result:
        """What Pacemaker runs to learn what a node has, before it has started anything there."""
        return self.act("monitor", interval=0)


@pytest.fixture(autouse=True)
def _short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes its whole bound need not take long here; test_bounds.py looks at the real ones."""
    for action in ec2vip.BOUND:
        monkeypatch.setitem(ec2vip.BOUND, action, 2.0)
    monkeypatch.setattr(ec2vip, "ALONE_TIME", 2.0)
    monkeypatch.setattr(ec2vip, "IMDS_SHARE", 0.6)
    monkeypatch.setattr(ec2vip, "IMDS_TIMEOUT", 0.3)
    monkeypatch.setattr(ec2vip, "IMDS_PAUSE", 0.01)
    monkeypatch.setattr(ec2vip, "API_PAUSE", 0.01)
    monkeypatch.setattr(ec2vip, "UNKNOWN_LIMIT", 3)


@pytest.fixture
def api() -> Api:
    return Api({"eni-a": Eni("eni-a", "10.0.250.10"), "eni-b": Eni("eni-b", "10.0.250.11")})


@pytest.fixture
def make_node(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Node]]:
    with contextlib.ExitStack() as stack:
        url, authority = stack.enter_context(ec2_api(api, tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))

        def make(name: str) -> Node:
            imds = Imds(api.enis[f"eni-{name}"])
            node = Node(imds, api, url, tmp_path / name, capsys)
            node.address = stack.enter_context(metadata_service(imds))
            return node

        yield make


@pytest.fixture
def a(make_node: Callable[[str], Node]) -> Node:
    return make_node("a")


@pytest.fixture
def b(make_node: Callable[[str], Node]) -> Node:
    return make_node("b")
