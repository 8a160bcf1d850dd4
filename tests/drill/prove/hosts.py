"""The run's clients: instances that ping the pair's addresses, one in its subnet, one in another.

They are made for the run, have its tag, and take commands by SSM alone. They wear the pair's client group, so the
rules that they pass are those of any client.
"""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET
from tests.drill.prove.leftovers import TAG
from tests.drill.run_command import Commands
from tests.lab.errors import LabError

ONLINE_LIMIT_S = 300.0
"""How long a client may take from its launch until SSM reaches it (s): assumed."""
POLL_S = 3.0
NOT_YET = "InvalidParameterValue"
PROFILE_LIMIT_S = 60.0
"""EC2 may not know an instance profile for some seconds (IAM user guide, "Eventual consistency")."""


@dataclass(frozen=True)
class Site:
    """Where the pair is, by its stack's outputs."""

    vpc: str
    subnet: str
    client_group: str
    profile: str
    node: str

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Site:
        return cls(
            vpc=outputs["vpcId"],
            subnet=outputs["subnetId"],
            client_group=outputs["clientSecurityGroupId"],
            profile=outputs["instanceProfileName"],
            node=outputs["nodeIds"][0],
        )


def prefix(instance_id: str) -> list[str]:
    """The command prefix that runs a command on a client."""
    return [sys.executable, "-m", "tests.drill.over_ssm", instance_id]


def launch(ec2: Any, site: Site, run: str, *, own_vpc: bool) -> dict[str, str]:
    """Launch the clients, and return their ids by place. Only a VPC of the run's own gets another subnet.

    Raises ClientError if EC2 refuses.
    """
    (reservation,) = ec2.describe_instances(InstanceIds=[site.node])["Reservations"]
    node = reservation["Instances"][0]
    out = ec2.create_security_group(
        GroupName=f"ec2vip-prove-{run}",
        Description="Lets the clients of a run of prove out; may be deleted with it",
        VpcId=site.vpc,
        TagSpecifications=_tags(run, "security-group"),
    )["GroupId"]
    subnets = {SAME_SUBNET: site.subnet}
    if own_vpc and (other := _another_subnet(ec2, site, run)):
        subnets[OTHER_SUBNET] = other
    return {
        place: _launch(ec2, site, run, node, subnet, [site.client_group, out])
        for place, subnet in subnets.items()
    }


def wait_until_online(commands: Commands, clients: Mapping[str, str]) -> list[str]:
    """Wait until SSM reaches every client, or for ONLINE_LIMIT_S. Returns those that it does not reach."""
    deadline = time.monotonic() + ONLINE_LIMIT_S
    while silent := set(clients.values()) - commands.online(list(clients.values())):
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return sorted(silent)


def end(ec2: Any, clients: Mapping[str, str]) -> None:
    """Terminate the clients and wait for their end: the stack's subnet can't go before."""
    if clients:
        ec2.terminate_instances(InstanceIds=list(clients.values()))
        ec2.get_waiter("instance_terminated").wait(
            InstanceIds=list(clients.values()), WaiterConfig={"Delay": POLL_S, "MaxAttempts": 200}
        )


def spare_address(ec2: Any, subnet_id: str, taken: Sequence[str]) -> str:
    """An address of the subnet that no interface has, from its end. Raises LabError if there is none."""
    (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    asked = [{"Name": "subnet-id", "Values": [subnet_id]}]
    used = set(taken)
    for page in ec2.get_paginator("describe_network_interfaces").paginate(Filters=asked):
        for card in page["NetworkInterfaces"]:
            used |= {entry["PrivateIpAddress"] for entry in card["PrivateIpAddresses"]}
    network = ipaddress.IPv4Network(subnet["CidrBlock"])
    # EC2 keeps the first four addresses and the last one (VPC user guide, "Subnet sizing").
    for number in range(network.num_addresses - 2, 3, -1):
        if (address := str(network[number])) not in used:
            return address
    raise LabError(f"subnet {subnet_id} has no free address", "use a larger subnet")


def _tags(run: str, *kinds: str) -> list[dict[str, Any]]:
    tags = [{"Key": TAG, "Value": run}, {"Key": "Name", "Value": f"ec2vip-prove-{run}"}]
    return [{"ResourceType": kind, "Tags": tags} for kind in kinds]


def _launch(
    ec2: Any, site: Site, run: str, node: Mapping[str, Any], subnet: str, groups: Sequence[str]
) -> str:
    asked: dict[str, Any] = {
        "ImageId": node["ImageId"],
        "InstanceType": node["InstanceType"],
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": site.profile},
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": subnet,
                "Groups": list(groups),
                "AssociatePublicIpAddress": "PublicIpAddress" in node,
            }
        ],
        "TagSpecifications": _tags(run, "instance", "volume", "network-interface"),
    }
    deadline = time.monotonic() + PROFILE_LIMIT_S
    while True:
        try:
            return str(ec2.run_instances(**asked)["Instances"][0]["InstanceId"])
        except ClientError as error:
            late = error.response["Error"]["Code"] == NOT_YET and "Profile" in str(error)
            if not late or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _another_subnet(ec2: Any, site: Site, run: str) -> str | None:
    """A subnet beside the pair's, with the same routes; None if the VPC has no room for one."""
    (vpc,) = ec2.describe_vpcs(VpcIds=[site.vpc])["Vpcs"]
    (own,) = ec2.describe_subnets(SubnetIds=[site.subnet])["Subnets"]
    taken = ipaddress.IPv4Network(own["CidrBlock"])
    room = ipaddress.IPv4Network(vpc["CidrBlock"]).subnets(new_prefix=28)
    if (cidr := next((each for each in room if not each.overlaps(taken)), None)) is None:
        return None
    subnet = str(
        ec2.create_subnet(
            VpcId=site.vpc,
            CidrBlock=str(cidr),
            AvailabilityZone=own["AvailabilityZone"],
            TagSpecifications=_tags(run, "subnet"),
        )["Subnet"]["SubnetId"]
    )
    asked = [{"Name": "association.subnet-id", "Values": [site.subnet]}]
    for table in ec2.describe_route_tables(Filters=asked)["RouteTables"]:
        ec2.associate_route_table(SubnetId=subnet, RouteTableId=table["RouteTableId"])
    return subnet


def remove_subnet(ec2: Any, run: str) -> None:
    """Remove the subnet that `launch` has made, which keeps the stack's VPC from going."""
    asked = [{"Name": f"tag:{TAG}", "Values": [run]}, {"Name": "tag:Name", "Values": [f"ec2vip-prove-{run}"]}]
    for subnet in ec2.describe_subnets(Filters=asked)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for group in ec2.describe_security_groups(Filters=asked)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group["GroupId"])
