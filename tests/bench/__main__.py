"""Measures ours beside other agents, and Corosync's tokens: `python -m tests.bench bench|starts|tokens`.

`bench` and `tokens` take an hour or more. Run them through `make`, which installs what they need first.
"""

from __future__ import annotations

import json
import os
import sys
from statistics import median
from typing import Annotated

import typer

from tests.bench import comparison, token_report
from tests.bench.failovers import KINDS
from tests.bench.figure import draw
from tests.bench.start_cost import start_cost
from tests.bench.subjects.stage import Stage
from tests.bench.tokens import TOKENS_MS, Results, missed, run_tokens, tokens_of
from tests.drill.clouds import lab_pair
from tests.lab import cli
from tests.lab.cli import LabOption
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.paths import BUILD, DEFAULT_LAB

WHOLE_LIMIT_S = 300.0
"""Limit for the pair to become whole before the first failover."""

app = cli.app(__doc__)
console = cli.plain_console()


@app.command(epilog="Example: make bench RUNS=20 LATENCY=none")
def bench(
    name: LabOption = DEFAULT_LAB,
    runs: Annotated[int, typer.Option(envvar="RUNS", min=1, help="Failovers of each kind and subject.")] = 10,
    kinds: Annotated[
        str, typer.Option(envvar="KINDS", help="The kinds of failover: crash, reboot, planned. Default: all.")
    ] = "",
    latency: Annotated[
        str, typer.Option(envvar="LATENCY", help="EC2's latency: none, typical or both. Default: both.")
    ] = "",
) -> None:
    """Compare ours with awsvip and with the settings of 2015; write build/bench.json and build/bench.svg.

    Exits with status 1 if a failover failed.
    """
    run_kinds = comparison.chosen(kinds, KINDS, "kind of failover", "set KINDS='crash planned'")
    run_latencies = comparison.chosen(latency, comparison.LATENCIES, "latency", "set LATENCY=none")
    lab = Lab(name)
    pair = lab_pair(lab)
    pair.wait_until_whole(WHOLE_LIMIT_S)
    limits = {subject.name: subject.detection_s for subject in Stage(lab, pair).subjects}
    started = cli.now()

    def keep(results: comparison.Results) -> None:
        cli.save("bench.json", comparison.report(runs, results, limits, cli.machine(started)))

    which = f"{runs} of {', '.join(run_kinds)}; EC2's latency {', '.join(run_latencies)}"
    say(f"comparing {', '.join(limits)}: {which}")
    results = comparison.run_bench(lab, pair, runs, run_kinds, run_latencies, say, keep)
    for each, by_subject in results.items():
        console.print(comparison.table(each, by_subject, limits))
    drawn = run_latencies[-1]
    times = "typical" if drawn == "typical" else "left out"
    caption = f"one failover of each, the nearest to the median, EC2's latency {times}"
    draw(results[drawn], caption, BUILD / "bench.svg")
    say("written: build/bench.json, build/bench.svg")
    failed = any(figures.failed for by_subject in results.values() for figures in by_subject.values())
    raise typer.Exit(1 if failed else 0)


@app.command(epilog="Example: make starts RUNS=20")
def starts(
    name: LabOption = DEFAULT_LAB,
    runs: Annotated[int, typer.Option(envvar="RUNS", min=1, help="Starts of the agent.")] = 20,
) -> None:
    """Measure how long a start of the agent takes until its request reaches EC2."""
    lab = Lab(name)
    pair = lab_pair(lab)
    pair.wait_until_whole(WHOLE_LIMIT_S)
    taken = start_cost(lab, pair, runs)
    console.print(
        f"from the call of a start to its request at EC2: median {median(taken):.0f} ms, "
        f"least {min(taken):.0f}, most {max(taken):.0f}, of {len(taken)}"
    )


@app.command(epilog="Example: make tokens TOKENS='300 1000' RUNS=4")
def tokens(
    name: LabOption = DEFAULT_LAB,
    wanted: Annotated[
        str,
        typer.Option("--tokens", envvar="TOKENS", help="The tokens in ms, as in '300 1000'. Default: all."),
    ] = "",
    crashes: Annotated[int, typer.Option(envvar="RUNS", min=1, help="Losses of power at each token.")] = 4,
    again: Annotated[
        bool,
        typer.Option("--again", envvar="AGAIN", help="Measure again what build/tokens.json has already."),
    ] = False,
) -> None:
    """Measure what several of Corosync's tokens cost and forgive; write build/tokens.json and .svg.

    It resumes an interrupted run where that stopped. Exits with status 1 if a goal was missed.
    """
    chosen = tokens_of(wanted) or list(TOKENS_MS)
    lab = Lab(name)
    pair = lab_pair(lab)
    pair.wait_until_whole(WHOLE_LIMIT_S)
    path = BUILD / "tokens.json"
    results: Results = {}
    started = cli.now()
    if path.exists() and not again:
        before = json.loads(path.read_text())
        keys = ("crashes", "cases", "failed")
        results = {token: {key: found[key] for key in keys} for token, found in before["tokens"].items()}
        started = before["machine"]["started"]

    def keep(so_far: Results) -> None:
        cli.save("tokens.json", token_report.report(so_far, cli.machine(started)))

    run_tokens(lab, pair, chosen, crashes, results, say, keep)
    keep(results)
    console.print(token_report.table(results))
    token_report.draw(results, f"the lab, {os.cpu_count()} processors, {started[:10]}", BUILD / "tokens.svg")
    say("written: build/tokens.json, build/tokens.svg")
    for words in (lines := missed(results)):
        say(f"goal missed: {words}")
    raise typer.Exit(1 if lines else 0)


if __name__ == "__main__":
    sys.exit(cli.run(app))
