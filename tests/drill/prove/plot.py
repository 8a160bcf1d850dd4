"""Draws what a run of `prove` has measured: every single value, so that nobody has to believe a median."""

from __future__ import annotations

from statistics import median
from typing import Any

from tests.drill.prove.report import Measure, Report
from tests.lab.plots import plotting

DOT, LINE = "#5b8cc0", "#e08a3c"


def plot(report: Report) -> Any:
    """A figure with a strip for each measure in seconds that has values. It has no id of the account."""
    pyplot = plotting()
    shown = report.masked()
    measures = [each for each in shown.measures if each.unit == "s" and each.values]
    count = max(len(measures), 1)
    figure, axes = pyplot.subplots(
        count, 1, figsize=(9, 1 + 0.9 * count), layout="constrained", squeeze=False
    )
    for axis, measure in zip(axes.flat, measures, strict=False):
        _strip(axis, measure)
    if not measures:
        axes.flat[0].set_axis_off()
    what = ", ".join(filter(None, (shown.region, shown.platform, shown.instance_type)))
    title = "What EC2 takes, in seconds" if measures else "Nothing was measured in seconds"
    figure.suptitle(f"{title}\n{what}" if what else title, fontsize=11)
    return figure


def _strip(axis: Any, measure: Measure) -> None:
    """The values of a measure as dots on one line, each strip with a scale of its own that begins at 0."""
    middle = median(measure.values)
    axis.plot(measure.values, [0.0] * len(measure.values), "o", color=DOT, alpha=0.6, clip_on=False)
    axis.axvline(middle, color=LINE, linewidth=2)
    axis.set_title(
        f"{measure.name}: median {middle:.2f} s of {len(measure.values)}",
        loc="left",
        fontsize=9,
        parse_math=False,
    )
    axis.set_xlim(min(0.0, *measure.values), max(0.1, *measure.values) * 1.05)
    axis.set_yticks([])
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)
