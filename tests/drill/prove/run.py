"""`prove`: one command that shows whether the pair works in an account, and what that account's EC2 is like."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Annotated, Any

import boto3
import typer

from tests.drill.aws import CONFIG, aws_errors
from tests.drill.clouds import STACK
from tests.drill.prove import leftovers, removal, report
from tests.drill.prove.life import FAILURES, Life
from tests.drill.prove.markdown import in_one_sentence
from tests.drill.prove.policy import prove_policies
from tests.drill.prove.preflight import checks
from tests.drill.prove.price import price
from tests.drill.prove.report import Check, Report
from tests.drill.prove.stack import RunStack, region_of, settings_of, settings_of_run
from tests.drill.view import StackOption
from tests.lab import cli, plugin
from tests.lab.amis import Image, ami_id
from tests.lab.cli import LabOption
from tests.lab.ending import ENDING
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.paths import DEFAULT_LAB

RUNS = "prove"
"""The folder in build/ that has a folder for each run."""
LAB = "prove"
"""The lab of STACK=local, if LAB names no other: a lab of its own, for a lab's pair has the same addresses."""
LATE_S = 10.0
"""How long after an interruption we look again for what the run has made (s): assumed."""
BY_A_SIGNAL = "by a signal"
SIGNS = {True: "✓", False: "✗", None: "?"}


def prove(
    stack: StackOption = STACK,
    name: LabOption = DEFAULT_LAB,
    times: Annotated[int, typer.Option(envvar="RUNS", min=1, help="How often to measure each time.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", envvar="YES", help="Go on without asking.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", envvar="CLEAN", help="Only remove what earlier runs have left.")
    ] = False,
) -> None:
    """Make a pair of the stack's settings in your account, break it, measure, report, and remove it all."""
    settings = settings_of(stack)
    with _account(stack, name, settings), aws_errors():
        session = boto3.Session(region_name=region_of(settings))
        raise typer.Exit(_clean(session, yes) if clean else _prove(session, stack, settings, times, yes))


def _prove(session: boto3.Session, stack: str, settings: dict[str, Any], times: int, yes: bool) -> int:
    run = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    wanted = settings_of_run(settings, stack, run)
    caller = session.client("sts", config=CONFIG).get_caller_identity()
    region = str(session.region_name)
    found = Report(
        run=run,
        stack=stack,
        cloud="a lab" if stack == STACK else "AWS",
        account=str(caller["Account"]),
        partition=session.get_partition_for_region(region),
        region=region,
        platform=str(wanted.get("platform", "al2023")),
        instance_type=str(wanted.get("instanceType", "t3.micro")),
        started=cli.now(),
    )
    folder = cli.in_build(RUNS) / run
    _preflight(session, wanted, found, yes)
    folder.mkdir(parents=True)

    def keep() -> None:
        report.write(found, cli.in_build("prove.json").parent)

    life = Life(session, RunStack(folder, wanted), run, wanted["ssm"], times, found, keep)
    try:
        life.live()
    except KeyboardInterrupt:
        found.interrupted = BY_A_SIGNAL
    except FAILURES as error:
        # Between two phases: for example, the credentials ran out.
        found.interrupted = str(error)
    finally:
        with ENDING.held():
            gone = _remove(session, found, keep)
    if gone:
        shutil.rmtree(folder)  # the state of a stack that is gone
    say(f"written: build/prove.json, build/prove.md, build/prove.svg\n{in_one_sentence(found)}")
    if found.interrupted == BY_A_SIGNAL:
        return ENDING.status if ENDING.number else cli.INTERRUPTED
    return 0 if found.passed else 1


def _preflight(session: boto3.Session, wanted: dict[str, Any], found: Report, yes: bool) -> None:
    """Check and show everything, and ask. Raises LabError if a check failed or the user does not agree."""
    policies = prove_policies(
        found.account,
        found.region,
        partition=found.partition,
        vpc=wanted.get("vpcId"),
        subnet=wanted.get("subnetId"),
        boundary=str(wanted.get("permissionsBoundary") or ""),
    )
    left = removal.runs_in(removal.clients_of(session), cli.in_build(RUNS))
    first = Check(
        "no other run",
        not left,
        f"runs that left something: {', '.join(left)}" if left else "nothing has the tag of a run",
        "`make prove CLEAN=1` removes it; two runs at once can't be" if left else "",
    )
    for check in (first, *checks(session, wanted, policies)):
        found.checks.append(check)
        say(f"  {SIGNS[check.ok]} {check.name}: {check.found}")
        if check.ok is not True and check.remedy:
            say(f"      {check.remedy}")
    if failed := [check.name for check in found.checks if check.ok is False]:
        raise LabError(f"not ready: {', '.join(failed)}; nothing was made", "see the remedies above")
    say(
        f"This makes a pair and two clients in account {found.account}, Region {found.region}, breaks the pair"
    )
    say(f"on purpose, and removes all of it. Cost: {price(wanted, session)}")
    _agree(yes)


def _agree(yes: bool) -> None:
    if yes:
        return
    try:
        agreed = typer.confirm("Go on?", err=True)
    except typer.Abort:  # no terminal, or Ctrl-C
        agreed = False
    if not agreed:
        raise LabError("not confirmed; nothing was changed", "set YES=1 to skip the question")


def _remove(session: boto3.Session, found: Report, keep: Callable[[], None]) -> bool:
    """Remove what is left of the run, which is nothing if its whole life went well. False if that failed."""
    clients, gone = removal.clients_of(session), False
    try:
        found.left = leftovers.found(clients, found.run)
        while found.left:
            removal.remove(clients, found.run)
            # A provider that was ended amid a call may have made one thing more.
            time.sleep(LATE_S if found.interrupted else 0)
            found.left = leftovers.found(clients, found.run)
        gone = True
    except FAILURES as error:
        say(f"error: {error}")
        say(f"what run {found.run} has made may still be there: `make prove STACK={found.stack} CLEAN=1`")
        found.interrupted = found.interrupted or f"the removal: {error}"
    found.ended = cli.now()
    keep()
    return gone


def _clean(session: boto3.Session, yes: bool) -> int:
    clients = removal.clients_of(session)
    left = removal.runs_in(clients, cli.in_build(RUNS))
    if not left:
        say("no run has left anything")
        return 0
    for run, kinds in left.items():
        say(f"run {run}: {removal.in_words(kinds)}")
    _agree(yes)
    for run in left:
        removal.remove(clients, run)
        shutil.rmtree(cli.in_build(RUNS) / run, ignore_errors=True)
    return 0


@contextlib.contextmanager
def _account(stack: str, name: str, settings: dict[str, Any]) -> Iterator[None]:
    """Have this process's environment name the account: the user's own, or a lab's for STACK=local.

    The lab is started if it does not run, and then ended after the block.
    """
    if stack != STACK:
        yield
        return
    lab = Lab(LAB if name == DEFAULT_LAB else name)
    settings["amiId"] = ami_id(settings["platform"], "baked")
    ran = lab.is_running()
    lab.up(images=(Image(settings["platform"], baked=True),))
    try:
        os.environ.update(lab.environment())
        os.environ["PATH"] = os.pathsep.join([str(plugin.plugin().parent), os.environ["PATH"]])
        os.environ["PULUMI_HOME"] = str(lab.folder / "pulumi")
        os.environ["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "1"
        yield
    finally:
        if not ran:
            lab.down()
