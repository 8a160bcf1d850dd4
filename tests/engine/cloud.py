"""An emulated AWS account and the stacks deployed to it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from moto.ec2.models import ec2_backends
from moto.ssm.models import ssm_backends

from tests.aws.emulator import Emulator, Settings
from tests.lab.pulumi_stack import PulumiStack

from .guests import Guests

ROOT = Path(__file__).resolve().parents[2]
REGION, ZONE = "us-east-1", "us-east-1a"
GONE = ("shutting-down", "terminated")


class Cloud:
    """One account in one Region: its emulator, its administrator's clients, and a folder for stacks' state.

    `calls` lists the API calls so far, in order, as `service:Action`. `guests` emulates the nodes.
    """

    def __init__(self, state_dir: Path, region: str = REGION) -> None:
        self.state_dir, self.region = state_dir, region
        # A fast machine would hit EC2's API limits here, and each retry of the SDK adds a call. The lab and the
        # tests of the emulator's throttle cover the limits.
        self.settings = Settings(throttle=False)
        self.calls: list[str] = []
        self._waiting: list[tuple[str, int, threading.Event]] = []
        self.guests = Guests(self._give)
        self.emulator = Emulator(
            region=region, settings=self.settings, machines=self.guests, record=self._note
        )
        self.guests.emulator = self.emulator
        self.url = self.emulator.serve("127.0.0.1").url
        self.ec2: Any = self.client("ec2", self.emulator.administrator)
        self.iam: Any = self.client("iam", self.emulator.administrator)
        self.ssm: Any = self.client("ssm", self.emulator.administrator)
        self._born_with = self.inventory()

    def __enter__(self) -> Cloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.emulator.close()

    def stack(
        self,
        name: str = "local",
        settings: Mapping[str, Any] | None = None,
        *,
        project: Path = ROOT,
        key: tuple[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> PulumiStack:
        """A stack of a project, with changed settings and more environment variables.

        It runs with an access key, by default the administrator's.
        """
        key = key or self.emulator.administrator
        account = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        stack = PulumiStack(project, name, self.state_dir, {**account, **(env or {})})
        if settings:
            stack.configure(settings)
        return stack

    def instances(self) -> dict[str, dict[str, Any]]:
        """The instances that are not gone, by name."""
        found: dict[str, dict[str, Any]] = {}
        for reservation in self.ec2.describe_instances()["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] not in GONE:
                    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                    found[tags.get("Name", instance["InstanceId"])] = instance
        return found

    def holder(self, vip: str) -> str | None:
        """The name of the instance whose interface has the VIP, or None."""
        for name, instance in self.instances().items():
            for interface in instance["NetworkInterfaces"]:
                if vip in [address["PrivateIpAddress"] for address in interface["PrivateIpAddresses"]]:
                    return name
        return None

    def move(self, vip: str, to: str) -> None:
        """Give the VIP to the named instance, as a node's agent would."""
        self._give(vip, self.instances()[to]["InstanceId"])

    def _give(self, vip: str, instance_id: str) -> None:
        interface = self.emulator.instance(instance_id).interface
        assert interface is not None
        self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=interface.eni_id, PrivateIpAddresses=[vip], AllowReassignment=True
        )

    def leftovers(self) -> dict[str, set[str]]:
        """What the account has now and did not have at first, by kind; empty if a stack left nothing."""
        now = self.inventory()
        extra = {kind: ids - self._born_with[kind] for kind, ids in now.items()}
        return {kind: ids for kind, ids in extra.items() if ids}

    def inventory(self) -> dict[str, set[str]]:
        """The ids of everything that a stack may create, by kind."""
        ec2 = self.ec2
        subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
        return {
            "vpcs": _ids(ec2.describe_vpcs()["Vpcs"], "VpcId"),
            "subnets": set(subnets),
            "reservations": {
                reservation["SubnetCidrReservationId"]
                for subnet in subnets
                for reservation in ec2.get_subnet_cidr_reservations(SubnetId=subnet)[
                    "SubnetIpv4CidrReservations"
                ]
            },
            "gateways": _ids(ec2.describe_internet_gateways()["InternetGateways"], "InternetGatewayId"),
            "route tables": _ids(ec2.describe_route_tables()["RouteTables"], "RouteTableId"),
            "groups": _ids(ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
            "endpoints": {
                endpoint["VpcEndpointId"]
                for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"]
                if str(endpoint["State"]).lower() != "deleted"
            },
            "placement groups": _ids(ec2.describe_placement_groups()["PlacementGroups"], "GroupName"),
            "interfaces": _ids(ec2.describe_network_interfaces()["NetworkInterfaces"], "NetworkInterfaceId"),
            "volumes": _ids(ec2.describe_volumes()["Volumes"], "VolumeId"),
            "instances": {instance["InstanceId"] for instance in self.instances().values()},
            "roles": _ids(self.iam.list_roles()["Roles"], "RoleName"),
            "profiles": _ids(self.iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"),
        }

    def reached(self, action: str, nth: int = 1) -> threading.Event:
        """An event that is set at the nth API call of that kind, such as `ec2:CreateSubnet`, from now on."""
        event = threading.Event()
        self._waiting.append((action, self.calls.count(action) + nth, event))
        return event

    def user(self, name: str, policy: str) -> tuple[str, str]:
        """Create a user with that policy attached; returns its access key."""
        self.iam.create_user(UserName=name)
        made = self.iam.create_policy(PolicyName=name, PolicyDocument=policy)
        self.iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextlib.contextmanager
    def newer_image(self, parameter: str) -> Iterator[str]:
        """Let the public parameter name another image, as AWS does every few weeks; yields the image's id.

        Only AWS can write this parameter, so we bypass the API.
        """
        (entry,) = ssm_backends[self.emulator.account_id][REGION]._parameters[parameter]
        before, images = entry.value, self.ec2.describe_images()["Images"]
        entry.value = next(image["ImageId"] for image in images if image["ImageId"] != before)
        try:
            yield entry.value
        finally:
            entry.value = before

    @contextlib.contextmanager
    def withdrawn_image(self, image_id: str) -> Iterator[None]:
        """Withdraw the image, as its owner, another account, might."""
        images = ec2_backends[self.emulator.account_id][self.region].amis
        withdrawn = images.pop(image_id)
        try:
            yield
        finally:
            images[image_id] = withdrawn

    def client(self, service: str, key: tuple[str, str], token: str | None = None) -> Any:
        """A client for an access key, with its session token if it is a role's."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=self.region,
            endpoint_url=self.url,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            aws_session_token=token,
        )

    def _note(self, event: dict[str, Any]) -> None:
        if event["kind"] != "api":
            return
        call = f"{event['service']}:{event['action']}"
        self.calls.append(call)
        for action, count, reached in self._waiting:
            if action == call and self.calls.count(action) >= count:
                reached.set()


def _ids(found: list[dict[str, Any]], key: str) -> set[str]:
    return {str(one[key]) for one in found}


def drop_half_written(stack: PulumiStack) -> None:
    """Do what docs/operations.md says if Pulumi was killed just as it wrote the state.

    It writes the state itself whole or not at all, but not the file beside it, which it can do without.
    """
    for beside in stack.state_dir.glob(f"backend/.pulumi/stacks/{stack.project}/{stack.stack}.json.attrs"):
        if not beside.stat().st_size:
            beside.unlink()


def end(process: subprocess.Popen[str]) -> None:
    """Kill `pulumi` if it still runs, and close its output."""
    if process.poll() is None:
        process.kill()
        process.wait(10)
    if process.stdout:
        process.stdout.close()
