"""One lab with one pair for the whole tier (for each of its workers), made by the very command that a user runs.

Every test finds the pair as it was formed (see `formed.py`) and leaves a whole one. Where a test fails, the nodes'
journals and the lab's timeline are attached to its report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.formed import WHOLE_LIMIT_S, Formed
from tests.cluster.hollow import Hollow
from tests.cluster.scenario import Scenario
from tests.drill.diagnostics import evidence
from tests.drill.pair import Pair
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.paths import PROJECT
from tests.lab.toolchain import require_lab_machine

# Each of pytest-xdist's workers has labs of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
NAME = f"cluster-tests{WORKER}"
HOLLOW = f"hollow-tests{WORKER}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--keep` for looking around after a failure."""
    parser.addoption("--keep", action="store_true", help="leave the pair's lab up where a test failed")


def command(
    *words: str, of: str = "lab", lab: str = NAME, timeout_s: float = 600
) -> subprocess.CompletedProcess[str]:
    """One of the user's commands, of the lab or of the drill, on a lab of the tests' own."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.{of}", *words],
        cwd=PROJECT,
        env={**os.environ, "LAB": lab},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="session")
def machine() -> None:
    """Skip where this machine can't have the lab; fail there under CI, where the tier must run."""
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
    """A lab with a pair that `up` has made; ended by `down`, which must leave nothing."""
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
    """A lab in which no guest boots, for what the lab itself promises."""
    lab = Lab(HOLLOW)
    lab.down()
    lab.up(hollow=True)
    try:
        yield Hollow(lab)
    finally:
        lab.down()


@pytest.fixture
def hollow(hollow_lab: Hollow) -> Hollow:
    """The same, with both nodes on and the VIP nowhere."""
    hollow_lab.clean()
    return hollow_lab


@pytest.fixture(scope="session")
def formed(lab: Lab) -> Formed:
    """The lab's pair, kept as it was formed."""
    return Formed(lab)


@pytest.fixture
def pair(formed: Formed) -> Pair:
    """The pair, whole and as it was formed, whatever tests have done since."""
    return formed.pair()


@pytest.fixture
def scenario(lab: Lab, pair: Pair) -> Iterator[Scenario]:
    """The pair as nodes and a client; whole again at the end, whatever the test has done to it."""
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
