"""The commands behind the Makefile: `python -m tests up|status|shell|verify|roll|fault|down|env`.

Run them through `make`, which installs what they need first.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.table import Table

from cloudinit.platforms import PLATFORMS
from tests.drill import console as console_log
from tests.drill.aws import AwsCloud, aws_errors, aws_pair, where
from tests.drill.clouds import STACK, Choice, lab_pair, lab_stack
from tests.drill.ending import ENDING
from tests.drill.first_boot import stages
from tests.drill.pair import NodeView, Pair
from tests.drill.reports import plain_console, save, seconds, verdict
from tests.drill.trials import TRIALS, Result, Trial, passed, report, run_trial
from tests.lab import image
from tests.lab.amis import KINDS, SUITES, image_of
from tests.lab.errors import LabError, of_system
from tests.lab.faults import Faults
from tests.lab.faults.catalogue import CATALOGUE, Target
from tests.lab.lab import Lab
from tests.lab.log import say, step
from tests.lab.paths import BUILD, DEFAULT_LAB, PROJECT
from tests.lab.prober import probing
from tests.proofs import faults, soak

UP_LIMIT_S = 300.0
"""From `pulumi up` to an answering VIP. Two nodes that install 110 packages each need half a minute on 2 cores."""

INTERRUPTED = 130
"""The exit status with which Typer ends after a KeyboardInterrupt."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = plain_console()

LabOption = Annotated[
    str, typer.Option("--lab", envvar="LAB", help="The lab's name; several may run at once.")
]

StackOption = Annotated[
    str,
    typer.Option("--stack", envvar="STACK", help="`local` is the lab's, any other one in your AWS account."),
]
ProbeOption = Annotated[
    str,
    typer.Option(
        envvar="PROBE", help="For AWS: words before a command that run it where the VIP can be reached."
    ),
]


@app.callback()
def only_for_the_lab(context: typer.Context) -> None:
    """Refuse to do to the lab what was said of another stack."""
    stack = os.environ.get("STACK") or STACK
    if stack != STACK and context.invoked_subcommand not in ("status", "verify"):
        raise LabError(
            f"`make {context.invoked_subcommand}` is for the lab, not for stack {stack!r}",
            f"leave STACK out; for the stack: `pulumi up -s {stack}`, `pulumi destroy -s {stack}`",
        )


def find_pair(stack: str, lab: str, probe: str) -> tuple[Pair, str]:
    """The pair of a stack, and where it is in a few words."""
    if stack == STACK:
        return lab_pair(Lab(lab)), f"lab {lab!r}"
    pair = aws_pair(stack, probe)
    return pair, f"stack {stack!r}, {where(pair)}"


@app.command()
def up(
    name: LabOption = DEFAULT_LAB,
    latency: Annotated[
        str,
        typer.Option(envvar="LATENCY", help="How long EC2 takes: none, typical, or the API's seconds."),
    ] = "none",
    platform: Annotated[
        str,
        typer.Option(
            envvar="PLATFORM",
            help=f"What the nodes run: {' or '.join(SUITES)}. Left out: as before, {Choice.platform} at first.",
        ),
    ] = "",
    ami: Annotated[
        str,
        typer.Option(
            envvar="AMI",
            help="Of which image: the platform's public one, or one of two with the packages baked in "
            f"({', '.join(KINDS)}). Left out: as before, {Choice.ami} at first.",
        ),
    ] = "",
) -> None:
    """Start the lab, stand the pair up with Pulumi, and wait until the VIP answers a client."""
    started = time.monotonic()
    lab = Lab(name)
    with lab.coming_up():
        _up(lab, latency, platform, ami)
    say(f"up after {time.monotonic() - started:.0f} s")
    say("next: `make verify`, `make status`, `make shell NODE=a`, `make down`")
    other = "" if name == DEFAULT_LAB else f" LAB={name}"
    say(f'for pulumi, boto3 or the AWS CLI by hand: eval "$(make -s env{other})"')


def _up(lab: Lab, latency: str, platform: str, ami: str) -> None:
    choice = Choice.of(lab).but(platform, ami)
    image.ensure([image_of(choice.ami_id)])
    with step(f"starting the lab {lab.name!r}"):
        lab.up(images=[image_of(choice.ami_id)])
        lab.set_latency(latency)
    choice.keep(lab)
    stack = lab_stack(lab)
    # The client asks from before the nodes are there, so that its first answer is when the VIP could be had.
    with probing(lab, stack.configured("vip"), answering=False):
        builds = choice.ami == "public" and PLATFORMS[choice.platform].build
        takes = "5 min, for both nodes build Pacemaker" if builds else "1 min"
        with step("pulumi up", expected=f"about {takes}: it ends when the pair works"):
            stack.up("--skip-preview")
        pair = lab_pair(lab)
        with step(
            f"waiting for the VIP {pair.vip}",
            expected="a moment: until the client's first answer",
        ):
            _wait_for_vip(pair)
    show(pair, f"lab {lab.name!r}")
    show_stages(lab, pair)


