"""matplotlib, set up so that the same figures give the same file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.lab.paths import cache_dir


def plotting() -> Any:
    """matplotlib's pyplot for SVG. We load it only to draw something, because loading takes a second."""
    # matplotlib caches the machine's fonts here; otherwise it would make a folder in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "ec2vip"
    from matplotlib import pyplot

    return pyplot


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure as SVG, without a date, whole or not at all, and close it."""
    aside = path.with_suffix(".part")
    figure.savefig(aside, format="svg", metadata={"Date": None})
    plotting().close(figure)
    aside.replace(path)
