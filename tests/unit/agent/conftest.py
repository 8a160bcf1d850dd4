"""Nodes that run the agent in this process, in Pacemaker's environment, against an EC2 on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import syslog
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent import cluster, ec2vip, ocf, outcome, rules

from .clock import Clock, Exchanges, tick
from .cloud import VIP, Api, Eni, Imds, ec2_api, metadata_service
from .recorded import USUAL, environment


@dataclass
class Result:
    """The result of an action: exit code, reason for Pacemaker, and all output to Pacemaker and the log."""

    code: int
    reason: str
    said: str


@dataclass
class Node:
    """One node of the pair; Corosync tells it `members` and `ring`."""

    imds: Imds
    api: Api
    endpoint: str
    folder: Path
    capture: pytest.CaptureFixture[str]
    address: tuple[str, int] = ("127.0.0.1", 1)
    ring: str = "1.a"
    members: str = "2"
    known: set[str] = field(default_factory=lambda: {"10.0.250.10", "10.0.250.11"})
    platform: str = USUAL
    spawned: list[list[str]] = field(default_factory=list)

    @property
    def eni(self) -> Eni:
        return self.imds.eni

    @property
    def record(self) -> Path:
        return self.folder / "ec2vip-ec2vip"

    def kept(self) -> dict[str, str]:
        """The contents of the node's record."""
        return dict(line.split("=", 1) for line in self.record.read_text().splitlines())

    def remembers(self, **changes: str) -> None:
        """Change the node's record."""
        self.record.write_text("".join(f"{n}={v}\n" for n, v in {**self.kept(), **changes}.items()))

    def earlier(self, name: str, seconds: float) -> None:
        """Move a moment in the node's record into the past, as if that much time had gone by."""
        self.remembers(**{name: str(float(self.kept()[name]) - seconds)})

    def act(self, kind: str, **parameters: str) -> Result:
        """Run an action as Pacemaker does; `probe` is a monitor before anything was started."""
        result = self.act_unexpectedly(kind, **parameters)
        assert "unexpected" not in result.said, result.said
        return result

    def act_unexpectedly(self, kind: str, **parameters: str) -> Result:
        """The same, but for tests of the agent's own faults: allows "unexpected" in its output."""
        environ = environment(kind, self.platform, **{"ec2_vip": VIP, **parameters})
        self.api.calls.clear()
        self.imds.asked.clear()
        self.capture.readouterr()
        logged: list[str] = []

        def main(arguments: list[str], given: object) -> int:
            assert given == environ
            return ocf.main(arguments, environ, self.address, self.endpoint, str(self.folder))

        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(syslog, "syslog", lambda _, text: logged.append(text))
            patch.setattr(os, "posix_spawn", self.spawn)
            patch.setattr(cluster, "membership", self.membership)
            patch.setattr(cluster, "members", lambda: self.known)
            code = ec2vip.answer(["monitor" if kind == "probe" else kind], environ, main)
        stderr = self.capture.readouterr().err
        assert all("\n" not in text for text in logged)
        reasons = re.findall("^ocf-exit-reason:(.*)$", stderr, re.MULTILINE)
        failed = code not in (outcome.SUCCESS, outcome.NOT_RUNNING)
        assert len(reasons) == failed or "unexpected" in stderr, stderr
        return Result(code, reasons[0] if reasons else "", "\n".join([*logged, stderr]))

    def membership(self) -> tuple[str, str]:
        """What Corosync says about the membership."""
        return self.members, self.ring

    def spawn(self, path: str, words: list[str], environ: object, *, file_actions: object) -> None:
        """Record a program that the agent would start in the background."""
        self.spawned.append(words)

    def probe(self) -> Result:
        """Probe the node, as Pacemaker does before it starts anything there."""
        return self.act("probe")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The agent's clock."""
    clock = Clock()
    tick(monkeypatch, clock)
    return clock


@pytest.fixture(autouse=True)
def exchanges(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Exchanges:
    """Exchanges as patient as a busy machine needs; the agent's bounds stay, but UNKNOWN_LIMIT is 3."""
    monkeypatch.setattr(rules, "UNKNOWN_LIMIT", 3)
    return Exchanges(monkeypatch, clock)


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
            node = Node(imds, api, url.removeprefix("https://"), tmp_path / name, capsys)
            node.address = stack.enter_context(metadata_service(imds))
            return node

        yield make


@pytest.fixture
def a(make_node: Callable[[str], Node]) -> Node:
    return make_node("a")


@pytest.fixture
def b(make_node: Callable[[str], Node]) -> Node:
    return make_node("b")
