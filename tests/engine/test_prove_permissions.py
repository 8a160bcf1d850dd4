"""The policies that `prove` prints are enough for a run, have nothing idle, and reach nothing of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from infra.policies import Place, boundary_policy
from tests.drill.prove import hosts, leftovers, questions
from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET
from tests.drill.prove.leftovers import TAG, Clients
from tests.drill.prove.policy import STACK, prove_policies
from tests.drill.prove.preflight import checks
from tests.drill.run_command import Commands
from tests.unit.infra.policy_rules import as_list

from .cloud import REGION, Cloud

pytestmark = pytest.mark.usefixtures("managed_policies")

RUN = "20261127-1"
TAGS = [{"Key": TAG, "Value": RUN}]
SETTINGS: dict[str, Any] = {
    "vpcCidr": "10.0.0.0/16",
    "subnetCidr": "10.0.250.0/24",
    "vip": "10.0.250.185",
    "nodeIps": ["10.0.250.186", "10.0.250.187"],
    "endpoints": True,
    "ssm": True,
    "tags": {TAG: RUN},
    "readyTimeoutMinutes": 0,
}


@dataclass
class Caller:
    """A user with the printed policies alone, and the setting that the boundary needs."""

    session: boto3.Session
    key: tuple[str, str]
    boundary: str
    policies: list[dict[str, Any]]

    def client(self, service: str, **options: Any) -> Any:
        return self.session.client(service, **options)  # type: ignore[call-overload]

    def clients(self) -> Clients:
        return Clients(*map(self.client, ("ec2", "iam", "ssm")))


@pytest.fixture
def caller(fresh_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setattr(leftovers, "POLL_S", 0.05)
    monkeypatch.setattr(leftovers, "LIMIT_S", 60.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", fresh_cloud.url)
    return limited(fresh_cloud)


def limited(cloud: Cloud, partition: str = "aws", without: str = "") -> Caller:
    """A user with the printed policies alone; `without` is an action that they then lack."""
    account, region, iam = cloud.emulator.account_id, cloud.region, cloud.iam
    policies = prove_policies(account, region, partition=partition)
    for statement in (each for policy in policies for each in policy["Statement"]):
        if without in as_list(statement["Action"]):
            # A statement needs one action at least.
            kept = [each for each in as_list(statement["Action"]) if each != without]
            statement["Action"] = kept or ["ec2:DescribeTags"]
    key = cloud.user("prover", json.dumps(policies[0]))
    for number, policy in enumerate(policies[1:]):
        made = iam.create_policy(PolicyName=f"prover-{number}", PolicyDocument=json.dumps(policy))
        iam.attach_user_policy(UserName="prover", PolicyArn=made["Policy"]["Arn"])
    place = Place(account=account, region=region, stack=STACK, partition=partition)
    document = json.dumps(boundary_policy(place))
    made = iam.create_policy(PolicyName=place.boundary_name, PolicyDocument=document)
    session = boto3.Session(aws_access_key_id=key[0], aws_secret_access_key=key[1], region_name=region)
    return Caller(session, key, made["Policy"]["Arn"], policies)


def up(cloud: Cloud, caller: Caller) -> dict[str, Any]:
    """The outputs of a run's stack, as the caller deploys it."""
    settings = {**SETTINGS, "permissionsBoundary": caller.boundary, "aws:region": REGION}
    stack = cloud.stack(STACK, settings=settings, key=caller.key)
    stack.up("--skip-preview")
    return stack.outputs()


