"""Asks AWS, before anything is made, what would stop a run of `prove`: in seconds, and with reading calls alone.

The program itself checks the settings again at each `up`; here the user learns of it before the first resource.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError

from cloudinit.platforms import PLATFORMS, NamedAmi
from infra.addressing import nesting_problems, network_problems, pair_problems
from tests.drill.aws import CONFIG, DENIED
from tests.drill.prove.report import Check
from tests.drill.prove.simulation import denied_actions, principal_arn

NODES, CLIENTS = 2, 2
# The same defaults as in infra/settings.py, which takes half a second to import.
INSTANCE_TYPE, PLATFORM, PUBLIC_IPS = "t3.micro", "al2023", True
ARCHITECTURES = ("x86_64", "arm64")

VCPU_QUOTA = ("ec2", "L-1216C47A")
"""Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPUs (Service Quotas, Amazon EC2)."""
VPC_QUOTA = ("vpc", "L-F678F1CE")
"""VPCs per Region (Service Quotas, Amazon VPC)."""
STANDARD = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")
"""The families that VCPU_QUOTA counts. That im and is belong to I is assumed."""
FILTER_VALUES = 200
"""How many values a filter may have (Amazon EC2 user guide, "Filter your resources")."""

NOT_THERE = ("InvalidAction", "NoSuchResourceException", "UnknownOperationException")
"""Codes of a service, a quota or a call that this place does not have."""
WRONG = (
    "InvalidAMIID.Malformed",
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable",
    "InvalidSubnetID.NotFound",
    "InvalidVpcID.NotFound",
    "ParameterNotFound",
)
"""Codes by which AWS says that it does not have what a setting names."""
POLICIES = "attach the policies that `python -m tests.drill.prove.policy ACCOUNT REGION` prints"
SETTINGS = "correct the stack's settings"
OTHER_TYPE = "set ec2vip:instanceType to one that this Region has, such as t3.micro"


class Asked:
    """An account and Region, and a stack's settings by their key without the project's prefix."""

    def __init__(
        self, session: boto3.Session, settings: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]
    ) -> None:
        self.session, self.policies = session, policies
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self.instance_type = str(self.get("instanceType") or INSTANCE_TYPE)
        self.platform = str(self.get("platform") or PLATFORM)

    @property
    def vips(self) -> tuple[IPv4Address, ...]:
        """The floating addresses. Raises ValueError for what is no address, as `nodes` and `new_subnet` do."""
        return tuple(IPv4Address(each) for each in self.get("vips") or [self.get("vip")] if each)

    @property
    def nodes(self) -> tuple[IPv4Address, ...]:
        return tuple(IPv4Address(each) for each in self.get("nodeIps") or ())

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @property
    def new_subnet(self) -> IPv4Network | None:
        """The CIDR of the subnet that the stack makes, if it makes one."""
        cidr = self.get("subnetCidr")
        return IPv4Network(cidr) if cidr else None

    @property
    def public_ips(self) -> bool:
        return self.flag("publicIps", PUBLIC_IPS)

    def get(self, key: str) -> Any:
        return self._settings.get(key)

    def flag(self, key: str, default: bool = False) -> bool:
        """A setting that is true or false. Pulumi's own command writes it as a text."""
        value = self.get(key)
        return default if value is None else str(value).lower() == "true"

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.session.client(service, config=CONFIG)  # type: ignore[call-overload]
        return self._clients[service]

    def all(self, call: str, items: str, **asked: Any) -> list[dict[str, Any]]:
        """All items of a paginated Describe of EC2."""
        pages = self.client("ec2").get_paginator(call).paginate(**asked)
        return [item for page in pages for item in page[items]]

    def types(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What EC2 knows of these instance types, by name. It leaves out those that the Region lacks."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(names), FILTER_VALUES):
            named = [{"Name": "instance-type", "Values": list(names[start : start + FILTER_VALUES])}]
            for each in self.all("describe_instance_types", "InstanceTypes", Filters=named):
                found[each["InstanceType"]] = each
        return found

    @functools.cached_property
    def subnet(self) -> dict[str, Any]:
        """The existing subnet that the settings name."""
        (found,) = self.client("ec2").describe_subnets(SubnetIds=[self.get("subnetId")])["Subnets"]
        return dict(found)


def checks(
    session: boto3.Session, settings: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]
) -> Iterator[Check]:
    """What must be right before anything is made, one by one as AWS answers. Nothing is made.

    `settings` are the stack's, by their key without the project's prefix. `policies` name all that the run will
    do. Raises ClientError if AWS refuses a call for another reason than the caller's rights or a wrong setting,
    and botocore's errors if it can't be reached.
    """
    on = Asked(session, settings, policies)
    for name, ask in CHECKS.items():
        try:
            yield ask(on, name)
        except ClientError as error:
            code, call = error.response["Error"]["Code"], error.operation_name
            if code in DENIED:
                yield Check(name, None, f"the caller may not call {call}", POLICIES)
            elif code in WRONG:
                yield Check(name, False, str(error.response["Error"].get("Message") or error), SETTINGS)
            else:
                raise