def show_stages(lab: Lab, pair: Pair) -> None:
    """Where the time of the nodes' first boot went, if it was in this lab's life."""
    found = stages(lab.timeline.read(), pair.node_ids)
    if not found:
        return
    table = Table(title="First boot, seconds from RunInstances", title_justify="left")
    for heading in ("", *(node.name for node in pair.nodes())):
        table.add_column(heading, justify="right" if heading else "left")
    for title, times in found:
        table.add_row(title, *("" if time is None else f"{time:.1f}" for time in times))
    console.print(table)


def _wait_for_vip(pair: Pair) -> None:
    """Until the pair is whole; with the nodes' own words as progress, and at once when a node says it failed."""
    deadline = time.monotonic() + UP_LIMIT_S
    said: dict[str, str] = {}
    while flaws := pair.flaws():
        for node in pair.nodes():
            lines = console_log.lines(pair.cloud.ec2(), node.instance_id)
            if lines and lines[-1] != said.get(node.name):
                said[node.name] = lines[-1]
                say(f"    {node.name}: {lines[-1]}")
            if lines and lines[-1].startswith(console_log.FAILED):
                _show_last_words(pair)
                raise LabError(f"{node.name}: {lines[-1]}", "mend the cause, then `make down` and `make up`")
        if time.monotonic() > deadline:
            _show_last_words(pair)
            raise LabError(
                f"the pair is not whole after {UP_LIMIT_S:.0f} s: {'; '.join(flaws)}",
                "look into the nodes with `make shell NODE=a`; end it with `make down`",
            )
        time.sleep(0.5)


def _show_last_words(pair: Pair) -> None:
    for node in pair.nodes():
        say(f"--- {node.name} ({node.instance_id}), end of its console ---")
        for line in console_log.text(pair.cloud.ec2(), node.instance_id).splitlines()[-20:]:
            say(f"    {line}")


def show(pair: Pair, place: str) -> None:
    """The table of the pair."""
    table = Table(title=f"{', '.join(pair.vips)} in {place}", title_justify="left")
    for heading in ("node", "instance", "address", "EC2", "cluster", "VIP"):
        table.add_column(heading)
    for node in pair.nodes():
        table.add_row(
            node.name, node.instance_id, node.address, node.state, node.cluster, _holding(node, pair.vips)
        )
    console.print(table)
    if pair.cloud.reach.no_shell:
        console.print(f"What the cluster says is unknown: {pair.cloud.reach.no_shell}.")
    if pair.cloud.client_prefix() is None:
        console.print("No client was asked (PROBE='ssh bastion' names one).")
    else:
        said, not_said = ("The VIP answers", "The VIP does not answer")
        if len(pair.vips) > 1:
            said, not_said = ("All VIPs answer", "Not every VIP answers")
        console.print(f"{said if pair.answers() else not_said} the client.")


def _holding(node: NodeView, vips: list[str]) -> str:
    """What the node has of the VIP; of several, what it has of each."""
    of = {
        vip: _holding_of(vip in node.in_ec2, None if node.in_os is None else vip in node.in_os)
        for vip in vips
    }
    if len(vips) == 1:
        return of[vips[0]]
    return ", ".join(f"{vip} {words}" for vip, words in of.items() if words)


def _holding_of(in_ec2: bool, in_os: bool | None) -> str:
    if in_ec2 and in_os:
        return "holder"
    if in_ec2:
        return "holder in EC2" if in_os is None else "in EC2 only"
    return "in its system only" if in_os else ""


@app.command()
def status(
    name: LabOption = DEFAULT_LAB,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="JSON", help="Print JSON instead of a table.")
    ] = False,
    stack: StackOption = STACK,
    probe: ProbeOption = "",
) -> None:
    """Show the nodes, the holder, and the cluster's state. Exit status 1 where the pair is not whole."""
    pair, place = find_pair(stack, name, probe)
    with aws_errors():
        flaws = pair.flaws() + pair.failures()
        if as_json:
            cloud = pair.cloud
            which = {"lab": name}
            if isinstance(cloud, AwsCloud):
                which = {"stack": stack, "account": cloud.account, "region": cloud.region}
            nodes = [vars(node) for node in pair.nodes()]
            answer = {"vip": pair.vip, "vips": pair.vips, "whole": not flaws, "flaws": flaws, "nodes": nodes}
            print(json.dumps({**which, **answer, "holder": pair.holder()}, indent=2))
        else:
            show(pair, place)
            for flaw in flaws:
                console.print(flaw, style="red")
    raise typer.Exit(1 if flaws else 0)


