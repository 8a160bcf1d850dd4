"""A test of the tests: if the lab lacks a behaviour that the product depends on, its tests must fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cluster.mutants import LAB, MUTANTS, VARIABLE, Mutant
from tests.lab.lab import Lab
from tests.lab.paths import PROJECT

# Plain, because under CI pytest prints how two user data differ, which takes minutes.
QUIET = (
    "-q",
    "--assert=plain",
    "--tb=line",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "tests.cluster.mutants",
)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_lab_is_found_out_in_which_it_is_not_so_that(name: str, machine: None) -> None:
    """Each named test must fail, as opposed to not run. In the ordinary run, each of them passes."""
    mutant: Mutant = MUTANTS[name]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *QUIET, *mutant.tests],
            cwd=PROJECT,
            env={**os.environ, VARIABLE: name},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        Lab(LAB).down()
    assert done.stdout.strip().splitlines()[-1].startswith(f"{len(mutant.tests)} failed in"), (
        f"without `{mutant.without}`: {done.stdout}\n{done.stderr}"
    )