def _caller(on: Asked, name: str) -> Check:
    """Who calls. The ARN has the account in it."""
    return Check(name, True, str(on.client("sts").get_caller_identity()["Arn"]))


def _place(on: Asked, name: str) -> Check:
    partition = on.session.get_partition_for_region(on.region)
    return Check(name, True, f"{on.region} (partition {partition})")


def _vcpus(on: Asked, name: str) -> Check:
    if not _is_standard(on.instance_type):
        found = f"{on.instance_type} does not count to the quota of standard instances, which is all we ask"
        return Check(name, None, found, "see the quota of its family in Service Quotas")
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    reservations = on.all("describe_instances", "Reservations", Filters=running)
    counted = [
        instance["InstanceType"]
        for reservation in reservations
        for instance in reservation["Instances"]
        if _is_standard(instance["InstanceType"]) and "InstanceLifecycle" not in instance
    ]
    known = on.types(sorted({*counted, on.instance_type}))

    if on.instance_type not in known:
        return Check(name, False, f"EC2 knows no {on.instance_type} here", OTHER_TYPE)

    def vcpus(kind: str) -> int:
        return int(known[kind]["VCpuInfo"]["DefaultVCpus"])

    used = sum(vcpus(kind) for kind in counted if kind in known)
    wanted = (NODES + CLIENTS) * vcpus(on.instance_type)
    return _against(on, name, VCPU_QUOTA, used, wanted, "vCPUs of standard instances")


def _is_standard(instance_type: str) -> bool:
    family = re.match("[a-z]+", instance_type)
    return family is not None and family[0] in STANDARD


def _vpcs(on: Asked, name: str) -> Check:
    if not on.get("vpcCidr"):
        return Check(name, True, "the stack makes no VPC")
    return _against(on, name, VPC_QUOTA, len(on.all("describe_vpcs", "Vpcs")), 1, "VPCs")


def _against(on: Asked, name: str, quota: tuple[str, str], used: int, wanted: int, what: str) -> Check:
    """Whether a quota has room for what the run makes."""
    service, code = quota
    count = f"{used} {what} in use, and the run needs {wanted} more"
    try:
        asked = on.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
    except EndpointConnectionError:
        return Check(name, None, f"{count}; this Region has no Service Quotas", "compare it with your quota")
    except ClientError as error:
        if error.response["Error"]["Code"] not in (*DENIED, *NOT_THERE):
            raise
        found = f"{count}; {error.operation_name} did not tell the quota"
        return Check(name, None, found, f"compare it with the quota {code} in Service Quotas")
    most = int(asked["Quota"]["Value"])
    remedy = f"ask for a higher quota {code} in Service Quotas, or free some"
    return _judged(name, [] if used + wanted <= most else [remedy], f"{count}; the quota is {most}")


