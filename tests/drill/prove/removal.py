"""Which runs have left something in an account, and its removal."""

from __future__ import annotations

from pathlib import Path

import boto3

from tests.drill.aws import CONFIG
from tests.drill.prove import leftovers
from tests.drill.prove.leftovers import TAG, Clients
from tests.lab.log import say, step


def clients_of(session: boto3.Session) -> Clients:
    """The clients that find and remove. The session names the account and Region."""
    return Clients(*(session.client(service, config=CONFIG) for service in ("ec2", "iam", "ssm")))


def runs_in(clients: Clients, folder: Path) -> dict[str, dict[str, list[str]]]:
    """The runs that have something in the account, with its ids by kind.

    They are known by the tags in EC2 and by the folders of the runs of this checkout.
    """
    asked = [{"Name": "key", "Values": [TAG]}]
    names = {str(path.name) for path in folder.glob("*") if path.is_dir()} if folder.is_dir() else set()
    for page in clients.ec2.get_paginator("describe_tags").paginate(Filters=asked):
        names |= {str(tag["Value"]) for tag in page["Tags"]}
    seen = {run: leftovers.found(clients, run) for run in sorted(names)}
    return {run: kinds for run, kinds in seen.items() if kinds}


def remove(clients: Clients, run: str) -> None:
    """Remove all that has the run's tag, and say so. Raises as `leftovers.remove` does."""
    with step(f"removing what run {run} has left", expected="1 to 10 min"):
        leftovers.remove(clients, run, lambda text: say(f"    {text}"))


def in_words(kinds: dict[str, list[str]]) -> str:
    """The ids by kind, in a line."""
    return "; ".join(f"{kind} {', '.join(ids)}" for kind, ids in kinds.items())
