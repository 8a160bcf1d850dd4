"""A pair whose program does not reach EC2 as Pulumi's AWS provider does.

`environment` holds variables for this process alone; the provider does not get them. `region` gives the pair a
provider of its own, in that Region.
"""

import os
from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumi_aws as aws

from infra.pair import FloatingIpPair, FloatingIpPairArgs
from infra.sites import NewVpc

config = pulumi.Config()
os.environ.update(config.get_object("environment") or {})
region = config.get("region")
pair = FloatingIpPair(
    "ec2vip",
    FloatingIpPairArgs(
        vips=(IPv4Address("10.0.250.185"),),
        node_ips=(IPv4Address("10.0.250.186"), IPv4Address(config.get("second") or "10.0.250.187")),
        site=NewVpc(vpc_cidr=IPv4Network("10.0.0.0/16"), subnet_cidr=IPv4Network("10.0.250.0/24")),
        platform="debian12",
        token_ms=config.get_int("tokenMs") or 1000,
    ),
    pulumi.ResourceOptions(provider=aws.Provider("own", region=region)) if region else None,
)
for name, value in pair.outputs().items():
    pulumi.export(name, value)
