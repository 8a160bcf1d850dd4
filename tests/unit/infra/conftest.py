"""A fake EC2 for the code that watches nodes."""

from __future__ import annotations

from datetime import datetime, timezone

import pulumi
import pytest

from infra import rollout, watch

from .watched import NOW, Ec2


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll EC2 without a pause."""
    for module in (watch, rollout):
        monkeypatch.setattr(module, "POLL_S", 0.001)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that the user gets meanwhile."""
    lines: list[str] = []
    for level in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, level, lambda text, *_: lines.append(text))
    return lines


@pytest.fixture
def ec2(said: list[str], quick: None, monkeypatch: pytest.MonkeyPatch) -> Ec2:
    """A fake EC2 that is polled without a pause; messages about it do not reach the terminal.

    For the watch, each test begins at NOW, when its nodes were launched: the tests before it may take long.
    """
    began = datetime.now(timezone.utc)
    monkeypatch.setattr(watch, "_now", lambda: NOW + (datetime.now(timezone.utc) - began))
    return Ec2()