def _zones(on: Asked, name: str) -> Check:
    wanted = on.get("availabilityZone") or (on.subnet["AvailabilityZone"] if on.get("subnetId") else None)
    offers = on.all(
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": [on.instance_type]}],
    )
    zones = sorted(each["Location"] for each in offers)
    found = f"{on.instance_type} is offered in {', '.join(zones) or 'no zone of this Region'}"
    remedy = "set ec2vip:instanceType to another, or ec2vip:availabilityZone to a zone that has it"
    if wanted and wanted not in zones:
        return Check(name, False, f"{found}, but not in {wanted}", remedy)
    return Check(name, bool(zones), found, "" if zones else remedy)


def _image(on: Asked, name: str) -> Check:
    remedy = "set ec2vip:amiId to an image for that architecture, or ec2vip:instanceType to a type that fits"
    facts = on.types([on.instance_type]).get(on.instance_type)
    if facts is None:
        return Check(name, False, f"EC2 knows no {on.instance_type} here", OTHER_TYPE)
    supported = facts["ProcessorInfo"]["SupportedArchitectures"]
    wanted = next((each for each in ARCHITECTURES if each in supported), None)
    own = on.get("amiId")
    if on.platform not in PLATFORMS:
        return Check(name, False, f"platform {on.platform} is unknown", SETTINGS)
    if wanted is None:
        return Check(name, False, f"{on.instance_type} is for {', '.join(supported)}", remedy)
    images = _images(on, own, wanted)
    if not images:
        return Check(name, False, f"no image of {on.platform} for {wanted}", "set ec2vip:platform to another")
    image = max(images, key=lambda each: str(each["CreationDate"]))
    found = f"{image['ImageId']} ({image.get('Name', 'no name')}, {image['Architecture']}, {image['State']})"
    if not own and not PLATFORMS[on.platform].has_ssm_agent:
        found += "; it lacks the SSM agent, so neither nodes nor clients will be asked"
    if image["Architecture"] not in supported:
        return Check(name, False, f"{found}, but {on.instance_type} is for {', '.join(supported)}", remedy)
    return Check(
        name, image["State"] == "available", found, "" if image["State"] == "available" else SETTINGS
    )


def _images(on: Asked, own: str | None, architecture: str) -> list[dict[str, Any]]:
    """The image of the settings, or those of the platform for that architecture."""
    source = PLATFORMS[on.platform].ami[architecture]
    asked: dict[str, Any]
    if own:
        asked = {"ImageIds": [own]}
    elif isinstance(source, NamedAmi):
        filters = {"name": source.name_pattern, "architecture": architecture, "state": "available"}
        asked = {
            "Owners": [source.owner],
            "Filters": [{"Name": key, "Values": [value]} for key, value in filters.items()],
        }
    else:
        parameter = on.client("ssm").get_parameter(Name=source.parameter)["Parameter"]
        asked = {"ImageIds": [parameter["Value"]]}
    # A deprecated image can still be launched.
    return on.all("describe_images", "Images", IncludeDeprecated=True, **asked)


def _addresses(on: Asked, name: str) -> Check:
    try:
        return _placed(on, name)
    except ValueError as error:
        return Check(name, False, str(error), SETTINGS)


def _placed(on: Asked, name: str) -> Check:
    """Whether the addresses are free and in the subnet. Raises ValueError for what is no address or no CIDR."""
    if not on.vips or len(on.nodes) != NODES:
        return Check(name, False, f"{len(on.vips)} VIPs and {len(on.nodes)} nodeIps are set", SETTINGS)
    problems: list[str] = []
    if on.get("subnetId"):
        subnet = IPv4Network(on.subnet["CidrBlock"])
        problems += _taken(on)
        where = f"{on.get('subnetId')} ({subnet})"
    else:
        if on.new_subnet is None:
            return Check(name, False, "neither subnetId nor subnetCidr is set", SETTINGS)
        subnet = on.new_subnet
        problems += network_problems("subnetCidr", subnet)
        if on.get("vpcId"):
            problems += _overlaps(on, subnet)
        elif on.get("vpcCidr"):
            problems += nesting_problems(subnet, IPv4Network(on.get("vpcCidr")))
        where = f"a new subnet {subnet}"
    first, second = on.nodes
    problems += pair_problems(on.vips, (first, second), subnet)
    listed = ", ".join(map(str, (*on.vips, *on.nodes)))
    return _judged(name, problems, f"{listed} in {where}")


