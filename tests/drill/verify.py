"""`verify`: the trials of a pair, in the lab or in an AWS account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from tests.drill.aws import AwsCloud, aws_errors
from tests.drill.clouds import STACK
from tests.drill.pair import Pair
from tests.drill.reports import seconds, verdict
from tests.drill.trials import TRIALS, Result, Trial, passed, report, run_trial
from tests.drill.view import ProbeOption, StackOption, find_pair, holding
from tests.lab import cli
from tests.lab.cli import LabOption, plain_console
from tests.lab.errors import LabError
from tests.lab.log import say, step
from tests.lab.paths import DEFAULT_LAB
from tests.lab.plots import plotting, save_figure

OUTAGE = {True: "outage [s]", False: "API-visible move time [s]"}
"""Whether a client was asked → what we call the time of a trial."""


def verify(
    name: LabOption = DEFAULT_LAB,
    only: Annotated[list[str] | None, typer.Option("--only", help="Run only the trials named.")] = None,
    stack: StackOption = STACK,
    probe: ProbeOption = "",
    yes: Annotated[
        bool, typer.Option("--yes", envvar="YES", help="On AWS: break the pair without asking.")
    ] = False,
) -> None:
    """Run the trials: break the pair, measure the client's outage, and write build/verify.json."""
    unknown = set(only or []) - {trial.name for trial in TRIALS}
    if unknown:
        known = ", ".join(trial.name for trial in TRIALS)
        raise LabError(f"there is no trial {sorted(unknown)[0]!r}", f"the trials are {known}")
    trials = [trial for trial in TRIALS if not only or trial.name in only]
    pair, place = find_pair(stack, name, probe)
    if isinstance(pair.cloud, AwsCloud) and not yes:
        with aws_errors():
            ask(pair, place, trials)
    started = datetime.now(timezone.utc)
    results: list[Result] = []

    def keep(result: Result) -> None:
        # We save after each trial, so an interruption loses nothing.
        results.append(result)
        cli.save("verify.json", report(stack, pair.cloud.name, started, results))

    for trial in trials:
        try:
            with step(f"{trial.name}: {trial.purpose}"):
                result = run_trial(trial, pair, lambda text: say(f"    {text}"))
        except KeyboardInterrupt:
            keep(Result(trial.name, False, None, None, "", "", "interrupted"))
            say(
                f"the trials that ran are in build/verify.json; nodes: {', '.join(pair.node_ids)}, see `make "
                "status`"
            )
            if by_hand := trial.by_hand.format(node="the node"):
                say(f"if the node has not come back: {by_hand}")
            raise
        keep(result)
        say(f"    {verdict(result)}: outage {seconds(result.outage_s)} s; {result.detail}")
    show_results(results, pinged=pair.cloud.client_prefix() is not None)
    raise typer.Exit(0 if passed(results) else 1)


def ask(pair: Pair, place: str, trials: list[Trial]) -> None:
    """Ask the user to agree to what is about to break. Raises LabError if they do not."""
    say(f"This breaks the pair with the VIP {pair.vip} on purpose ({place}):")
    for node in pair.nodes():
        say(f"    {node.name}  {node.instance_id}  {node.address}  {node.state}  {holding(node, pair.vips)}")
    no_shell = pair.cloud.reach.no_shell
    run = [trial.name for trial in trials if not (trial.needs_shell and no_shell)]
    say(f"    trials: {', '.join(run) or 'none'}; the VIP's clients lose it for the length of each fail-over")
    if len(run) < len(trials):
        say(f"    skipped: {', '.join(t.name for t in trials if t.name not in run)}, because {no_shell}")
    try:
        agreed = typer.confirm("Go on?", err=True)
    except typer.Abort:  # no terminal, or Ctrl-C
        agreed = False
    if not agreed:
        raise LabError("not confirmed; nothing was changed", "set YES=1 to skip the question")


def show_results(results: list[Result], pinged: bool) -> None:
    """Print a table of 80 columns, what went wrong, and a sentence; draw a picture in build/verify.svg."""
    console = plain_console()
    table = Table(
        title="What the client saw" if pinged else "What EC2 showed; no client was asked",
        title_justify="left",
    )
    for heading in ("trial", "result", OUTAGE[pinged], "new holder after [s]"):
        table.add_column(heading, justify="right" if "[s]" in heading else "left")
    for result in results:
        times = (seconds(result.outage_s), seconds(result.recovered_s or None))
        table.add_row(result.name, verdict(result), *times)
    console.print(table)
    for result in results:
        if not result.passed and result.detail:
            console.print(f"{result.name}: {result.detail}")
    sentence = in_a_sentence(results, pinged)
    draw(results, sentence, OUTAGE[pinged], cli.in_build("verify.svg"))
    say(f"written: build/verify.json, build/verify.svg\n{sentence}")


def in_a_sentence(results: Sequence[Result], pinged: bool) -> str:
    """The results in a sentence, for somebody who does not know the trials."""
    ran = [result for result in results if result.passed is not None]
    if failed := [result.name for result in ran if not result.passed]:
        names = ", ".join(failed)
        return (
            f"The address did not survive {len(failed)} of {len(ran)} faults as promised ({names}): fix that "
            "first."
        )
    if not (times := [(result.outage_s, result.name) for result in ran if result.outage_s is not None]):
        return "No trial broke anything, so nothing is proved."
    longest, worst = max(times)
    what = "its clients were without it for" if pinged else "EC2 showed the new holder after"
    return (
        f"The address survived {len(ran)} of {len(ran)} faults: {what} {longest:.1f} s at most ({worst}), "
        f"{median(time for time, _ in times):.1f} s in the median."
    )


def draw(results: Sequence[Result], title: str, label: str, path: Path) -> None:
    """Draw the time of each trial as a bar, in seconds; `label` says what that time is."""
    pyplot = plotting()
    shown = [result for result in results if result.outage_s is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.4 * len(shown)), layout="constrained")
    colors = ["#6aa84f" if result.passed else "#c0504d" for result in shown]
    bars = axes.barh([result.name for result in shown], [result.outage_s for result in shown], color=colors)
    axes.bar_label(bars, fmt="%.2f s", padding=4)
    axes.set_xlabel(label)
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.margins(x=0.15)
    save_figure(figure, path)
