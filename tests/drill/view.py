"""Find the pair that a command means, and show it to a person."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from tests.drill.aws import aws_pair, where
from tests.drill.clouds import STACK, lab_pair
from tests.drill.pair import NodeView, Pair
from tests.lab.cli import plain_console
from tests.lab.lab import Lab

StackOption = Annotated[
    str,
    typer.Option(
        "--stack", envvar="STACK", help="`local` is the lab's stack; any other one is in your AWS account."
    ),
]
ProbeOption = Annotated[
    str,
    typer.Option(
        envvar="PROBE",
        help="For AWS: a prefix that runs a command where the VIP is reachable, as in 'ssh bastion'.",
    ),
]


def find_pair(stack: str, lab: str, probe: str) -> tuple[Pair, str]:
    """The pair of a stack, and a few words that say where it is."""
    if stack == STACK:
        return lab_pair(Lab(lab)), f"lab {lab!r}"
    pair = aws_pair(stack, probe)
    return pair, f"stack {stack!r}, {where(pair)}"


def show(pair: Pair, place: str) -> None:
    """Print the pair as a table, and whether its client gets an answer."""
    table = Table(title=f"{', '.join(pair.vips)} in {place}", title_justify="left")
    for heading in ("node", "instance", "address", "EC2", "cluster", "VIP"):
        table.add_column(heading)
    for node in pair.nodes():
        table.add_row(
            node.name, node.instance_id, node.address, node.state, node.cluster, holding(node, pair.vips)
        )
    console = plain_console()
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


def holding(node: NodeView, vips: list[str]) -> str:
    """How the node has the VIP: as holder, in EC2 only, …; of several VIPs, how it has each."""
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
