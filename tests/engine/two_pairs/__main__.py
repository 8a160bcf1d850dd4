"""Two pairs in one subnet: what a program of one's own looks like with the component in it."""

from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumi_aws as aws

from infra.clients import ClientRule
from infra.pair import FloatingIpPair, FloatingIpPairArgs
from infra.sites import ExistingSubnet

vpc = aws.ec2.Vpc("shared", cidr_block="10.0.0.0/16")
# Not every zone has the instance type, and AWS would choose any.
zone = "us-east-1a"
subnet = aws.ec2.Subnet("shared", vpc_id=vpc.id, cidr_block="10.0.8.0/24", availability_zone=zone)
site = ExistingSubnet(
    vpc_id=vpc.id,
    subnet_id=subnet.id,
    subnet_arn=subnet.arn,
    subnet_cidr=IPv4Network("10.0.8.0/24"),
    availability_zone=zone,
)

for name, vip in (("billing", "10.0.8.10"), ("search", "10.0.8.20")):
    pair = FloatingIpPair(
        name,
        FloatingIpPairArgs(
            vips=(IPv4Address(vip),),
            node_ips=(IPv4Address(vip) + 1, IPv4Address(vip) + 2),
            site=site,
            clients=(ClientRule(protocol="tcp", from_port=443, to_port=443),),
            platform="debian12",
        ),
    )
    pulumi.export(name, pair.vip)
