"""Attempts to exceed the rights that the printed policies are meant to give.

AWS refuses each attempt. The administrator then succeeds with the same call on the same things, so only the
caller's rights were the reason.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.identity import parameter_policy, vip_policy
from infra.policies import Place, boundary_policy, create_policy, manage_policy
from infra.tags import PAIR

from . import escalation, escalation_of_others
from .cloud import Cloud
from .escalation import EVERYTHING, Act, Caller, Scene, Things, place_in, things

DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
PROD = "ec2vip/prod/ec2vip"
ON_ONES_OWN: dict[str, Act] = {
    **dict(escalation.administrators_place()),
    **dict(escalation_of_others.parameters()),
}
ON_OTHERS: dict[str, Act] = dict(escalation_of_others.others_things())
OF_INTERFACES: dict[str, Act] = dict(escalation_of_others.interfaces())


@dataclass
class Account:
    """An account with the pair `dev`, its deployers and an administrator."""

    cloud: Cloud
    place: Place
    own: Things
    key: tuple[str, str]
    numbers: Iterator[int]

    @property
    def administrator(self) -> Caller:
        return Caller(self.cloud.ec2, self.cloud.iam, self.cloud.ssm)

    def deployer(self, place: Place, name: str) -> Caller:
        """A new user with the policies printed for that place."""
        key = self.cloud.user(name, json.dumps(create_policy(place)))
        made = self.cloud.iam.create_policy(
            PolicyName=f"{name}-manage", PolicyDocument=json.dumps(manage_policy(place))
        )
        self.cloud.iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
        return Caller(*(self.cloud.client(service, key) for service in ("ec2", "iam", "ssm")))

    def scene(self, owner: str | None, *, own: Things | None = None) -> Scene:
        """New things for an attempt, another pair's or nobody's; the pair's own are new too, unless given."""
        return Scene(
            place=self.place,
            own=own or own_things(self.cloud, self.place),
            theirs=things(self.cloud, owner, "/", None),
            number=next(self.numbers),
        )


def own_things(cloud: Cloud, place: Place) -> Things:
    return things(cloud, place.full_name, f"/{place.full_name}/", place.boundary_arn)


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    cloud.guests.takes = False
    key = cloud.user("administrator", EVERYTHING)
    cloud.iam.create_policy(PolicyName="everything", PolicyDocument=EVERYTHING)
    cloud.ssm.put_parameter(Name="/others/secret", Value="x", Type="String")
    place = place_in(cloud)
    cloud.iam.create_policy(PolicyName=place.boundary_name, PolicyDocument=json.dumps(boundary_policy(place)))
    return Account(cloud, place, own_things(cloud, place), key, itertools.count())


@pytest.fixture(scope="module")
def deployer(account: Account) -> Caller:
    return account.deployer(account.place, "deployer")


def code_of(attempt: Act, caller: Caller, scene: Scene) -> str:
    """The error code of an attempt; empty if it succeeds."""
    try:
        attempt(caller, scene)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def refused(attempt: Act, callers: list[Caller], administrator: Caller, scene: Scene) -> None:
    """Assert that each caller is denied the attempt, and that the administrator succeeds."""
    assert [code for caller in callers if (code := code_of(attempt, caller, scene)) not in DENIED] == []
    assert code_of(attempt, administrator, scene) == ""


@pytest.mark.parametrize("name", ON_ONES_OWN)
def test_the_deploying_user_does_not_become_an_administrator(
    name: str, account: Account, deployer: Caller
) -> None:
    refused(ON_ONES_OWN[name], [deployer], account.administrator, account.scene(None))


@pytest.mark.parametrize("owner", [None, PROD], ids=["nobody's", "another-pair's"])
@pytest.mark.parametrize("name", ON_OTHERS)
def test_the_deploying_user_does_not_touch_others(
    name: str, owner: str | None, account: Account, deployer: Caller
) -> None:
    scene = account.scene(owner, own=account.own)
    refused(ON_OTHERS[name], [deployer], account.administrator, scene)


@pytest.mark.parametrize("name", OF_INTERFACES)
def test_an_interface_of_no_other_place_gets_a_tag(name: str, account: Account) -> None:
    scene = account.scene(None)
    users = [
        account.deployer(replace(account.place, **named), f"of-{scene.number}-{number}")
        for number, named in enumerate(
            ({"vpc": scene.own.vpc}, {"vpc": scene.own.vpc, "subnet": scene.own.subnet})
        )
    ]
    refused(OF_INTERFACES[name], users, account.administrator, scene)


