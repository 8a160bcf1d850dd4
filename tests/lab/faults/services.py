"""Faults of the EC2 API, the metadata service and the clock, for one node: the emulator has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.lab import Lab


@contextmanager
def broken(lab: Lab, part: str, node: str, kind: str, seconds: float) -> Iterator[None]:
    """The `api`, `imds` or `clock` fails the node in this way; `seconds` is what "slow" adds to each answer, and
    by how much the clock is ahead."""
    number = lab.ask("begin-fault", part=part, instance_id=node, kind=kind, seconds=seconds)
    yield
    lab.ask("end-fault", number=number)
