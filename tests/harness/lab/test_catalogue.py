"""Each entry of `make fault` does what its name says, and has a test of its effect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws.emulator.faults import API_KINDS, IMDS_KINDS
from tests.lab.faults import Faults
from tests.lab.faults.catalogue import CATALOGUE, Entry, Target
from tests.lab.paths import PROJECT

TESTS = [PROJECT / f"tests/cluster/test_lab_{part}.py" for part in ("faults", "pair")]


class Begun:
    """Replaces `Faults` and records which faults were begun, with their arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Any]]] = []

    def __getattr__(self, method: str) -> Any:
        return lambda *positional, **named: self.calls.append((method, [*positional, *named.values()]))


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_an_entry_begins_the_fault_of_its_name_which_has_a_test(entry: Entry) -> None:
    begun = Begun()
    entry.begin(begun, Target("i-node", "i-other", "10.0.250.185"))  # type: ignore[arg-type]
    ((method, arguments),) = begun.calls
    assert hasattr(Faults, method)
    stem = method.replace("_", "-")
    assert entry.name.startswith(stem)
    text = "".join(path.read_text() for path in TESTS)
    assert f".{method}(" in text
    kind = entry.name.removeprefix(stem).lstrip("-")
    if method in ("api", "imds"):
        assert kind in arguments
        assert f'("{kind}", ' in text


def test_every_kind_of_a_broken_service_can_be_had() -> None:
    offered = {name for name in CATALOGUE if name.startswith(("api-", "imds-"))}
    known = {f"api-{kind}" for kind in API_KINDS} | {f"imds-{kind}" for kind in IMDS_KINDS}
    assert offered == known
