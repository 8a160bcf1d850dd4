"""What a run of `prove` costs, by AWS's list prices of one Region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from tests.drill.prove.preflight import CLIENTS, NODES, Asked

RUN_H = 0.5
"""How long a run's resources live (hours); assumed."""
VOLUME_GB = 8
"""The root volume of an instance (GB); assumed."""
HOURS_A_MONTH = 730
"""By which AWS's price list turns a price for a month into one for an hour."""
ENDPOINTS = 3
"""The interface endpoints of a stack with `ssm`, in one zone: ec2, ssm and ssmmessages (infra/network.py)."""

NOTE = "list prices of us-east-1, other Regions differ"
INSTANCE_H: Mapping[str, float] = {
    "c6g.large": 0.068,
    "c6i.large": 0.085,
    "m6g.large": 0.077,
    "m6i.large": 0.096,
    "t3.large": 0.0832,
    "t3.medium": 0.0416,
    "t3.micro": 0.0104,
    "t3.nano": 0.0052,
    "t3.small": 0.0208,
    "t4g.medium": 0.0336,
    "t4g.micro": 0.0084,
    "t4g.nano": 0.0042,
    "t4g.small": 0.0168,
}
"""US dollars an hour, Linux, On-Demand, list prices of us-east-1 (EC2 On-Demand pricing, as of 2025)."""
PUBLIC_ADDRESS_H, ENDPOINT_H, VOLUME_GB_MONTH = 0.005, 0.01, 0.08
"""US dollars, list prices of us-east-1: a public IPv4 address (VPC pricing) and an interface endpoint in one zone
(PrivateLink pricing) for an hour, a GB of gp3 for a month (EBS pricing)."""


@dataclass(frozen=True)
class Price:
    """The parts of an estimate in US dollars, by what is paid for; None if its price is not known."""

    region: str
    parts: Mapping[str, float | None]

    @property
    def total(self) -> float:
        """The sum of what is known (US dollars)."""
        return sum(part for part in self.parts.values() if part is not None)

    def __str__(self) -> str:
        words = ", ".join(
            f"{what}: {'price unknown' if part is None else f'{part:.3f}'}"
            for what, part in self.parts.items()
        )
        about = "at least" if None in self.parts.values() else "about"
        return f"{about} US$ {self.total:.2f} for {RUN_H * 60:.0f} minutes in {self.region} ({words}; {NOTE})"


def price(settings: Mapping[str, Any], session: boto3.Session) -> Price:
    """An estimate for a run with these settings: two nodes and two clients of one type. Calls nobody.

    `settings` are as for `preflight.checks`. Traffic and a T instance's surplus credits are left out.
    """
    on = Asked(session, settings, ())
    machines = NODES + CLIENTS
    rate = INSTANCE_H.get(on.instance_type)
    parts: dict[str, float | None] = {
        f"{machines} instances {on.instance_type}": None if rate is None else machines * RUN_H * rate,
        f"{machines} volumes of {VOLUME_GB} GB": machines
        * VOLUME_GB
        * VOLUME_GB_MONTH
        * RUN_H
        / HOURS_A_MONTH,
    }
    if on.public_ips:
        parts[f"{machines} public addresses"] = machines * RUN_H * PUBLIC_ADDRESS_H
    if on.flag("endpoints"):
        # A part of an hour is paid as a whole one (PrivateLink pricing).
        parts[f"{ENDPOINTS} endpoints"] = ENDPOINTS * ENDPOINT_H
    return Price(on.region, parts)
