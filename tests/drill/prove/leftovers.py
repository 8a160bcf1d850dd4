"""Finds what a run has left in an account by the run's tag, and removes it: also what Pulumi does not know.

A killed Pulumi may not have written down what it was just making. Only what has the tag, or is inside what has
it (the routes of a table, the rules of a group), is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tests.lab.errors import LabError

TAG = "ec2vip:prove"
LIMIT_S = 900.0
"""Instances end within minutes; EC2 frees their interfaces a little later."""
POLL_S = 2.0
GONE_STATES = ("shutting-down", "terminated", "deleted", "deleting")
IN_USE = (
    "DependencyViolation",
    "InvalidNetworkInterface.InUse",
    "InvalidPlacementGroup.InUse",
    "DeleteConflict",
)


@dataclass(frozen=True)
class Clients:
    """The clients of one account and Region: EC2, IAM and the Systems Manager."""

    ec2: Any
    iam: Any
    ssm: Any


@dataclass(frozen=True)
class Kind:
    """A kind of resource: how to find those with the run's tag, and how to remove one."""

    name: str
    find: Callable[[Clients, str], Iterable[str]]
    remove: Callable[[Clients, str], object]


def found(clients: Clients, run: str) -> dict[str, list[str]]:
    """The ids of all that has the run's tag, by kind, in the order of removal; empty if nothing is left.

    Raises ClientError if the caller may not look.
    """
    seen = {kind.name: sorted(kind.find(clients, run)) for kind in KINDS}
    return {name: ids for name, ids in seen.items() if ids}


def remove(clients: Clients, run: str, say: Callable[[str], None]) -> None:
    """Remove all that has the run's tag. Returns when nothing is left.

    Raises LabError if something is still there after LIMIT_S, and ClientError if AWS refuses for another reason
    than that it is still in use.
    """
    deadline = time.monotonic() + LIMIT_S
    asked: set[str] = set()
    while left := found(clients, run):
        for kind in KINDS:
            for each in left.get(kind.name, ()):
                if each not in asked:
                    say(f"removing {kind.name} {each}")
                    asked.add(each)
                _remove(kind, clients, each)
        if not (left := found(clients, run)):
            return
        if time.monotonic() > deadline:
            words = "; ".join(f"{name} {', '.join(ids)}" for name, ids in left.items())
            raise LabError(f"after {LIMIT_S:.0f} s these are still there: {words}", "remove them by hand")
        time.sleep(POLL_S)


def _remove(kind: Kind, clients: Clients, each: str) -> None:
    try:
        kind.remove(clients, each)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in IN_USE and "NotFound" not in code and code != "NoSuchEntity":
            raise


