"""The provider's process and the engine that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.lab.plugin import STAND_IN
from tests.lab.process import ProcessId
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.subprocess  # the code under test starts and ends processes

ENGINE = """
import subprocess, sys, time
provider = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE)
provider.stdout.readline()  # the port: it serves
print(provider.pid, flush=True)
time.sleep(600)
"""


def test_a_provider_ends_with_its_engine_even_if_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(STAND_IN)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as engine:
        assert engine.stdout
        provider = ProcessId.of(int(engine.stdout.readline()))
        time.sleep(1.2)
        assert provider.is_alive()
        engine.kill()
    try:
        wait_for("the provider ends with the engine", lambda: not provider.is_alive(), 20)
    finally:
        provider.end(grace_s=0.5)
