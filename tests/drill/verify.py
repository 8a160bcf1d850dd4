"""`verify`: the trials of a pair, in the lab or in an AWS account."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.table import Table

from tests.drill.aws import AwsCloud, aws_errors
from tests.drill.clouds import STACK
from tests.drill.pair import Pair
from tests.drill.reports import seconds, verdict
from tests.drill.trials import TRIALS, Result, Trial, passed, report, run_trial
from tests.drill.view import ProbeOption, StackOption, find_pair, holding
from tests.lab.cli import LabOption, plain_console, save
from tests.lab.errors import LabError
from tests.lab.log import say, step
from tests.lab.paths import DEFAULT_LAB


def verify(
    name: LabOption = DEFAULT_LAB,
    only: Annotated[list[str] | None, typer.Option("--only", help="Run only the trials named.")] = None,
    stack: StackOption = STACK,
    probe: ProbeOption = "",
    yes: Annotated[
        bool, typer.Option("--yes", envvar="YES", help="On AWS: break the pair without asking.")
    ] = False,
) -> None:
    """Break the pair in every way of the trials, measure the client's outage, and write build/verify.json."""
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
        # Written after each, so that an interruption loses nothing.
        results.append(result)
        save("verify.json", report(stack, pair.cloud.name, started, results))

    for trial in trials:
        try:
            with step(f"{trial.name}: {trial.purpose}"):
                result = run_trial(trial, pair, lambda text: say(f"    {text}"))
        except KeyboardInterrupt:
            keep(Result(trial.name, False, None, None, "", "", "interrupted"))
            say(f"what ran is in build/verify.json; nodes: {', '.join(pair.node_ids)}, see `make status`")
            if by_hand := trial.by_hand.format(node="the node"):
                say(f"where the node has not come back: {by_hand}")
            raise
        keep(result)
        say(f"    {verdict(result)}: outage {seconds(result.outage_s)} s; {result.detail}")
    _show_results(results, pair)
    raise typer.Exit(0 if passed(results) else 1)


def ask(pair: Pair, place: str, trials: list[Trial]) -> None:
    """Have the user agree to what is about to break. Raises LabError where they do not."""
    say(f"This breaks the pair with the VIP {pair.vip} on purpose ({place}):")
    for node in pair.nodes():
        say(f"    {node.name}  {node.instance_id}  {node.address}  {node.state}  {holding(node, pair.vips)}")
    no_shell = pair.cloud.reach.no_shell
    run = [trial.name for trial in trials if not (trial.needs_shell and no_shell)]
    say(f"    trials: {', '.join(run) or 'none'}; the VIP's clients lose it for the length of each fail-over")
    if len(run) < len(trials):
        say(f"    skipped: {', '.join(t.name for t in trials if t.name not in run)}, for {no_shell}")
    try:
        agreed = typer.confirm("Go on?", err=True)
    except typer.Abort:  # no terminal, or Ctrl-C
        agreed = False
    if not agreed:
        raise LabError("not agreed; nothing was touched", "YES=1 goes on without asking")


def _show_results(results: list[Result], pair: Pair) -> None:
    pinged = pair.cloud.client_prefix() is not None
    title = "What the client saw" if pinged else "What EC2 showed; no client was asked"
    table = Table(title=title, title_justify="left")
    outage = "outage [s]" if pinged else "API-visible move time [s]"
    for heading in ("trial", "result", outage, "new holder after [s]", "holder before", "after", "detail"):
        table.add_column(heading)
    for r in results:
        times = (seconds(r.outage_s), seconds(r.recovered_s or None))
        table.add_row(r.name, verdict(r), *times, r.holder_before, r.holder_after, r.detail)
    plain_console().print(table)
