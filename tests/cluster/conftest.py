"""One lab with one pair for the whole tier (one per worker), made by the very command that a user runs.

Every test finds the pair as it was formed (see `formed.py`) and leaves a whole one. If a test fails, its
report gets the nodes' journals and the lab's timeline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.formed import Formed
from tests.cluster.hollow import Hollow
from tests.cluster.labs import WHOLE_LIMIT_S, own_lab
from tests.cluster.scenario import Scenario
from tests.drill.diagnostics import evidence
from tests.drill.pair import Pair
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.paths import PROJECT
from tests.lab.toolchain import require_lab_machine

# Each pytest-xdist worker has its own labs.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
NAME = f"cluster-tests{WORKER}"
HOLLOW = f"hollow-tests{WORKER}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--keep`, to look around after a failure."""
    parser.addoption("--keep", action="store_true", help="leave the pair's lab up where a test failed")


def command(
    *words: str, of: str = "lab", lab: str = NAME, timeout_s: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of the user's commands, of the lab or of the drill (`of`), on a lab of the tests' own.

    `variables` are of its environment, such as AMI.
    """
    return subprocess.run(
        [sys.executable, "-m", f"tests.{of}", *words],
        cwd=PROJECT,
        env={**os.environ, "LAB": lab, **variables},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="session")
def machine() -> None:
    """Skip if this machine cannot have the lab; under CI, where the tier must run, fail instead."""
    try:
        require_lab_machine()
        if not shutil.which("systemd-nspawn"):
            raise RuntimeError("systemd-nspawn is not installed")
    except Exception as error:
        if os.environ.get("CI"):
            pytest.fail(f"the cluster tier could not run: {error}")
        pytest.skip(f"no lab on this machine: {error}")


@pytest.fixture(scope="session")
def lab(machine: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with a pair that `up` has made; taken down at the end, unless a test failed under `--keep`."""
    lab = Lab(NAME)
    lab.down()
    made = command("up")
    try:
        assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
        yield lab
    finally:
        if request.config.getoption("--keep") and request.session.testsfailed:
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                say(
                    f"\nthe lab is still there: make shell LAB={NAME} NODE=a; end it with make down LAB={NAME}"
                )
        else:
            lab.down()


@pytest.fixture(scope="session")
def hollow_lab(machine: None) -> Iterator[Hollow]:
    """A lab in which no guest boots, to test what the lab itself promises."""
    with own_lab(HOLLOW) as lab:
        lab.up(hollow=True)
        yield Hollow(lab)


@pytest.fixture
def hollow(hollow_lab: Hollow) -> Hollow:
    """The hollow lab, with both nodes on and the VIP on neither."""
    hollow_lab.clean()
    return hollow_lab


@pytest.fixture(scope="session")
def formed(lab: Lab) -> Formed:
    """The lab's pair, with a snapshot of it as it was formed."""
    return Formed(lab)


@pytest.fixture
def pair(formed: Formed) -> Pair:
    """The pair, whole and as it was formed, whatever earlier tests have done to it."""
    return formed.pair()


@pytest.fixture
def scenario(lab: Lab, pair: Pair) -> Iterator[Scenario]:
    """The pair as nodes and a client; at the end we wait until it is whole again."""
    yield Scenario(lab, pair)
    pair.wait_until_whole(WHOLE_LIMIT_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # pragma: no cover (only on failure)
    report: pytest.TestReport = yield  # type: ignore[assignment]
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab) and lab.is_running():
        report.sections += evidence(lab).items()
    return report  # type: ignore[return-value]
