"""The lab and the pair in it: `python -m tests.lab up|status|shell|fault|env|down`.

Run them through `make`, which installs what they need first.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from typing import Annotated

import typer
from rich.table import Table

from cloudinit.platforms import PLATFORMS
from tests.bench.subjects.stage import take_back_leave
from tests.drill import console as console_log
from tests.drill.aws import AwsCloud, aws_errors
from tests.drill.clouds import STACK, Choice, lab_pair, lab_stack
from tests.drill.first_boot import stages
from tests.drill.pair import Pair
from tests.drill.view import ProbeOption, StackOption, find_pair, show
from tests.lab import cli, image
from tests.lab.amis import KINDS, SUITES, image_of
from tests.lab.cli import LabOption, plain_console
from tests.lab.errors import LabError
from tests.lab.faults import Faults
from tests.lab.faults.catalogue import CATALOGUE, Target
from tests.lab.lab import Lab
from tests.lab.log import say, step
from tests.lab.paths import DEFAULT_LAB
from tests.lab.prober import probing

UP_LIMIT_S = 300.0
"""From the end of `pulumi up` until the pair is whole.

Two nodes that install 110 packages each need half a minute on 2 cores.
"""

app = cli.app(__doc__, of_any_stack=("status",))
console = plain_console()


@app.command(epilog="Example: make up PLATFORM=debian13 AMI=baked")
def up(
    name: LabOption = DEFAULT_LAB,
    latency: Annotated[
        str,
        typer.Option(
            envvar="LATENCY", help="EC2's latency: none, typical, or the seconds that a call takes."
        ),
    ] = "none",
    platform: Annotated[
        str,
        typer.Option(
            envvar="PLATFORM",
            help=f"The nodes' platform: {' or '.join(SUITES)}. Default: the lab's last one, at first "
            f"{Choice.platform}.",
        ),
    ] = "",
    ami: Annotated[
        str,
        typer.Option(
            envvar="AMI",
            help="The nodes' image: the platform's public one, or one of two with the packages baked in "
            f"({', '.join(KINDS)}). Default: the lab's last one, at first {Choice.ami}.",
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
    # The client pings before the nodes exist, so its first answer tells when the VIP became available.
    with probing(lab, stack.configured("vip"), answering=False):
        builds = choice.ami == "public" and PLATFORMS[choice.platform].build
        takes = "5 min, because both nodes build Pacemaker" if builds else "1 min"
        with step("pulumi up", expected=f"about {takes}, until the pair works"):
            stack.up("--skip-preview")
        pair = lab_pair(lab)
        with step(
            f"waiting for the VIP {pair.vip}",
            expected="a moment, until the client gets an answer",
        ):
            _wait_for_vip(pair)
    show(pair, f"lab {lab.name!r}")
    show_stages(lab, pair)


def show_stages(lab: Lab, pair: Pair) -> None:
    """Print how long each stage of the nodes' first boot took, if the lab's timeline has it."""
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
    """Wait until the pair is whole, and show the last line of each node's console as progress.

    Raises LabError as soon as a node reports a failure, or after UP_LIMIT_S.
    """
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
                raise LabError(f"{node.name}: {lines[-1]}", "fix the cause, then `make down` and `make up`")
        if time.monotonic() > deadline:
            _show_last_words(pair)
            raise LabError(
                f"the pair is not whole after {UP_LIMIT_S:.0f} s: {'; '.join(flaws)}",
                "look into the nodes with `make shell NODE=a`; end the lab with `make down`",
            )
        time.sleep(0.5)


def _show_last_words(pair: Pair) -> None:
    for node in pair.nodes():
        say(f"--- {node.name} ({node.instance_id}), end of its console ---")
        for line in console_log.text(pair.cloud.ec2(), node.instance_id).splitlines()[-20:]:
            say(f"    {line}")


@app.command(epilog="Example: make status JSON=1")
def status(
    name: LabOption = DEFAULT_LAB,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="JSON", help="Print JSON instead of a table.")
    ] = False,
    stack: StackOption = STACK,
    probe: ProbeOption = "",
) -> None:
    """Show the nodes, the holder, and the cluster's state. Exit with status 1 if the pair is not whole."""
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


@app.command(epilog="Example: make shell NODE=client")
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
            raise LabError(f"there is no node {node!r}", "use a, b or client")
        prefix = lab.in_node(found[0].instance_id)
    raise typer.Exit(subprocess.run([*prefix, *(command or ["bash", "-l"])], check=False).returncode)


@app.command(epilog="Example: make fault NAME=hang NODE=a SECONDS=30")
def fault(
    what: Annotated[
        str, typer.Argument(metavar="NAME", help="The fault; without one, the faults are listed.")
    ] = "",
    node: Annotated[str, typer.Option("--node", help="a or b.")] = "a",
    seconds: Annotated[float, typer.Option("--seconds", help="How long.")] = 10.0,
    name: LabOption = DEFAULT_LAB,
) -> None:
    """Break something for some seconds, then put it back, also on Ctrl-C. Without a name, list the faults."""
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
        raise LabError(f"there is no node {node!r}", f"use {' or '.join(sorted(named))}")
    (other,) = [key for key in named.values() if key != named[node]]
    with CATALOGUE[what].begin(Faults(lab), Target(named[node], other, pair.vip)):
        say(f"{what}: {CATALOGUE[what].does}; for {seconds:g} s, or until Ctrl-C")
        time.sleep(seconds)
    say(f"{what}: undone")


@app.command(epilog='Example: eval "$(make -s env)"')
def env(name: LabOption = DEFAULT_LAB) -> None:
    """Print the `export` lines for a shell in which you use the lab by hand."""
    lab = Lab(name)
    lab.require_running()
    for key, value in {**lab_stack(lab).environment, "PULUMI_STACK": STACK}.items():
        print(f"export {key}={shlex.quote(value)}")


@app.command(epilog="Example: make down LAB=mine")
def down(name: LabOption = DEFAULT_LAB) -> None:
    """Destroy the stack and end the lab; nothing of it remains."""
    lab = Lab(name)
    if lab.is_running():
        with step("pulumi destroy"):
            take_back_leave(lab)
            try:
                lab_stack(lab).destroy()
            except LabError as error:
                # The lab's end removes everything anyway, but the user should see why this failed.
                say(f"    {error}")
    with step(f"ending the lab {name!r}"):
        lab.down()


if __name__ == "__main__":
    sys.exit(cli.run(app))
