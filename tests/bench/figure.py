"""Draws one failover of each subject: what the client waits for, and how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.comparison import Figures
from tests.bench.phases import PHASES
from tests.lab.plots import plotting, save_figure

LABELS = {
    "detection": "detection: the cluster gives the holder up",
    "stop": "stop: the old holder gives the VIP up",
    "transition": "transition: Pacemaker decides",
    "agent": "agent: until its request is at EC2",
    "API": "API: EC2 moves the VIP",
    "OS address": "OS address: until the client has an answer",
}
COLORS = {
    "detection": "#8c96a3",
    "stop": "#c9b458",
    "transition": "#5b8cc0",
    "agent": "#e08a3c",
    "API": "#6aa84f",
    "OS address": "#a873b5",
}
PANELS = (
    ("crash", "The holder loses power"),
    ("reboot", "The holder reboots"),
    ("planned", "A planned move"),
)


def draw(by_subject: dict[str, Figures], caption: str, path: Path) -> None:
    """Write the picture as SVG: a panel for each of PANELS and a bar for each subject that was run."""
    pyplot = plotting()
    from matplotlib.patches import Patch

    run = [panel for panel in PANELS if any(figures.failovers[panel[0]] for figures in by_subject.values())]
    count = max(len(run), 1)  # if every failover failed, the picture is empty
    figure, axes = pyplot.subplots(
        count, 1, figsize=(9, 1.2 + 2 * count), layout="constrained", squeeze=False
    )
    for axis, (kind, title) in zip(axes.flat, run, strict=False):
        _panel(axis, kind, title, by_subject)
    handles = [Patch(color=COLORS[name]) for name in PHASES]
    figure.legend(handles, [LABELS[name] for name in PHASES], loc="outside lower center", ncols=2, fontsize=8)
    figure.suptitle(f"How long a client is without the VIP\n{caption}", fontsize=11)
    save_figure(figure, path)


def _panel(axis: Any, kind: str, title: str, by_subject: dict[str, Figures]) -> None:
    names = list(by_subject)
    longest = 0.0
    for row, name in enumerate(names):
        measured = by_subject[name].typical(kind)
        if measured is None:
            continue
        at = 0.0
        for phase in PHASES:
            seconds = measured.failover.phases.get(phase, 0.0)
            axis.barh(row, seconds, left=at, color=COLORS[phase], height=0.6)
            at += seconds
        axis.text(at, row, f"  {measured.outage_s:.2f} s", va="center", fontsize=10, fontweight="bold")
        longest = max(longest, at)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(0, longest * 1.12 or 1)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("seconds since the client's last answer", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