@app.command()
def shell(
    node: Annotated[str, typer.Argument(help="a, b, or client")],
    command: Annotated[list[str] | None, typer.Argument(help="Run this instead of a shell.")] = None,
    name: LabOption = DEFAULT_LAB,
) -> None:
    """Open a root shell on a node, or on the client host."""
    lab = Lab(name)
    pair = lab_pair(lab)
    if node == "client":
        prefix = lab.in_client()
    else:
        found = [view for view in pair.nodes() if view.name.rpartition("-")[2] == node or view.name == node]
        if not found:
            raise LabError(f"there is no node {node!r}", "say a, b or client")
        prefix = lab.in_node(found[0].instance_id)
    raise typer.Exit(subprocess.run([*prefix, *(command or ["bash", "-l"])], check=False).returncode)


@app.command()
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
        say(f"    {node.name}  {node.instance_id}  {node.address}  {node.state}  {_holding(node, pair.vips)}")
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
    console.print(table)


@app.command()
def fault(
    what: Annotated[str, typer.Argument(metavar="NAME", help="Which fault; without one, the list.")] = "",
    node: Annotated[str, typer.Option("--node", help="a or b.")] = "a",
    seconds: Annotated[float, typer.Option("--seconds", help="How long.")] = 10.0,
    name: LabOption = DEFAULT_LAB,
) -> None:
    """Break something for some seconds, and put it back; also on Ctrl-C. Without a name: list the faults."""
    if not what:
        for entry in CATALOGUE.values():
            print(f"{entry.name:<28} {entry.does}")
        return
    if what not in CATALOGUE:
        raise LabError(f"there is no fault {what!r}", "`make fault` lists them")
    lab = Lab(name)
    pair = lab_pair(lab)
    named = {view.name.rpartition("-")[2]: view.instance_id for view in pair.nodes()}
    if node not in named:
        raise LabError(f"there is no node {node!r}", f"say {' or '.join(sorted(named))}")
    (other,) = [key for key in named.values() if key != named[node]]
    with CATALOGUE[what].begin(Faults(lab), Target(named[node], other, pair.vip)):
        say(f"{what}: {CATALOGUE[what].does}; for {seconds:g} s, or until Ctrl-C")
        time.sleep(seconds)
    say(f"{what}: undone")


@app.command()
def bench(
    name: LabOption = DEFAULT_LAB,
    runs: Annotated[int, typer.Option(envvar="RUNS", min=1, help="Failovers of each kind and subject.")] = 10,
    kinds: Annotated[
        str, typer.Option(envvar="KINDS", help="Which failovers, as in 'crash planned' (or reboot); all.")
    ] = "",
    latency: Annotated[
        str, typer.Option(envvar="LATENCY", help="How long EC2 takes: none, typical, or both; both.")
    ] = "",
) -> None:
    """Compare ours with awsvip and with the settings of 2015; write build/bench.json and build/bench.svg.

    Exit status 1 where a failover failed.
    """
    from tests.drill import bench as comparison
    from tests.drill.failovers import KINDS
    from tests.drill.figure import draw
    from tests.drill.subjects.stage import Stage

    run_kinds = comparison.chosen(kinds, KINDS, "kind of failover", "say KINDS='crash planned'")
    run_latencies = comparison.chosen(latency, comparison.LATENCIES, "latency", "say LATENCY=none")
    lab = Lab(name)
    pair = lab_pair(lab)
    pair.wait_until_whole(UP_LIMIT_S)
    limits = {subject.name: subject.detection_s for subject in Stage(lab, pair).subjects}
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")

    def keep(results: comparison.Results) -> None:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "started": started}
        save("bench.json", comparison.report(runs, results, limits, machine))

    which = f"{runs} of {', '.join(run_kinds)}; EC2's latency {', '.join(run_latencies)}"
    say(f"comparing {', '.join(limits)}: {which}")
    results = comparison.run_bench(lab, pair, runs, run_kinds, run_latencies, say, keep)
    for each, by_subject in results.items():
        console.print(comparison.table(each, by_subject, limits))
    drawn = run_latencies[-1]
    times = "as is typical" if drawn == "typical" else "left out"
    caption = f"one failover of each, the nearest to the median, EC2's latency {times}"
    draw(results[drawn], caption, BUILD / "bench.svg")
    say("written: build/bench.json, build/bench.svg")
    failed = any(figures.failed for by_subject in results.values() for figures in by_subject.values())
    raise typer.Exit(1 if failed else 0)


