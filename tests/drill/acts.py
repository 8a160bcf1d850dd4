"""What the catalogue's rows do to a pair, built from the lab's faults."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.drill.scene import Scene
from tests.lab.faults import Fault

Act = Callable[[Scene], None]
Begin = Callable[[Scene, str], Fault]
"""Begins a fault on a node of the scene."""


def holder(begin: Begin, seconds: float | None = None) -> Act:
    """An act that begins the fault on the holder, and ends it after `seconds` if given."""

    def act(scene: Scene) -> None:
        fault = begin(scene, scene.holder)
        if seconds is not None:
            time.sleep(seconds)
            fault.undo()

    return act


def standby(begin: Begin) -> Act:
    """An act that begins the fault on the other node."""

    def act(scene: Scene) -> None:
        begin(scene, scene.other)

    return act


def both(begin: Begin) -> Act:
    """An act that begins the fault on both nodes, the holder first."""

    def act(scene: Scene) -> None:
        begin(scene, scene.holder)
        begin(scene, scene.other)

    return act


def crash_during(begin: Begin, *, fatal: bool = True) -> Act:
    """An act that cuts the holder's power while the other node, the survivor, has this fault.

    If `fatal`, this fault is the one that the VIP cannot survive (`Scene.cause`).
    """

    def act(scene: Scene) -> None:
        fault = begin(scene, scene.other)
        if fatal:
            scene.cause(fault)
        scene.faults.power_loss(scene.holder)

    return act
