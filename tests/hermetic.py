"""Guards that keep tests hermetic: no subprocess, and no socket beyond loopback. A conftest imports them."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "subprocess: this test may start programs (say why in the test)")


@pytest.fixture(autouse=True)
def no_subprocess(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a unit test start programs only if it is marked `subprocess`: otherwise it must be hermetic."""
    if request.node.get_closest_marker("subprocess"):
        return

    def refuse(*args: Any, **_: Any) -> None:
        raise AssertionError(f"a unit test may not start programs: {args}; mark it `subprocess` if it must")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "system", refuse)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test connect only to this machine's loopback or to a unix socket."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not (host.startswith("127.") or host in ("::1", "localhost")):
                raise AssertionError(f"a unit test may not connect to {address}; only loopback is allowed")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide from the tests what the caller's shell says about AWS."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


__all__ = ["loopback_only", "no_ambient_aws", "no_subprocess", "pytest_configure"]
