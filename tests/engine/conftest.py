"""What the engine tier runs on: the real `pulumi` and an emulated EC2 for each set of stacks; no account."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.provider.service import Provider
from tests.drill import aws, trials
from tests.lab import cli

from . import drill
from .cloud import Cloud
from .drill import NODES, VIP, use
from .provider_life import environment, provider_of
from .provider_lives import World, make_world

NEEDED = ("pulumi", "pulumi-language-python")


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip the tests if the engine is not installed; under CI, fail instead."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} not on PATH; run this tier through `make test`"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An AWS account shared by a module's tests, with a folder for the state of their stacks."""
    with Cloud(tmp_path_factory.mktemp("pulumi")) as cloud:
        yield cloud


@pytest.fixture
def fresh_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """An AWS account for one test."""
    with Cloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture
def managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the emulated accounts AWS's managed policies, which moto leaves out by default."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")


@pytest.fixture(scope="module")
def world(cloud: Cloud) -> World:
    """The resources around the objects of a provider's life."""
    return make_world(cloud)


@pytest.fixture(scope="module")
def provider(cloud: Cloud) -> Iterator[Provider]:
    """The AWS provider's stand-in, configured for that account."""
    with environment(cloud):
        yield provider_of(cloud)


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Cloud:
    """An account with the stack `dev`, as `pulumi up -s dev` leaves it."""
    cloud.stack("dev").up("--skip-preview")
    cloud.guests.takes = False
    return cloud


@pytest.fixture
def pair(account: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """The stack's pair: both nodes run, the VIP is on the first, and this process's environment names it."""
    use(account, monkeypatch, account.emulator.administrator)
    monkeypatch.setattr(cli, "BUILD", build := tmp_path / "build")
    monkeypatch.setattr(drill, "REPORT", build / "verify.json")
    monkeypatch.setattr(aws, "POLL_S", 0.05)
    monkeypatch.setattr(aws, "SETTLE_S", 0.0)
    monkeypatch.setattr(trials, "SETTLE_S", 0.1)
    account.move(VIP, "ec2vip-a")
    account.calls.clear()
    yield account
    account.emulator.ssm_agents.clear()
    states = {name: node["State"]["Name"] for name, node in account.instances().items()}
    assert states == dict.fromkeys(NODES, "running")
