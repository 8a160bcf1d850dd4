"""An EC2 for what watches nodes."""

from __future__ import annotations

import pulumi
import pytest

from infra import rollout, watch

from .watched import Ec2


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 is asked again at once."""
    for module in (watch, rollout):
        monkeypatch.setattr(module, "POLL_S", 0.001)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is told meanwhile."""
    lines: list[str] = []
    for level in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, level, lambda text, *_: lines.append(text))
    return lines


@pytest.fixture
def ec2(said: list[str], quick: None) -> Ec2:
    """An EC2 that is looked at without a pause, and of which nothing is told to the terminal."""
    return Ec2()
