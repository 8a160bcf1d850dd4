"""A lab without guests: two instances whose machines have power, interfaces and services, but boot nothing.

It is for tests of the lab itself. Commands "in a node" run in its network, with this machine's own programs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.drill.probe import answers
from tests.lab.faults.core import eni_of, state_of
from tests.lab.lab import Lab
from tests.lab.network_plan import CLIENT_ADDRESS
from tests.lab.waiting import wait_for

SUBNET = "10.0.250.0/24"
VIP, A, B = "10.0.250.185", "10.0.250.186", "10.0.250.187"
DEBIAN_12 = "ami-0deb1a2e12000a3d6"
LIMIT_S = 20.0
PING_IN = {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "ec2.amazonaws.com"}}]}'
)
ALLOW = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]}'


class Hollow:
    """The lab, its two nodes `a` and `b` (instance ids), and what a test asks of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ec2 = lab.client()
        iam = lab.client("iam")
        iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(RoleName="node", PolicyName="all", PolicyDocument=ALLOW)
        iam.create_instance_profile(InstanceProfileName="node")
        iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=SUBNET, AvailabilityZone="us-east-1a")[
            "Subnet"
        ]["SubnetId"]
        self.group = self.ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)[
            "GroupId"
        ]
        self.allow(PING_IN)
        self.a, self.b = self.launch(A), self.launch(B)

    def launch(self, address: str, **more: Any) -> str:
        """Launch an instance at this address, and wait until it has power."""
        made = self.ec2.run_instances(
            ImageId=DEBIAN_12,
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet,
            PrivateIpAddress=address,
            SecurityGroupIds=[self.group],
            IamInstanceProfile={"Name": "node"},
            **more,
        )
        instance_id = str(made["Instances"][0]["InstanceId"])
        self.wait_for_power(instance_id)
        return instance_id

    def wait_for_power(self, instance_id: str) -> None:
        eventually(lambda: bool(self.lab.state()["nodes"].get(instance_id, {}).get("leader")))
        eventually(lambda: self.state(instance_id) == "running")

    def state(self, instance_id: str) -> str:
        """The state of the instance in EC2."""
        return state_of(self.lab, instance_id)

    def eni(self, instance_id: str) -> str:
        return eni_of(self.lab, instance_id)

    def assign(self, instance_id: str, address: str = VIP) -> None:
        """Move the address to the node, in EC2."""
        self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=self.eni(instance_id), PrivateIpAddresses=[address], AllowReassignment=True
        )

    def addresses(self, instance_id: str) -> list[str]:
        """The node's addresses in EC2."""
        (found,) = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.eni(instance_id)])[
            "NetworkInterfaces"
        ]
        return [item["PrivateIpAddress"] for item in found["PrivateIpAddresses"]]

    def allow(self, *permissions: dict[str, Any]) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=list(permissions))

    def revoke(self, *permissions: dict[str, Any]) -> None:
        self.ec2.revoke_security_group_ingress(GroupId=self.group, IpPermissions=list(permissions))

    def bring_up(self, instance_id: str) -> None:
        """Add the VIP to the node's system."""
        self.lab.run_in(instance_id, ["ip", "address", "add", f"{VIP}/24", "dev", "ens5"])

    def take_down(self, instance_id: str) -> None:
        self.lab.run_in(instance_id, ["ip", "address", "delete", f"{VIP}/24", "dev", "ens5"])

    def in_os(self, instance_id: str) -> bool:
        """Whether the node's system has the VIP."""
        return f" {VIP}/" in self.lab.run_in(instance_id, ["ip", "-4", "address"]).stdout

    def client_reaches(self, address: str) -> bool:
        return answers(self.lab.in_client(), address)

    def reaches(self, instance_id: str, address: str, *options: str) -> bool:
        """Whether a ping from the node is answered within a second."""
        ping = ["ping", "-n", "-q", "-c", "1", "-W", "1", *options, address]
        return self.lab.run_in(instance_id, ping, check=False).returncode == 0

    def python(self, instance_id: str, code: str, *arguments: str, check: bool = True) -> str:
        """The output of a Python program that runs in the node's network."""
        words = [sys.executable, "-c", code, *arguments]
        return str(self.lab.run_in(instance_id, words, check=check).stdout.strip())

    def begin(self, prefix: Sequence[str], code: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program in a node's or the client's network, and return once it prints a line."""
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def metadata(self, instance_id: str, timeout_s: float = 2) -> str:
        """How the metadata service answers the node: the status of a token request, or the error's name."""
        return self.python(instance_id, METADATA, str(timeout_s))

    def api(self, instance_id: str, timeout_s: float = 2) -> str:
        """How the EC2 API answers the node's own DescribeNetworkInterfaces: `OK`, an error's code, or its name."""
        return self.python(instance_id, API, str(timeout_s))

    def clean(self) -> None:
        """Turn both nodes on and take the VIP off them, as every test expects to find them."""
        for instance_id in (self.a, self.b):
            if self.state(instance_id) == "stopped":
                self.ec2.start_instances(InstanceIds=[instance_id])
            self.lab.ask("power-on", instance_id=instance_id)
            self.wait_for_power(instance_id)
            if VIP in self.addresses(instance_id)[1:]:
                self.ec2.unassign_private_ip_addresses(
                    NetworkInterfaceId=self.eni(instance_id), PrivateIpAddresses=[VIP]
                )
            if self.in_os(instance_id):
                self.lab.run_in(instance_id, ["ip", "address", "flush", "to", VIP, "dev", "ens5"])


def eventually(
    holds: Callable[[], bool],
    within_s: float = LIMIT_S,
    what: str = "it does not hold",
    pause_s: float = 0.02,
) -> None:
    """`wait_for` with the tests' defaults."""
    wait_for(what, holds, within_s, pause_s=pause_s)


METADATA = """
import sys, urllib.request
asked = urllib.request.Request("http://169.254.169.254/latest/api/token", method="PUT")
asked.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print(opener.open(asked, timeout=float(sys.argv[1])).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(type(getattr(error, "reason", error)).__name__)
"""

API = """
import sys
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
once = Config(connect_timeout=float(sys.argv[1]), read_timeout=float(sys.argv[1]),
    retries={"total_max_attempts": 1}, proxies={})
try:
    ec2 = boto3.client("ec2", region_name="us-east-1", config=once, verify=False,
        endpoint_url="https://198.51.100.10")
    ec2.describe_network_interfaces()
    print("OK")
except ClientError as error:
    print(error.response["Error"]["Code"])
except BotoCoreError as error:
    print(type(error).__name__)
"""

SAY = "print('ready', flush=True)"
LISTEN = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 7000)); s.settimeout(1.5)
{SAY}
try:
    print(s.recvfrom(100)[1][0])
except TimeoutError:
    print("nothing")
"""
SEND = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 0))
s.sendto(b"hello", ({CLIENT_ADDRESS!r}, 7000))
"""
