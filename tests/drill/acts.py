"""What rows do to a pair, put together from the lab's faults."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.drill.scene import Scene
from tests.lab.errors import LabError
from tests.lab.faults import Fault

Act = Callable[[Scene], None]
Begin = Callable[[Scene, str], Fault]
"""Begins a fault on a node of the scene."""


def holder(begin: Begin, seconds: float | None = None) -> Act:
    """Begin it on the holder; end it again after so many seconds, where that is said."""
    return _on("holder", begin, seconds)


def standby(begin: Begin, seconds: float | None = None) -> Act:
    """The same on the other node."""
    return _on("other", begin, seconds)


def both(begin: Begin) -> Act:
    """Begin it on both nodes, the holder first."""

    def act(scene: Scene) -> None:
        begin(scene, scene.holder)
        begin(scene, scene.other)

    return act


def crash_during(begin: Begin, *, fatal: bool = True) -> Act:
    """The holder loses power while the other node, the survivor, has this fault; where `fatal`, it is what the
    VIP can't survive."""

    def act(scene: Scene) -> None:
        fault = begin(scene, scene.other)
        if fatal:
            scene.cause(fault)
        scene.faults.power_loss(scene.holder)

    return act


def _on(which: str, begin: Begin, seconds: float | None) -> Act:
    def act(scene: Scene) -> None:
        fault = begin(scene, getattr(scene, which))
        if seconds is not None:
            time.sleep(seconds)
            fault.undo()

    return act


def wait_for(what: str, holds: Callable[[], bool], within_s: float) -> None:
    """Return as soon as it does. Raises LabError where that takes more than `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.05)
