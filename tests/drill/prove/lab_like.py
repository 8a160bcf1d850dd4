"""`lab-like`: the lab takes the times and the answers that a run of `prove` has found on AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from tests.drill.prove.report import Report, read
from tests.lab.cli import LabOption, plain_console
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.paths import BUILD, DEFAULT_LAB

NO_ANSWER = (
    "AuthFailure",
    "InternalError",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Unavailable",
    "UnauthorizedOperation",
)
"""Codes that say nothing of the question: EC2 did not look at it (EC2 API reference, "Error codes")."""


@dataclass
class Likeness:
    """What the lab shall be like: times in seconds, switches, for each its source, and what is not known."""

    delays: dict[str, float] = field(default_factory=dict)
    switches: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def likeness(report: Report) -> Likeness:
    """What the report says of the lab's settings. The first measure and the first answer for one count.

    Raises LabError if the report has a setting that the lab has not.
    """
    from tests.aws.emulator import Settings  # it takes a second to load

    like = Likeness()
    for measure in report.measures:
        if not measure.setting:
            continue
        _require(measure.setting, lambda name: name.endswith("_s") and hasattr(Settings, name))
        values = [value for value in measure.values if isfinite(value)]
        if measure.setting in like.delays or not values:
            continue
        if measure.unit != "s":
            like.unknown.append(f"{measure.setting}: {measure.name!r} is in {measure.unit}, not in s")
            continue
        # EC2 may be faster than what the delay counts from; the lab can't be.
        like.delays[measure.setting] = max(0.0, round(median(values), 3))
        like.sources[measure.setting] = f"{measure.name} (median of {len(values)})"
    known = Settings.switches()
    for answer in report.answers:
        if not (switch := str(answer["switch"])):
            continue
        _require(switch, known.__contains__)
        code = str(answer["said"]).partition(":")[0]
        if code in NO_ANSWER:
            continue
        value = "success" if code == "success" else "error"
        if switch not in like.switches:
            like.switches[switch] = value
            like.sources[switch] = f"{answer['name']} ({code})"
        elif like.switches[switch] != value:
            like.unknown.append(f"{switch}: the lab can't also show {answer['name']!r} ({code})")
    missing = [name for name in (*Settings.delays(), *known) if name not in like.sources]
    like.unknown += [f"{name}: the report has nothing on it" for name in missing]
    return like


def lab_like(
    name: LabOption = DEFAULT_LAB,
    report: Annotated[
        Path, typer.Option("--report", envvar="REPORT", help="The report of a run of `make prove`.")
    ] = BUILD / "prove.json",
) -> None:
    """Set the running lab's times and switches to what a run of `make prove` has found on AWS."""
    like = likeness(read(report))
    if not like.sources:
        raise LabError(
            f"{report} has no figure for the lab, so nothing was changed", "run `make prove` to its end"
        )
    show(like, Lab(name).be_like(like.delays, like.switches))


def show(like: Likeness, before: Mapping[str, float | str | None]) -> None:
    """Print what was set and from which measure or question, and what stays as it was."""
    table = Table(title="The lab is now like AWS in this", title_justify="left")
    for heading in ("setting", "was", "is", "by"):
        table.add_column(heading)
    for setting, value in (like.delays | like.switches).items():
        was = before[setting]
        table.add_row(setting, "-" if was is None else str(was), str(value), like.sources[setting])
    plain_console().print(table)
    for words in like.unknown:
        say(f"as it was: {words}")


def _require(setting: str, known: Callable[[str], bool]) -> None:
    if not known(setting):
        raise LabError(
            f"the report has a figure for {setting!r}, and the lab has no such setting",
            "use the version of this project that has written the report",
        )
