"""Shows what we measured of several tokens: a table, and a picture of what each token costs and forgives."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from rich.table import Table

from cloudinit.corosync import Timing
from tests.bench.comparison import spread
from tests.bench.tokens import FACTORS, LOSSES_PERCENT, STALLS, Case, Results, missed
from tests.lab.plots import plotting, save_figure

STAYED, MOVED, PING_PONG = "stayed", "moved once", "moved more than once"
COLORS = {STAYED: "#6aa84f", MOVED: "#e08a3c", PING_PONG: "#c0392b"}
MARKERS = {"stall": "o", "starved": "^"}


def report(results: Results, machine: dict[str, Any]) -> dict[str, Any]:
    """The results as JSON: `tokens`, each with the crashes' spread, and the goals that were `missed`."""
    return {
        "machine": machine,
        "missed": missed(results),
        "tokens": {
            token_ms: {
                "detection_s": detection_s(int(token_ms)),
                "crash_outage_spread_s": spread([one["outage_s"] for one in found["crashes"]]),
                **found,
            }
            for token_ms, found in results.items()
        },
    }


def detection_s(token_ms: int) -> float:
    """The longest time that Corosync takes to give a dead peer up (s)."""
    timing = Timing.from_token(token_ms)
    return (timing.token + timing.consensus) / 1000


def verdict(moves: int) -> str:
    """The key of COLORS for this number of moves."""
    return (STAYED, MOVED, PING_PONG)[min(moves, 2)]


def table(results: Results) -> Table:
    """A row for each token. It counts the VIP's moves in EC2, summed over the kinds of stalls."""
    shown = Table(title="What a token costs, and what it forgives (moves of the VIP)", title_justify="left")
    shown.add_column("token, ms", justify="right")
    shown.add_column("a crash, s: median (most)", justify="right")
    for factor in FACTORS:
        shown.add_column(f"stall of {factor:g} token", justify="right")
    for percent in LOSSES_PERCENT:
        shown.add_column(f"{percent} % loss", justify="right")
    shown.add_column("90 % load", justify="right")
    shown.add_column("most at once", justify="right")
    shown.add_column("whole after, s, at most", justify="right")
    for token_ms, found in sorted(results.items(), key=lambda item: int(item[0])):
        shown.add_row(token_ms, *_cells(found))
    return shown


def _cells(found: dict[str, Any]) -> list[str]:
    outages = [one["outage_s"] for one in found["crashes"]]
    cases = found["cases"]

    def moved(names: list[str]) -> str:
        counts = [cases[name]["moves"] for name in names if name in cases]
        return str(sum(counts)) if counts else "-"

    return [
        f"{statistics.median(outages):.2f} ({max(outages):.2f})" if outages else "-",
        *(moved([Case(kind, factor).name for kind in STALLS]) for factor in FACTORS),
        *(moved([Case("loss", percent).name]) for percent in LOSSES_PERCENT),
        moved([name for name in cases if name.startswith("load")]),
        str(max((case["moves"] for case in cases.values()), default="-")),
        f"{max(case['converged_s'] for case in cases.values()):.1f}" if cases else "-",
    ]


def draw(results: Results, caption: str, path: Path) -> None:
    """Write the picture as SVG: left what a crash costs, right which stalls moved the VIP."""
    pyplot = plotting()
    tokens = sorted(int(token_ms) for token_ms in results)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=[2, 3], sharey=True
    )
    for row, token_ms in enumerate(tokens):
        found = results[str(token_ms)]
        outages = [one["outage_s"] for one in found["crashes"]]
        if outages:
            middle = statistics.median(outages)
            left.barh(row, middle, color="#5b8cc0", height=0.5)
            left.scatter(outages, [row] * len(outages), color="#1f3a57", s=9, zorder=3)
            left.text(max(outages), row, f"  {middle:.2f} s", va="center", fontweight="bold", fontsize=9)
        _stalls(right, row, token_ms, found["cases"])
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    left.set_yticks(range(len(tokens)), [f"token {token_ms} ms" for token_ms in tokens])
    left.set_title("A crash costs the client (s)", loc="left", fontsize=10)
    left.margins(x=0.25)
    right.set_xscale("log")
    right.set_xlabel("length of the stall, s; the bar is the token", fontsize=8)
    right.set_title("A stall of the holder", loc="left", fontsize=10)
    _legend(figure)
    figure.suptitle(f"Which token?\n{caption}", fontsize=11)
    save_figure(figure, path)


def _stalls(axis: Any, row: int, token_ms: int, cases: dict[str, Any]) -> None:
    axis.plot([token_ms / 1000] * 2, [row - 0.4, row + 0.4], color="#444444", linewidth=2)
    for place, kind in enumerate(STALLS):
        for factor in FACTORS:
            if outcome := cases.get(Case(kind, factor).name):
                color = COLORS[verdict(outcome["moves"])]
                height = row + (place - 0.5) * 0.3
                axis.scatter(
                    factor * token_ms / 1000, height, marker=MARKERS[kind], color=color, s=32, zorder=3
                )


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", linestyle="", color=color) for color in COLORS.values()]
    handles += [Line2D([], [], marker=mark, linestyle="", color="#444444") for mark in MARKERS.values()]
    labels = [f"the VIP {words}" for words in COLORS]
    labels += ["the holder stands still", "it is starved of its processor"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
