"""One account in one Region: moto's objects, and the state that moto does not keep."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.iam.models import iam_backends
from moto.ssm.models import ssm_backends
from moto.sts.models import sts_backends

from .addresses import AddressBook, reserved
from .faults import Faults
from .images import add_images
from .lifecycle import Lifecycle
from .model import TERMINATED, GroupRule, Instance, Interface, Machines
from .partitions import Partition
from .scheduler import Scheduler
from .settings import Settings

log = logging.getLogger(__name__)

Event = dict[str, Any]


class World:
    """All state of one emulator. Hold `lock` to touch moto's objects, but never while you wait."""

    def __init__(
        self,
        account_id: str,
        region: str,
        settings: Settings,
        machines: Machines | None,
        on_change: Callable[[], None] | None,
        record: Callable[[Event], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.account_id, self.region, self.settings = account_id, region, settings
        self.partition = Partition.of(region)
        self.clock = clock
        self.lock = threading.RLock()
        self.ec2: Any = ec2_backends[account_id][region]
        self.iam: Any = iam_backends[account_id][self.partition.name]
        self.sts: Any = sts_backends[account_id][self.partition.name]
        add_images(self.ec2, account_id, region)
        self.scheduler = Scheduler()
        self.faults = Faults(self.note)
        self._on_change = on_change
        self._record = record
        self._thread = threading.local()
        self._telling = threading.Lock()
        self.addresses = AddressBook(settings, self.scheduler, self.changed, self.note)
        self.lifecycle = Lifecycle(self, machines)
        self.placement_groups: dict[str, dict[str, Any]] = {}
        self.launches: dict[str, Any] = {}  # reservations by client token
        self.shared: dict[str, str] = {}  # owners of subnets, and their VPCs, of other accounts

    def close(self) -> None:
        """Stop the threads and free the account's memory; moto would keep it for the life of the process."""
        self.scheduler.close()
        self.lifecycle.close()
        with self.lock:
            for backends in (ec2_backends, iam_backends, ssm_backends, sts_backends):
                backends.pop(self.account_id, None)

    def arn(
        self, service: str, resource: str, *, account: str | None = None, region: str | None = None
    ) -> str:
        """An ARN in this partition. `account` and `region` default to this world's; "" means none."""
        return ":".join(
            (
                "arn",
                self.partition.name,
                service,
                self.region if region is None else region,
                self.account_id if account is None else account,
                resource,
            )
        )

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Hold the lock for one API call. Meanwhile `changed` does nothing; the API server calls it later.

        If `changed` ran under the lock, it could wait for another thread that waits for the lock.
        """
        with self.lock:
            self._thread.answering = True
            try:
                yield
            finally:
                self._thread.answering = False

    def changed(self) -> None:
        """Tell the data plane of a change. Its errors must not become answers of the API."""
        if self._on_change is not None and not getattr(self._thread, "answering", False):
            try:
                with self._telling:  # one at a time, so the last call sees the newest state
                    self._on_change()
            except Exception:
                log.exception("on_change failed")

    def note(self, event: Event) -> None:
        """Record an event with both clocks: `t` is monotonic, `wall` since the epoch, both in seconds."""
        if self._record is not None:
            try:
                self._record({"t": time.monotonic(), "wall": time.time(), **event})
            except Exception:
                log.exception("record failed")

    def clock_of(self, instance_id: str | None) -> float:
        """The world's time of day, in seconds since the epoch, as an instance sees it.

        All instances run on this machine's clock. To put one ahead, we set the world's time back for it.
        """
        return self.clock() - self.faults.clock_error(instance_id)

    def owner_of(self, resource_id: str) -> str:
        """The account that owns a subnet or VPC: this one, unless another account has shared it."""
        return self.shared.get(resource_id, self.account_id)

    # Addresses

    def used_addresses(self, vpc_id: str) -> set[str]:
        return {
            item["PrivateIpAddress"]
            for eni in self.ec2.enis.values()
            if eni.vpc_id == vpc_id
            for item in eni.private_ip_addresses
        }

    def free_address(self, subnet: Any, besides: Collection[str] = ()) -> str:
        """The lowest address that AWS might pick itself: unused, not one AWS keeps, and not in a reservation.

        Raises `InsufficientFreeAddressesInSubnet` if none is left.
        """
        network = ipaddress.IPv4Network(subnet.cidr_block)
        taken = {*self.used_addresses(subnet.vpc_id), *besides, *reserved(subnet.cidr_block)}
        kept = [reservation.cidr for reservation in subnet._cidr_reservations]
        for ip in network.hosts():
            if str(ip) not in taken and not any(ip in cidr for cidr in kept):
                return str(ip)
        raise EC2ClientError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of "
            "instances.",
        )

    def check_launch_addresses(self, subnet: Any, wanted: Iterable[str]) -> None:
        """Raise an EC2 error unless each address is in the subnet, not one AWS keeps, and free.

        RunInstances and CreateNetworkInterface check requested addresses in this way. Sources of the texts:
        JamesWoolfenden/terraform-aws-cassandra#18 (range), pulumi/pulumi#8679 and #10923 (in use).
        """
        used = self.used_addresses(subnet.vpc_id)
        for address in wanted:
            try:
                ip = ipaddress.IPv4Address(address)
            except ValueError:
                raise EC2ClientError(
                    "InvalidParameterValue", f"invalid value for parameter address: {address}"
                ) from None
            if ip not in ipaddress.IPv4Network(subnet.cidr_block):
                raise EC2ClientError(
                    "InvalidParameterValue",
                    f"Address {address} does not fall within the subnet's address range",
                )
            if address in reserved(subnet.cidr_block):
                raise EC2ClientError(
                    "InvalidParameterValue", f"Address {address} is in subnet's reserved range."
                )
            if address in used:
                raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")

    def adopt(self, eni: Any) -> None:
        """Put a new interface's secondaries into effect everywhere."""
        secondaries = [
            item["PrivateIpAddress"] for item in eni.private_ip_addresses if not item.get("Primary")
        ]
        self.addresses.adopt(eni.vpc_id, secondaries, eni.id)

    def private_dns_name(self, address: str) -> str:
        domain = "ec2.internal" if self.region == "us-east-1" else f"{self.region}.compute.internal"
        return f"ip-{address.replace('.', '-')}.{domain}"

    def address_limit(self, eni: Any) -> int | None:
        """How many addresses the interface may have, the primary included; None while unattached.

        The instance's type sets the limit. Source: EC2 user guide, using-eni, and the same in
        DescribeInstanceTypes.
        """
        return addresses_per_interface(eni.instance.instance_type) if eni.instance is not None else None

    def group(self, group_id: str) -> Any:
        group = self.ec2.get_security_group_from_id(group_id)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(group_id)
        return group

    # Snapshots for the data plane

    def find_instance(self, instance_id: str) -> Any:
        """moto's instance, or None."""
        return self.ec2.get_instance_by_id(instance_id)

    def interface(self, eni: Any) -> Interface:
        vpc = self.ec2.vpcs[eni.vpc_id]
        return Interface(
            eni_id=eni.id,
            mac=eni.mac_address,
            instance_id=eni.instance.id if eni.instance is not None else None,
            device_index=eni.device_index if eni.instance is not None else None,
            subnet_id=eni.subnet_id,
            subnet_cidr=eni.subnet.cidr_block,
            vpc_id=eni.vpc_id,
            vpc_cidr=vpc.cidr_block,
            primary=eni.private_ip_address,
            secondaries=self.addresses.routed.of(eni.id),
            security_group_ids=tuple(sorted({group.id for group in eni.group_set})),
            source_dest_check=str(eni.source_dest_check).lower() == "true",
            public_ip=eni.public_ip,
        )

    def instance(self, found: Any) -> Instance:
        primary = found.nics.get(0) if found.state != TERMINATED else None
        profile = self.profile_of(found.id)
        options = found.metadata_options
        return Instance(
            id=found.id,
            type=found.instance_type,
            image_id=found.image_id,
            user_data=decoded_user_data(found),
            interface=self.interface(primary) if primary is not None else None,
            profile=profile.name if profile is not None else None,
            role=self.role_name(profile),
            state=found.state,
            name=next((tag["value"] for tag in found.get_tags() if tag["key"] == "Name"), None),
            launch_index=int(found.ami_launch_index),
            launched=found.launch_time,
            http_endpoint=options.http_endpoint != "disabled",
            http_tokens=options.http_tokens,
            hop_limit=int(options.http_put_response_hop_limit),
        )

    def profile_of(self, instance_id: str) -> Any:
        """The instance profile associated with the instance, or None."""
        association = self.ec2.iam_instance_profile_associations.get(instance_id)
        return association.iam_instance_profile if association is not None else None

    @staticmethod
    def role_name(profile: Any) -> str | None:
        return profile.roles[0].name if profile is not None and profile.roles else None

    def rules(self) -> list[GroupRule]:
        return [
            GroupRule(
                group_id=group.id,
                direction=direction,
                protocol=rule.ip_protocol,
                from_port=rule.from_port,
                to_port=rule.to_port,
                cidr=rule.ip_range.get("CidrIp"),
                source_group_id=rule.source_group.get("GroupId"),
            )
            for groups in self.ec2.groups.values()
            for group in groups.values()
            for direction, rules in (("ingress", group.ingress_rules), ("egress", group.egress_rules))
            for rule in rules
            if rule.ip_range.get("CidrIp") or rule.source_group.get("GroupId")
        ]


@lru_cache(maxsize=64)
def addresses_per_interface(instance_type: str) -> int | None:
    """How many IPv4 addresses an interface of this instance type may have; None for an unknown type."""
    known = INSTANCE_TYPES.get(instance_type)
    return int(known["NetworkInfo"]["Ipv4AddressesPerInterface"]) if known else None


def decoded_user_data(instance: Any) -> bytes:
    """The user data as the guest reads them: the bytes, decoded from base64."""
    return base64.b64decode(str(instance.user_data)) if instance.user_data else b""
