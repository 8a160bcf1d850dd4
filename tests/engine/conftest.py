"""What the engine tier runs on: the real `pulumi`, an emulated EC2 for each set of stacks, and no account."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cloud import Cloud

NEEDED = ("pulumi", "pulumi-language-python")


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip where there is no engine; under CI that is a failure."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} not on PATH; run this tier through `make test`"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An AWS account for the tests of a module, with a place for their stacks' state."""
    with Cloud(tmp_path_factory.mktemp("pulumi")) as cloud:
        yield cloud


@pytest.fixture
def fresh_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """An AWS account for one test."""
    with Cloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture
def managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the emulated accounts have AWS's own managed policies, which moto otherwise leaves out."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
