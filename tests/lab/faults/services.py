"""Faults of the EC2 API, the metadata service and the clock, for one node; the emulator carries them out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.lab import Lab


@contextmanager
def broken(lab: Lab, part: str, node: str, kind: str, seconds: float) -> Iterator[None]:
    """The `api`, `imds` or `clock` fails the node in the way of `kind`.

    `seconds` is the delay that "slow" adds to each answer, or how far the clock is ahead.
    """
    number = lab.ask("begin-fault", part=part, instance_id=node, kind=kind, seconds=seconds)
    yield
    lab.ask("end-fault", number=number)