def test_another_pairs_interface_is_never_taken(account: Account, deployer: Caller) -> None:
    taking = OF_INTERFACES["an interface of another place"]
    refused(taking, [deployer], account.administrator, account.scene(PROD, own=account.own))


def test_the_pairs_own_interface_gets_the_tag(account: Account) -> None:
    scene = account.scene(None)
    place = replace(account.place, vpc=scene.own.vpc, subnet=scene.own.subnet)
    user = account.deployer(place, f"of-{scene.number}")
    tag = [{"Key": PAIR, "Value": place.full_name}]
    user.ec2.create_tags(Resources=[escalation.untagged(user, scene)], Tags=tag)


def test_a_launch_as_the_program_makes_it_is_allowed(account: Account, deployer: Caller) -> None:
    assert code_of(escalation.launch, deployer, account.scene(None)) == ""


# The nodes' rights


def as_role(account: Account, role: str) -> Caller:
    """The clients of an instance with that role."""
    sts = account.cloud.client("sts", account.key)
    arn = account.cloud.iam.get_role(RoleName=role)["Role"]["Arn"]
    given = sts.assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]
    key = given["AccessKeyId"], given["SecretAccessKey"]
    clients = [account.cloud.client(service, key, given["SessionToken"]) for service in ("ec2", "iam", "ssm")]
    return Caller(*clients)


@pytest.fixture
def node(account: Account) -> tuple[Caller, Scene]:
    """A node of the pair, with the policies that the stack gives it."""
    scene = account.scene(None)
    role, place = scene.own.role, account.place
    subnet = f"arn:aws:ec2:{place.region}:{place.account}:subnet/{scene.own.subnet}"
    policies = {
        "all": vip_policy(subnet, place.account, place.full_name),
        "key": parameter_policy(place.parameters[0]),
        "installer": parameter_policy(place.parameters[1]),
    }
    for name, policy in policies.items():
        account.cloud.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
    return as_role(account, role), scene


def give(caller: Caller, interface: str, address: str) -> None:
    caller.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interface, PrivateIpAddresses=[address], AllowReassignment=True
    )


def test_a_node_moves_an_address_to_an_interface_with_the_pairs_tag_and_to_no_other(
    account: Account, node: tuple[Caller, Scene]
) -> None:
    caller, scene = node
    give(caller, scene.own.interface, "10.0.250.185")
    bare = escalation.untagged(account.administrator, scene)
    for tag in ([], [{"Key": PAIR, "Value": PROD}]):
        if tag:
            account.cloud.ec2.create_tags(Resources=[bare], Tags=tag)
        give(account.administrator, bare, "10.0.250.190")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            give(caller, bare, "10.0.250.185")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            caller.ec2.unassign_private_ip_addresses(
                NetworkInterfaceId=bare, PrivateIpAddresses=["10.0.250.190"]
            )


def test_the_pairs_tag_in_another_subnet_is_not_enough(account: Account, node: tuple[Caller, Scene]) -> None:
    caller, scene = node
    tag = [{"Key": PAIR, "Value": account.place.full_name}]
    account.cloud.ec2.create_tags(Resources=[scene.theirs.interface], Tags=tag)
    give(account.administrator, scene.theirs.interface, "10.0.250.190")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        give(caller, scene.theirs.interface, "10.0.250.190")


def test_a_node_reads_its_own_parameters_and_no_other(account: Account, node: tuple[Caller, Scene]) -> None:
    caller, _ = node
    for arn in account.place.parameters:
        name = arn.split(":parameter")[1]
        account.cloud.ssm.put_parameter(Name=name, Value="k", Type="String", Overwrite=True)
        assert caller.ssm.get_parameter(Name=name)["Parameter"]["Value"] == "k"
    account.administrator.ssm.get_parameter(Name="/others/secret")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.ssm.get_parameter(Name="/others/secret")


def test_whatever_the_deploying_user_gives_a_role_the_boundary_bounds_it(
    account: Account, deployer: Caller
) -> None:
    scene = account.scene(None)
    request: dict[str, Any] = {"RoleName": scene.own.role, "PolicyName": "all", "PolicyDocument": EVERYTHING}
    deployer.iam.put_role_policy(**request)
    rich = as_role(account, scene.own.role)
    give(rich, scene.own.interface, "10.0.250.185")
    attempts: list[Callable[[Caller], object]] = [
        lambda c: c.iam.create_user(UserName=f"u-{scene.number}"),
        lambda c: c.ssm.get_parameter(Name="/others/secret"),
        lambda c: c.ec2.terminate_instances(InstanceIds=[scene.own.node]),
    ]
    for attempt in attempts:
        with pytest.raises(ClientError, match="no permissions boundary allows"):
            attempt(rich)
        attempt(account.administrator)
