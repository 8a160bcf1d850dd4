"""The bench: runs three subjects by turns on one pair, and shows their figures side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from tests.bench.failovers import KINDS, Measured, measure
from tests.bench.monitor_cost import monitor_cost
from tests.bench.subjects.stage import Stage
from tests.bench.subjects.subject import Subject
from tests.drill.pair import Pair
from tests.lab.errors import LabError
from tests.lab.lab import Lab

LATENCIES = ("none", "typical")
"""Without EC2's share, and with EC2's times as far as they are public (the emulator's `Settings.typical`)."""

ROUNDS = 5
"""The largest number of turns that each subject gets; a change of subject costs some 20 s."""

MONITORS = 5
"""Runs of the monitor in each turn."""

IDLE_S = 40.0
"""How long we count calls to EC2 while nothing happens: a multiple of every subject's monitor interval."""

Progress = Callable[[str], None]


@dataclass
class Figures:
    """What we measured of one subject at one latency.

    It has the outages by kind with their moments, the monitor's wall times (ms), CPU time (ms a run) and
    largest process (MiB), and EC2 calls an hour in the steady state.
    """

    failovers: dict[str, list[Measured]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    monitor_ms: list[float] = field(default_factory=list)
    monitor_cpu_ms: list[float] = field(default_factory=list)
    monitor_peak_mib: float = 0.0
    api_calls_per_hour: float = 0.0
    failed: list[str] = field(default_factory=list)

    def outages(self, kind: str) -> list[float]:
        """The client's outages of that kind, in s."""
        return [measured.outage_s for measured in self.failovers[kind]]

    def typical(self, kind: str) -> Measured | None:
        """The failover of that kind whose outage is nearest to the median, None if there was none."""
        if not (measured := self.failovers[kind]):
            return None
        middle = statistics.median(self.outages(kind))
        return min(measured, key=lambda one: abs(one.outage_s - middle))


Results = dict[str, dict[str, Figures]]
"""By latency, then by subject."""


def chosen(text: str, known: Sequence[str], what: str, remedy: str) -> tuple[str, ...]:
    """Those of `known` that `text` names, as in `crash planned`, in `known`'s order; all if it names none.

    Raises LabError for a word that is not among them.
    """
    words = text.replace(",", " ").split()
    for word in words:
        if word not in known:
            raise LabError(f"there is no {what} {word!r}; use one of {', '.join(known)}", remedy)
    return tuple(name for name in known if name in words or not words)


def turns(runs: int, count: int) -> Iterator[tuple[int, list[int]]]:
    """Rounds of the bench: the number of runs in each turn, and the order of the `count` subjects.

    The order differs from round to round, so that a drift of the machine affects all subjects.
    """
    rounds = min(ROUNDS, runs)
    for number in range(rounds):
        share = runs // rounds + (number < runs % rounds)
        yield share, [(number + position) % count for position in range(count)]


def run_bench(
    lab: Lab,
    pair: Pair,
    runs: int,
    kinds: Sequence[str],
    latencies: Sequence[str],
    progress: Progress,
    each: Callable[[Results], None],
) -> Results:
    """Measure all subjects: `runs` failovers of each of `kinds` (of KINDS) at each of `latencies` (of LATENCIES).
    `each` gets the results so far after every turn.

    A failover that does not complete counts as failed, and the bench goes on with the next one.
    """
    stage = Stage(lab, pair)
    results: Results = {name: {subject.name: Figures() for subject in stage.subjects} for name in latencies}
    with stage.ready():
        for number, (share, order) in enumerate(turns(runs, len(stage.subjects)), start=1):
            for subject in (stage.subjects[position] for position in order):
                stage.give(subject)
                if number == 1:
                    calls = stage.idle_calls_per_hour(IDLE_S)
                    for by_subject in results.values():
                        by_subject[subject.name].api_calls_per_hour = calls
                for name in latencies:
                    progress(f"round {number}, {subject.name}, EC2's latency {name}: {share} of each")
                    figures = results[name][subject.name]
                    with lab.latency(name):
                        _monitors(lab, pair, subject, figures)
                        _failovers(lab, pair, subject, figures, share, kinds, progress)
                each(results)
    return results


def _monitors(lab: Lab, pair: Pair, subject: Subject, figures: Figures) -> None:
    holder = pair.holder()
    if holder is None:
        raise LabError("nobody holds the VIP", "see `make status`")
    cost = monitor_cost(lab, holder, subject.agent, subject.resources[0], subject.parameters, MONITORS)
    if any(cost.codes):
        raise LabError(f"{subject.name}'s monitor answered {cost.codes} on the holder", "see its journal")
    figures.monitor_ms += cost.wall_ms
    figures.monitor_cpu_ms.append(cost.cpu_ms)
    figures.monitor_peak_mib = max(figures.monitor_peak_mib, cost.peak_mib)


def _failovers(
    lab: Lab,
    pair: Pair,
    subject: Subject,
    figures: Figures,
    share: int,
    kinds: Sequence[str],
    progress: Progress,
) -> None:
    for _ in range(share):
        for kind in kinds:
            try:
                measured = measure(kind, lab, pair, subject.resources)
            except LabError as error:
                figures.failed.append(f"{kind}: {error}")
                progress(f"    {kind}: FAILED: {error}")
                continue
            figures.failovers[kind].append(measured)
            parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in measured.failover.phases.items())
            progress(f"    {kind}: {measured.outage_s:.2f} s ({parts})")


def report(runs: int, results: Results, limits: dict[str, float], machine: dict[str, Any]) -> dict[str, Any]:
    """The results as JSON. `subjects` has those without EC2's share, `latencies` has all of them."""
    latencies = {
        name: {subject: _numbers(figures) for subject, figures in by_subject.items()}
        for name, by_subject in results.items()
    }
    return {
        "runs": runs,
        "machine": machine,
        "limits": {"crash_s": limits["ec2vip"], "crash_s_by_subject": limits},
        "subjects": latencies.get("none", {}),
        "latencies": latencies,
    }


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of them do not exceed, interpolated between the two nearest ones.

    Among fewer than a hundred values the 99th percentile lies between the two largest.
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum of a measure; empty if nothing was measured."""
    if not values:
        return {}
    return {
        "median": round(statistics.median(values), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }


def _numbers(figures: Figures) -> dict[str, Any]:
    return {
        **{f"{kind}_outage_s": figures.outages(kind) for kind in KINDS},
        **{f"{kind}_outage_spread_s": spread(figures.outages(kind)) for kind in KINDS},
        **{
            f"{kind}_phases_s": [dict(one.failover.phases) for one in figures.failovers[kind]]
            for kind in KINDS
        },
        "monitor_ms": [round(wall, 1) for wall in figures.monitor_ms],
        "monitor_spread_ms": spread(figures.monitor_ms),
        "monitor_cpu_ms": [round(cpu, 1) for cpu in figures.monitor_cpu_ms],
        "monitor_peak_mib": round(figures.monitor_peak_mib, 1),
        "api_calls_per_hour": figures.api_calls_per_hour,
        "failed": figures.failed,
    }


MEASURES = (
    ("crash, s", lambda figures: figures.outages("crash")),
    ("reboot, s", lambda figures: figures.outages("reboot")),
    ("planned move, s", lambda figures: figures.outages("planned")),
    ("monitor, ms", lambda figures: figures.monitor_ms),
    ("monitor's CPU, ms", lambda figures: figures.monitor_cpu_ms),
    ("EC2 calls an hour", lambda figures: [figures.api_calls_per_hour]),
)


def table(name: str, by_subject: dict[str, Figures], limits: dict[str, float]) -> Table:
    """One latency's figures: median (least, 99th percentile, most), and the ratio to the first subject's."""
    title = "EC2 answers at once" if name == "none" else "EC2's latency is typical"
    shown = Table(title=f"{title}: median (least, p99, most), x times ec2vip's", title_justify="left")
    shown.add_column("")
    for subject in by_subject:
        shown.add_column(subject, justify="right")
    first = next(iter(by_subject))
    for label, of in MEASURES:
        cells = []
        for subject, figures in by_subject.items():
            cells.append(_cell(of(figures), None if subject == first else of(by_subject[first])))
        shown.add_row(label, *cells)
    shown.add_row("limit of a crash: token + consensus, s", *(f"{limits[s]:.2f}" for s in by_subject))
    shown.add_row("failovers that failed", *(str(len(f.failed)) for f in by_subject.values()))
    return shown


def _cell(values: list[float], base: list[float] | None) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    digits = 2 if middle < 10 else 0
    text = f"{middle:.{digits}f}"
    if len(values) > 1:
        least, high, most = min(values), percentile(values, 0.99), max(values)
        text += f" ({least:.{digits}f}, {high:.{digits}f}, {most:.{digits}f})"
    if base and statistics.median(base) > 0:
        text += f"  x {middle / statistics.median(base):.1f}"
    return text
