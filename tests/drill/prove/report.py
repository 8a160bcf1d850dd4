"""What a run of `prove` found, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """One thing that must be right before anything is made. `ok` is None if it could not be asked."""

    name: str
    ok: bool | None
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Phase:
    """One phase of the pair's life. `stages` are its parts, each with the time at which it ended (s)."""

    name: str
    passed: bool
    took_s: float
    detail: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """One quantity, measured as often as `values` has entries, in `unit` (nearly always s).

    `setting` is the lab's delay (tests/aws/emulator/settings.py) that the median stands for, if there is one.
    `note` says how it was measured, or why it was not, if there are no values.
    """

    name: str
    values: Sequence[float]
    unit: str = "s"
    note: str = ""
    setting: str = ""