@app.command()
def tokens(
    name: LabOption = DEFAULT_LAB,
    wanted: Annotated[
        str, typer.Option("--tokens", envvar="TOKENS", help="Which tokens in ms, as in '300 1000'; all.")
    ] = "",
    crashes: Annotated[int, typer.Option(envvar="RUNS", min=1, help="Losses of power at each token.")] = 4,
    again: Annotated[
        bool, typer.Option("--again", envvar="AGAIN", help="Measure anew what build/tokens.json has.")
    ] = False,
) -> None:
    """Measure what several of Corosync's tokens cost and forgive; write build/tokens.json and .svg.

    A run that was interrupted is taken up where it stopped. Exit status 1 where a goal was missed.
    """
    from tests.drill import token_report
    from tests.drill.tokens import TOKENS_MS, Results, missed, run_tokens, tokens_of

    chosen = tokens_of(wanted) or list(TOKENS_MS)
    lab = Lab(name)
    pair = lab_pair(lab)
    pair.wait_until_whole(UP_LIMIT_S)
    path = BUILD / "tokens.json"
    results: Results = {}
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if path.exists() and not again:
        before = json.loads(path.read_text())
        keys = ("crashes", "cases", "failed")
        results = {token: {key: found[key] for key in keys} for token, found in before["tokens"].items()}
        started = before["machine"]["started"]

    def keep(so_far: Results) -> None:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "started": started}
        save("tokens.json", token_report.report(so_far, machine))

    run_tokens(lab, pair, chosen, crashes, results, say, keep)
    keep(results)
    console.print(token_report.table(results))
    token_report.draw(results, f"the lab, {os.cpu_count()} processors, {started[:10]}", BUILD / "tokens.svg")
    say("written: build/tokens.json, build/tokens.svg")
    for words in (lines := missed(results)):
        say(f"goal missed: {words}")
    raise typer.Exit(1 if lines else 0)


@app.command()
def roll(name: LabOption = DEFAULT_LAB) -> None:
    """Replace both nodes by one `pulumi up` while a client pings the VIP, twice; write build/roll.json."""
    from tests.drill import roll as day_two

    lab = Lab(name)
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    rolls: list[day_two.Rolled] = []
    for (latency, goal_s), token_ms in zip(day_two.GOALS_S.items(), day_two.TOKENS_MS, strict=True):
        with step(f"rolling both nodes, EC2's latency {latency}", expected="1 to 2 min"):
            rolls.append(day_two.roll(lab, latency, token_ms, lambda text: say(f"    {text}")))
        last = rolls[-1]
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "started": started}
        save("roll.json", day_two.report(rolls, machine))
        say(
            f"    the client was {last.outage_s:.2f} s without the VIP in all (goal {goal_s:g} s), at most "
            f"{last.longest_s:.2f} s at a time; moves of the VIP: {last.moves}; the up took {last.took_s:.0f} s"
        )
        for law in last.broken:
            say(f"    FAILED: {law}")
    say("written: build/roll.json")
    raise typer.Exit(1 if any(each.broken for each in rolls) else 0)


@app.command()
def env(name: LabOption = DEFAULT_LAB) -> None:
    """Print what a shell needs in its environment to use the lab by hand."""
    lab = Lab(name)
    lab.require_running()
    for key, value in {**lab_stack(lab).environment, "PULUMI_STACK": STACK}.items():
        print(f"export {key}={shlex.quote(value)}")


@app.command()
def down(name: LabOption = DEFAULT_LAB) -> None:
    """Destroy the stack and end the lab; nothing of it remains."""
    from tests.drill.subjects.stage import take_back_leave

    lab = Lab(name)
    if lab.is_running():
        with step("pulumi destroy"):
            take_back_leave(lab)
            try:
                lab_stack(lab).destroy()
            except LabError as error:
                # The lab's end takes everything with it in any case; the reason is still worth seeing.
                say(f"    {error}")
    with step(f"ending the lab {name!r}"):
        lab.down()


app.command()(faults)
app.command()(soak)


def main(words: list[str] | None = None) -> int:
    """Run a command; a LabError is one line, as is what the system refuses (no room, no right), and a signal."""
    os.chdir(PROJECT)
    with ENDING.in_order():
        try:
            app(words)
        except LabError as error:
            say(f"error: {error}")
            return 1
        except OSError as error:
            if (refused := of_system(error)) is None:
                raise
            say(f"error: {refused}")
            return 1
        except SystemExit as end:  # how Typer ends: usage errors, typer.Exit, Ctrl-C
            if end.code == INTERRUPTED:
                say("interrupted; a lab goes on with `make up` and ends with `make down`")
                return ENDING.status if ENDING.number else INTERRUPTED
            return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
