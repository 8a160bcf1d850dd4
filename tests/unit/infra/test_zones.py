"""The zone of a new subnet: which one is chosen and kept, and which is refused."""

from __future__ import annotations

import dataclasses
import re
from ipaddress import IPv4Network

import pytest

from infra.errors import ConfigError
from infra.sites import NewVpc

from .recording import EXISTING, SERVICE, program, record

OFFERINGS = "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings"
ZONES = "aws:index/getAvailabilityZones:getAvailabilityZones"


def test_a_zone_is_chosen_that_has_the_type_and_is_kept() -> None:
    offered = {"locations": ["us-east-1d", "us-east-1-bos-1a", "us-east-1c"]}
    made, _ = record(program(), {OFFERINGS: offered, ZONES: {"names": [f"us-east-1{z}" for z in "abcd"]}})
    kept = made["ec2vip-zone-us-east-1"]
    assert (kept.inputs["input"], kept.ignored) == ("us-east-1c", ("input",))
    assert made["ec2vip-subnet"].inputs["availabilityZone"] == "us-east-1c"


def test_a_zone_is_chosen_that_has_the_endpoints_services_too() -> None:
    served = {"serviceName": "com.amazonaws.us-east-1.ec2", "availabilityZones": ["us-east-1b", "us-east-1c"]}
    made, _ = record(program(endpoints=True), {SERVICE: served})
    assert made["ec2vip-subnet"].inputs["availabilityZone"] == "us-east-1b"


def test_a_zone_without_the_type_is_refused_with_those_that_have_it() -> None:
    site = NewVpc(
        vpc_cidr=IPv4Network("10.0.0.0/16"),
        subnet_cidr=IPv4Network("10.0.250.0/24"),
        availability_zone="us-east-1e",
    )
    said = (
        "availabilityZone us-east-1e does not offer t3.micro (zones that do: us-east-1a, us-east-1b); set "
        "ec2vip:availabilityZone to another, or ec2vip:instanceType to a type that it offers"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        record(program(site=site))
    existing = dataclasses.replace(EXISTING, availability_zone="us-east-1e")
    with pytest.raises(ConfigError, match=r"subnet-0123456789abcdef0 in us-east-1e does not offer t3\.micro"):
        record(program(site=existing))
    with pytest.raises(
        ConfigError, match=r"t3\.micro is offered in no zone of this Region; set ec2vip:instanceType"
    ):
        record(program(), {OFFERINGS: {"locations": []}})


def test_a_kept_zone_is_refused_for_a_type_that_it_lacks() -> None:
    with pytest.raises(ConfigError, match=r"us-east-1z \(chosen at the first up\) does not offer t3\.micro"):
        record(program(), kept={"ec2vip-zone-us-east-1": "us-east-1z"})