def test_a_run_needs_no_more_and_its_own_part_has_nothing_idle(fresh_cloud: Cloud, caller: Caller) -> None:
    cloud = fresh_cloud
    found = {each.name: each for each in checks(caller.session, SETTINGS, caller.policies)}
    assert not [each for each in found.values() if each.ok is False or "may not call" in each.found]
    outputs = up(cloud, caller)
    ec2 = caller.client("ec2", config=questions.ASKED)
    answers = questions.ask_all(ec2, outputs["subnetId"], TAGS)
    # The emulator authorises a malformed id on every resource. What EC2 does is not known.
    refused = [each.question.name for each in answers if each.said.startswith("UnauthorizedOperation")]
    assert refused == ["assign to a malformed id"], [each.said for each in answers]
    assert [each.question.name for each in answers if not each.same_code] == refused
    clients = hosts.launch(ec2, hosts.Site.of(outputs), RUN, own_vpc=True)
    assert clients.keys() == {SAME_SUBNET, OTHER_SUBNET}
    for client in clients.values():
        cloud.emulator.ssm_agents[client] = lambda lines: (0, "hello")
        assert Commands(caller.client("ssm")).run(client, ["echo", "hello"]) == "hello"
    for name in ("ec2vip-a", "ec2vip-b"):
        (interface,) = cloud.instances()[name]["NetworkInterfaces"]
        moved = {
            "NetworkInterfaceId": interface["NetworkInterfaceId"],
            "PrivateIpAddresses": [outputs["vip"]],
        }
        ec2.assign_private_ip_addresses(**moved, AllowReassignment=True)
        ec2.unassign_private_ip_addresses(**moved)
    hosts.end(ec2, clients)
    hosts.remove_subnet(ec2, RUN)
    leftovers.remove(caller.clients(), RUN, lambda text: None)
    assert cloud.leftovers() == {}
    allowed = {action for statement in caller.policies[-1]["Statement"] for action in statement["Action"]}
    # The emulator has neither quotas nor IAM's simulation, but it notes that they were asked for.
    assert allowed - set(cloud.calls) == set()


def test_nothing_without_the_runs_tag_can_be_ended_or_taken(fresh_cloud: Cloud, caller: Caller) -> None:
    ec2, theirs = fresh_cloud.ec2, caller.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    group = ec2.create_security_group(GroupName="others", Description="Of others", VpcId=vpc)["GroupId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    launched = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet)
    instance = launched["Instances"][0]["InstanceId"]
    tagged = [{"ResourceType": "network-interface", "Tags": TAGS}]
    run: dict[str, Any] = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    calls: list[Callable[[], Any]] = [
        lambda: theirs.terminate_instances(InstanceIds=[instance]),
        lambda: theirs.delete_network_interface(NetworkInterfaceId=interface),
        lambda: theirs.assign_private_ip_addresses(
            NetworkInterfaceId=interface, PrivateIpAddresses=["10.9.1.9"]
        ),
        lambda: theirs.delete_security_group(GroupId=group),
        lambda: theirs.create_tags(Resources=[interface], Tags=TAGS),
        lambda: theirs.create_tags(Resources=[instance], Tags=TAGS),
        lambda: theirs.create_network_interface(SubnetId=subnet, TagSpecifications=tagged),
        lambda: theirs.run_instances(**run, SubnetId=subnet, SecurityGroupIds=[group]),
    ]
    for refused in calls:
        with pytest.raises(Exception, match="UnauthorizedOperation"):
            refused()
    assert TAG not in json.dumps(ec2.describe_tags()["Tags"])


def test_what_a_run_made_gets_no_tag_of_a_pair_and_may_be_removed(fresh_cloud: Cloud, caller: Caller) -> None:
    """A refusal is for the tag of another pair alone: the same call without it is granted."""
    ec2 = fresh_cloud.ec2
    of_own = [{"Key": "ec2vip:pair", "Value": f"ec2vip/{STACK}/ec2vip"}]
    of_other = [{"Key": "ec2vip:pair", "Value": "ec2vip/prod/ec2vip"}]
    vpc = ec2.create_vpc(
        CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": of_own}]
    )["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_network_interface(
        SubnetId=subnet, TagSpecifications=[{"ResourceType": "network-interface", "Tags": TAGS}]
    )["NetworkInterface"]["NetworkInterfaceId"]
    theirs = caller.client("ec2")
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        theirs.create_tags(Resources=[made], Tags=of_other)
    theirs.create_tags(Resources=[made], Tags=[{"Key": "team", "Value": "a"}])
    theirs.delete_network_interface(NetworkInterfaceId=made)
    group = {"GroupName": "mine", "Description": "Of a run", "VpcId": vpc}
    both = [{"ResourceType": "security-group", "Tags": [*TAGS, *of_other]}]
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        theirs.create_security_group(**group, TagSpecifications=both)
    alone = [{"ResourceType": "security-group", "Tags": TAGS}]
    theirs.create_security_group(**group, TagSpecifications=alone)
    assert (
        ec2.describe_network_interfaces(Filters=[{"Name": "network-interface-id", "Values": [made]}])[
            "NetworkInterfaces"
        ]
        == []
    )
