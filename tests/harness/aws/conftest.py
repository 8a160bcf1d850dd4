"""An emulator on loopback and a small account in it.

The VPC is 127.0.0.0/16, so a test can ask the metadata service from an instance's own address.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.emulator import Emulator, Instance, Interface, Machines, Settings
from tests.aws.emulator.partitions import Partition

REGION = "us-east-1"
DEBIAN_12 = "/aws/service/debian/release/12/latest/amd64"
SUBNET = "127.0.250.0/24"
NODE_A, NODE_B, VIP = "127.0.250.186", "127.0.250.187", "127.0.250.185"
ONCE = Config(
    retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=5, parameter_validation=False
)
DEADLINE_S = 20.0  # for a busy machine; milliseconds should do

_session = botocore.session.get_session()
_loader = _session.get_component("data_loader")
T = TypeVar("T")


class Metadata:
    """The metadata service as one instance sees it."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self._address = port, address

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Send a request; returns status, body and headers. `_` in a header's name stands for `-`."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=DEADLINE_S, source_address=(self._address, 0)
        )
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=named)
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def token(self) -> str:
        status, body, _ = self.ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="600")
        assert status == 200
        return body.decode()

    def get(self, path: str) -> str:
        """Get an item below `/latest/`, with a token."""
        status, body, _ = self.ask(f"/latest/{path}", X_aws_ec2_metadata_token=self.token())
        assert status == 200, f"{path}: {status}"
        return body.decode()

    def status(self, path: str) -> int:
        return self.ask(f"/latest/{path}", X_aws_ec2_metadata_token=self.token())[0]


class Cloud:
    """An emulator, its administrator's clients, and what most tests need in the account."""

    def __init__(self, settings: Settings | None = None, **more: Any) -> None:
        self.events: list[dict[str, Any]] = []
        more.setdefault("record", self.events.append)
        self.emulator = Emulator(settings=settings, **more)
        self.api = self.emulator.serve("127.0.0.1")
        self.imds = self.emulator.serve_imds("127.0.0.1", 0)
        self.ec2 = self.client("ec2")
        self.vpc_id = self.ec2.create_vpc(CidrBlock="127.0.0.0/16")["Vpc"]["VpcId"]
        # We name the zone, because EC2 may pick one that lacks the instance type.
        zone = f"{self.emulator.region}a"
        made = self.ec2.create_subnet(VpcId=self.vpc_id, CidrBlock=SUBNET, AvailabilityZone=zone)
        self.subnet_id = made["Subnet"]["SubnetId"]

    def client(
        self,
        service: str,
        key: str | None = None,
        secret: str | None = None,
        token: str | None = None,
        **more: Any,
    ) -> Any:
        """A client with an access key, the administrator's by default; `more` are arguments of boto3's."""
        session = botocore.session.get_session()
        session.register_component("data_loader", _loader)
        make: Any = boto3.Session(botocore_session=session).client
        return make(
            service,
            region_name=self.emulator.region,
            aws_access_key_id=key or self.emulator.administrator[0],
            aws_secret_access_key=secret or self.emulator.administrator[1],
            aws_session_token=token,
            config=ONCE,
            **{"endpoint_url": self.api.url, **more},
        )

    def image(self) -> str:
        return str(self.client("ssm").get_parameter(Name=DEBIAN_12)["Parameter"]["Value"])

    def request(self, **more: Any) -> dict[str, Any]:
        """The arguments that launch an instance, with `more` of them."""
        return {
            "ImageId": "ami-0deb1a2e12000a3d6",
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": "t3.micro",
            "SubnetId": self.subnet_id,
            **more,
        }

    def launch(self, address: str | None = None, **more: Any) -> str:
        at = {"PrivateIpAddress": address} if address else {}
        answer = self.ec2.run_instances(**self.request(**at, **more))
        return str(answer["Instances"][0]["InstanceId"])

    def instance(self, instance_id: str) -> Instance:
        return self.emulator.instance(instance_id)

    def interface(self, instance_id: str) -> Interface:
        return next(each for each in self.emulator.interfaces() if each.instance_id == instance_id)

    def eni(self, instance_id: str) -> str:
        return self.interface(instance_id).eni_id

    def described(self, eni_id: str) -> list[str]:
        """The interface's addresses as DescribeNetworkInterfaces lists them, the primary first."""
        (found,) = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"]
        return [item["PrivateIpAddress"] for item in found["PrivateIpAddresses"]]

    def assign(self, eni_id: str, *addresses: str, **more: Any) -> Any:
        return self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni_id, PrivateIpAddresses=list(addresses), **more
        )

    def role(self, name: str, *statements: dict[str, Any]) -> str:
        """Create a role with these statements and an instance profile of the same name; returns the name."""
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(TRUST))
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="given", PolicyDocument=document(*statements))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def user(self, name: str, *statements: dict[str, Any]) -> dict[str, str]:
        """Create an IAM user with these statements; returns its key as arguments for `client`."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="given", PolicyDocument=document(*statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}

    def metadata(self, instance_id: str) -> Metadata:
        return Metadata(self.imds.port, self.interface(instance_id).primary)

    def credentials(self, instance_id: str) -> dict[str, str]:
        metadata = self.metadata(instance_id)
        role = metadata.get("meta-data/iam/security-credentials/")
        found: dict[str, str] = json.loads(metadata.get(f"meta-data/iam/security-credentials/{role}"))
        return found

    def node(self, instance_id: str, service: str = "ec2") -> Any:
        """A client with the instance's own role credentials."""
        found = self.credentials(instance_id)
        return self.client(service, found["AccessKeyId"], found["SecretAccessKey"], found["Token"])

    def arn(self, kind: str, name: str) -> str:
        partition = Partition.of(self.emulator.region).name
        return f"arn:{partition}:ec2:{self.emulator.region}:{self.emulator.account_id}:{kind}/{name}"

    def calls(self, action: str) -> list[dict[str, Any]]:
        """The recorded API calls of that action."""
        return [event for event in self.events if event["kind"] == "api" and event["action"] == action]


TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def error_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, str, int]:
    """Code, message and HTTP status of the error that the call must raise."""
    with pytest.raises(ClientError) as raised:
        call(*args, **kwargs)
    answer = raised.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def eventually(read: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """Read repeatedly until the value is as wanted; returns it. Fails after DEADLINE_S seconds."""
    end = time.monotonic() + DEADLINE_S
    while True:
        found = read()
        if wanted(found):
            return found
        assert time.monotonic() < end, f"still {found!r}"
        time.sleep(0.01)


@pytest.fixture
def new_cloud() -> Iterator[Callable[..., Cloud]]:
    """A function that creates clouds with given settings; the fixture closes them."""
    made: list[Cloud] = []

    def make(settings: Settings | None = None, machines: Machines | None = None, **more: Any) -> Cloud:
        cloud = Cloud(settings, machines=machines, **more)
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        cloud.emulator.close()


@pytest.fixture
def cloud(new_cloud: Callable[..., Cloud]) -> Cloud:
    """A cloud without delays."""
    return new_cloud()