def _taken(on: Asked) -> Iterator[str]:
    """Which of the addresses an interface of the subnet has already."""
    wanted = [str(address) for address in (*on.vips, *on.nodes)]
    filters = {"subnet-id": [on.get("subnetId")], "addresses.private-ip-address": wanted}
    interfaces = on.all(
        "describe_network_interfaces",
        "NetworkInterfaces",
        Filters=[{"Name": key, "Values": values} for key, values in filters.items()],
    )
    for interface in interfaces:
        for address in interface["PrivateIpAddresses"]:
            if address["PrivateIpAddress"] in wanted:
                yield (
                    f"{address['PrivateIpAddress']} is on {interface['NetworkInterfaceId']}; set ec2vip:vip and "
                    "ec2vip:nodeIps to free addresses"
                )


def _overlaps(on: Asked, subnet: IPv4Network) -> Iterator[str]:
    """Which subnets of the VPC are in the new one's way, or that the VPC has no room for it."""
    vpc_id = on.get("vpcId")
    (vpc,) = on.client("ec2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    blocks = [IPv4Network(each["CidrBlock"]) for each in vpc["CidrBlockAssociationSet"]]
    if not any(subnet.subnet_of(block) for block in blocks):
        yield f"subnetCidr {subnet} is outside {vpc_id}; set ec2vip:subnetCidr to a free part of it"
    for each in on.all("describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]):
        if subnet.overlaps(IPv4Network(each["CidrBlock"])):
            yield (
                f"subnetCidr {subnet} overlaps {each['SubnetId']} ({each['CidrBlock']}); set ec2vip:subnetCidr "
                "to a free part of the VPC"
            )


def _way_out(on: Asked, name: str) -> Check:
    """What the settings imply for the nodes' way to packages and to AWS. No call can show a way behind a NAT."""
    if on.public_ips:
        return Check(name, True, "public addresses; packages and AWS come over the internet")
    packages = "packages come from the system's archives"
    if on.get("amiId"):
        packages = "the image is expected to have the packages"
    elif on.get("packageRepository"):
        packages = "packages come from ec2vip:packageRepository"
    if on.get("amiId") and on.flag("endpoints"):
        return Check(name, True, f"no public addresses; {packages}, and endpoints lead to AWS")
    found = f"no public addresses; {packages}"
    if on.get("vpcCidr"):
        remedy = (
            "set ec2vip:publicIps to true, or ec2vip:endpoints to true and ec2vip:amiId to a complete image"
        )
        return Check(name, False, f"{found}, and the new VPC has no way out", remedy)
    return Check(
        name, None, f"{found}; the settings do not say how", "give the subnet a route to a NAT gateway"
    )


def _rights(on: Asked, name: str) -> Check:
    iam = on.client("iam")
    caller = str(on.client("sts").get_caller_identity()["Arn"])
    principal = principal_arn(iam, caller)
    if principal is None:
        return Check(name, None, f"IAM does not simulate {caller}", "use a role or a user")
    try:
        denied = denied_actions(iam, principal, on.policies)
    except ClientError as error:
        if error.response["Error"]["Code"] not in (*NOT_THERE, "NoSuchEntity"):
            raise
        return Check(name, None, f"IAM can't simulate {principal}", "try the run")
    if not denied:
        return Check(name, True, f"IAM's simulation allows all that the run does to {principal}")
    shown = ", ".join(denied[:5]) + (f" and {len(denied) - 5} more" if len(denied) > 5 else "")
    return Check(name, False, f"IAM's simulation denies {shown}", POLICIES)


def _judged(name: str, problems: Sequence[str], found: str) -> Check:
    return Check(name, not problems, found, "; ".join(problems))


CHECKS: Mapping[str, Callable[[Asked, str], Check]] = {
    "caller": _caller,
    "Region": _place,
    "quota of vCPUs": _vcpus,
    "quota of VPCs": _vpcs,
    "zones of the instance type": _zones,
    "image": _image,
    "addresses": _addresses,
    "way out": _way_out,
    "rights": _rights,
}
"""The checks by name, in the order in which they are asked."""