def _tagged(run: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{TAG}", "Values": [run]}]


def _of_ec2(
    call: str, items: str, key: str, state: Callable[[dict[str, Any]], str] = lambda item: ""
) -> Callable[[Clients, str], Iterator[str]]:
    """A search by `call`, a paginated Describe, whose answer lists `items` with their id under `key`."""

    def find(clients: Clients, run: str) -> Iterator[str]:
        for page in clients.ec2.get_paginator(call).paginate(Filters=_tagged(run)):
            for item in page[items]:
                if state(item).lower() not in GONE_STATES:
                    yield str(item[key])

    return find


def _instances(clients: Clients, run: str) -> Iterator[str]:
    for page in clients.ec2.get_paginator("describe_instances").paginate(Filters=_tagged(run)):
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                # One that shuts down still has its interface, so we wait for it.
                if instance["State"]["Name"] != "terminated":
                    yield str(instance["InstanceId"])


def _placement_groups(clients: Clients, run: str) -> Iterator[str]:
    for group in clients.ec2.describe_placement_groups()["PlacementGroups"]:
        if group["State"] not in GONE_STATES and _has(group.get("Tags", ()), run):
            yield str(group["GroupName"])


def _reservations(clients: Clients, run: str) -> Iterator[str]:
    for subnet in _of_ec2("describe_subnets", "Subnets", "SubnetId")(clients, run):
        for each in clients.ec2.get_subnet_cidr_reservations(SubnetId=subnet)["SubnetIpv4CidrReservations"]:
            yield str(each["SubnetCidrReservationId"])


def _roles(clients: Clients, run: str) -> Iterator[str]:
    for page in clients.iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if _has(clients.iam.list_role_tags(RoleName=role["RoleName"])["Tags"], run):
                yield str(role["RoleName"])


def _profiles(clients: Clients, run: str) -> Iterator[str]:
    for page in clients.iam.get_paginator("list_instance_profiles").paginate():
        for profile in page["InstanceProfiles"]:
            name = profile["InstanceProfileName"]
            tagged = clients.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            if _has(tagged.get("Tags", ()), run):
                yield str(name)


def _parameters(clients: Clients, run: str) -> Iterator[str]:
    asked = [{"Key": f"tag:{TAG}", "Values": [run]}]
    for page in clients.ssm.get_paginator("describe_parameters").paginate(ParameterFilters=asked):
        for parameter in page["Parameters"]:
            yield str(parameter["Name"])


def _has(tags: Sequence[dict[str, str]], run: str) -> bool:
    return {"Key": TAG, "Value": run} in tags


def _remove_group(clients: Clients, group: str) -> None:
    """Remove a security group; first its rules, for two groups may name each other."""
    rules = clients.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    for egress, revoke in (
        (True, clients.ec2.revoke_security_group_egress),
        (False, clients.ec2.revoke_security_group_ingress),
    ):
        ids = [
            each["SecurityGroupRuleId"] for each in rules["SecurityGroupRules"] if each["IsEgress"] is egress
        ]
        if ids:
            revoke(GroupId=group, SecurityGroupRuleIds=ids)
    clients.ec2.delete_security_group(GroupId=group)


def _remove_gateway(clients: Clients, gateway: str) -> None:
    (described,) = clients.ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    for attached in described["Attachments"]:
        clients.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=attached["VpcId"])
    clients.ec2.delete_internet_gateway(InternetGatewayId=gateway)


def _remove_table(clients: Clients, table: str) -> None:
    (described,) = clients.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    for association in described["Associations"]:
        clients.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    clients.ec2.delete_route_table(RouteTableId=table)


def _remove_profile(clients: Clients, name: str) -> None:
    profile = clients.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        clients.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    clients.iam.delete_instance_profile(InstanceProfileName=name)


def _remove_role(clients: Clients, name: str) -> None:
    for policy in clients.iam.list_role_policies(RoleName=name)["PolicyNames"]:
        clients.iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for policy in clients.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        clients.iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    clients.iam.delete_role(RoleName=name)


KINDS: Sequence[Kind] = (
    Kind("instance", _instances, lambda on, each: on.ec2.terminate_instances(InstanceIds=[each])),
    Kind(
        "endpoint",
        _of_ec2("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", lambda item: str(item["State"])),
        lambda on, each: on.ec2.delete_vpc_endpoints(VpcEndpointIds=[each]),
    ),
    Kind(
        "interface",
        _of_ec2("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        lambda on, each: on.ec2.delete_network_interface(NetworkInterfaceId=each),
    ),
    Kind("security group", _of_ec2("describe_security_groups", "SecurityGroups", "GroupId"), _remove_group),
    Kind(
        "reservation",
        _reservations,
        lambda on, each: on.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=each),
    ),
    Kind("route table", _of_ec2("describe_route_tables", "RouteTables", "RouteTableId"), _remove_table),
    Kind(
        "subnet",
        _of_ec2("describe_subnets", "Subnets", "SubnetId"),
        lambda on, each: on.ec2.delete_subnet(SubnetId=each),
    ),
    Kind(
        "internet gateway",
        _of_ec2("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
        _remove_gateway,
    ),
    Kind("VPC", _of_ec2("describe_vpcs", "Vpcs", "VpcId"), lambda on, each: on.ec2.delete_vpc(VpcId=each)),
    Kind(
        "placement group",
        _placement_groups,
        lambda on, each: on.ec2.delete_placement_group(GroupName=each),
    ),
    Kind("instance profile", _profiles, _remove_profile),
    Kind("role", _roles, _remove_role),
    Kind("parameter", _parameters, lambda on, each: on.ssm.delete_parameter(Name=each)),
)
"""In the order of removal. What is still in use is tried again."""
