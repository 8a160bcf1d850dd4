"""An existing VPC and subnet: what prevents a pair in them, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from infra import resolve
from infra.config import StackConfig
from infra.errors import ConfigError
from infra.pair import FloatingIpPairArgs
from infra.sites import ExistingSubnet

from .bad_settings import GOOD, as_pulumi_gives_them
from .recording import ACCOUNT, ANSWERS, SUBNET, VPC, Answer, nothing, record

IN_SUBNET = GOOD | {"vpcCidr": "", "subnetCidr": "", "subnetId": SUBNET, "platform": "al2023"}
IN_VPC = GOOD | {"vpcCidr": "", "vpcId": VPC, "platform": "al2023"}
OWNER = "999988887777"
INTERFACES = "aws:ec2/getNetworkInterfaces:getNetworkInterfaces"
INTERFACE = "aws:ec2/getNetworkInterface:getNetworkInterface"
INSTANCES = "aws:ec2/getInstances:getInstances"
ENDPOINT = "aws:ec2/getVpcEndpoint:getVpcEndpoint"


class Ec2:
    """Answers with the reservations of a subnet, page by page, or with an error."""

    def __init__(self, *pages: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.pages, self.error = pages, error

    def get_subnet_cidr_reservations(self, SubnetId: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        assert SubnetId == SUBNET
        if self.error is not None:
            raise self.error
        page = int(NextToken)
        more = {"NextToken": str(page + 1)} if page + 1 < len(self.pages) else {}
        return {"SubnetIpv4CidrReservations": self.pages[page], **more}


def reservation(cidr: str, kind: str = "explicit", note: str = "") -> dict[str, Any]:
    return {
        "SubnetCidrReservationId": f"scr-{cidr}",
        "Cidr": cidr,
        "ReservationType": kind,
        **({"Description": note} if note else {}),
    }


def look(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    answers: Mapping[str, Answer] | None = None,
    ec2: Ec2 | None = None,
) -> FloatingIpPairArgs:
    """The component's arguments for these settings, with these answers and this EC2."""
    monkeypatch.setattr(resolve, "ec2_client", lambda: ec2 or Ec2([]))
    secrets = ["ec2vip:encryptionKey"]
    config = StackConfig.parse(as_pulumi_gives_them(settings), secrets=secrets, region="us-east-1")
    args: list[FloatingIpPairArgs] = []
    record(lambda: args.append(resolve.pair_args(config)), answers)
    return args[0]


def reserved(monkeypatch: pytest.MonkeyPatch, ec2: Ec2) -> list[str]:
    site = look(monkeypatch, IN_SUBNET, ec2=ec2).site
    assert isinstance(site, ExistingSubnet)
    return sorted(map(str, site.reserved))


def refused(monkeypatch: pytest.MonkeyPatch, *args: Any, **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        look(monkeypatch, *args, **more)
    return caught.value.problems


def on(interface_id: str, *addresses: str, instance: str = "", description: str = "") -> dict[str, Any]:
    return {
        "id": interface_id,
        "privateIps": ["10.0.250.20", *addresses],
        "description": description,
        "ownerId": ACCOUNT,
        "attachments": [{"instanceId": instance}] if instance else [],
    }


def test_an_address_of_somebody_elses_is_refused_by_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "eni-1": on("eni-1", "10.0.250.185", description="ELB app/shop"),
        "eni-2": on("eni-2", "10.0.250.187", instance="i-theirs"),
    }
    answers: dict[str, Answer] = {
        INTERFACES: {"ids": ["eni-2", "eni-1"]},
        INTERFACE: lambda args: theirs[args["id"]],
        INSTANCES: {"ids": ["i-ours"]},
    }
    assert refused(monkeypatch, IN_SUBNET, answers) == (
        f"vip 10.0.250.185 is on eni-1 (ELB app/shop; account {ACCOUNT}), and the pair would take it away; free "
        "it, or set ec2vip:vip to another address",
        f"nodeIps 10.0.250.187 is on eni-2 of i-theirs (no description; account {ACCOUNT}), and the pair would "
        "take it away; free it, or set ec2vip:nodeIps to another address",
    )


def test_the_pairs_own_nodes_are_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def instances(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args)
        return {"ids": ["i-ours"]}

    answers: dict[str, Answer] = {
        INTERFACES: {"ids": ["eni-1"]},
        INTERFACE: on("eni-1", "10.0.250.185", "10.0.250.186", instance="i-ours"),
        INSTANCES: instances,
    }
    assert look(monkeypatch, IN_SUBNET, answers).site
    assert asked[0]["instanceTags"] == {"ec2vip:pair": "ec2vip/test/ec2vip"}
    assert "stopped" in asked[0]["instanceStateNames"]


def test_a_reservation_that_covers_an_address_is_taken_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [reservation("10.0.250.184/31")], [reservation("10.0.250.187/32", note="ours by hand")]
    assert reserved(monkeypatch, Ec2(*pages)) == ["10.0.250.185", "10.0.250.187"]
    assert reserved(monkeypatch, Ec2([])) == []


def test_the_pairs_own_reservations_stay_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    note = "ec2vip/test/ec2vip: assigned by name alone"
    assert reserved(monkeypatch, Ec2([reservation("10.0.250.185/32", note=note)])) == []
    # Another stack's reservation is not the pair's own.
    other = note.replace("test", "prod")
    assert reserved(monkeypatch, Ec2([reservation("10.0.250.185/32", note=other)])) == ["10.0.250.185"]


def test_a_reservation_for_prefixes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = Ec2([reservation("10.0.250.176/28", "prefix"), reservation("10.0.250.0/28", "prefix")])
    found = refused(monkeypatch, IN_SUBNET, ec2=ec2)
    assert len(found) == 3
    assert found[0] == (
        "vip 10.0.250.185 is in the reservation scr-10.0.250.176/28 (10.0.250.176/28) of the type prefix, which "
        "AWS assigns prefixes from; set ec2vip:vip to an address outside it"
    )


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "GetSubnetCidrReservations"),
    ],
)
def test_a_program_that_cannot_ask_warns_and_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert reserved(monkeypatch, Ec2(error=error)) == []
    assert f"the CIDR reservations of {SUBNET} are not known" in caplog.text
    assert "ec2:GetSubnetCidrReservations" in caplog.text


def owned_by(owner: str) -> dict[str, Answer]:
    tokens = ("aws:ec2/getSubnet:getSubnet", "aws:ec2/getVpc:getVpc")
    return {token: {**ANSWERS[token], "ownerId": owner} for token in tokens}  # type: ignore[dict-item]


def test_a_shared_subnet_gets_no_reservations_and_says_who_can_make_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = look(monkeypatch, IN_SUBNET, owned_by(OWNER), Ec2(error=AssertionError("asked"))).site
    assert isinstance(site, ExistingSubnet)
    assert sorted(map(str, site.reserved)) == ["10.0.250.185", "10.0.250.186", "10.0.250.187"]
    assert (
        f"{SUBNET} belongs to account {OWNER}, and only the owner can reserve addresses in it" in caplog.text
    )


def test_what_cannot_be_made_in_a_shared_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = refused(monkeypatch, IN_SUBNET | {"endpoints": True}, owned_by(OWNER))
    assert problem.startswith(
        f"endpoints true is impossible in {SUBNET}: account {OWNER} shares it, and only"
    )
    (problem,) = refused(monkeypatch, IN_VPC, owned_by(OWNER))
    assert problem.startswith(
        f"vpcId {VPC} belongs to account {OWNER}, and only the owner can make subnets in it"
    )


def endpoint(private: bool, pair: str = "") -> dict[str, Any]:
    return {"id": "vpce-1", "privateDnsEnabled": private, "tags": {"ec2vip:pair": pair} if pair else {}}


@pytest.mark.parametrize("settings", [IN_SUBNET, IN_VPC], ids=["a subnet", "a VPC"])
def test_another_endpoint_with_the_private_name_is_refused(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for there in (endpoint(True), endpoint(True, pair="another")):
        assert refused(monkeypatch, settings | {"endpoints": True}, {ENDPOINT: there}) == tuple(
            f"endpoints true needs the private DNS name of com.amazonaws.us-east-1.{service}, which vpce-1 "
            f"already has in {VPC}; set ec2vip:endpoints to false and admit the nodes' security group to that "
            "endpoint"
            for service in ("ec2", "ssm")
        )


@pytest.mark.parametrize(
    "there", [endpoint(False), endpoint(True, pair="ec2vip/test/ec2vip"), nothing("EC2 VPC Endpoint")]
)
def test_an_endpoint_of_ones_own_or_without_the_name_is_in_nobodys_way(
    there: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(monkeypatch, IN_SUBNET | {"endpoints": True}, {ENDPOINT: there}).endpoints


def test_several_endpoints_are_told_of_unless_one_is_the_pairs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def several(ours: bool) -> Answer:
        def look_up(args: dict[str, Any]) -> dict[str, Any]:
            if "tags" not in args:
                raise LookupError("multiple EC2 VPC Endpoints matched; use additional constraints")
            if not ours:
                raise LookupError("no matching EC2 VPC Endpoint found")
            return endpoint(True, pair="ec2vip/test/ec2vip")

        return look_up

    look(monkeypatch, IN_SUBNET | {"endpoints": True}, {ENDPOINT: several(ours=True)})
    assert "several endpoints" not in caplog.text
    look(monkeypatch, IN_SUBNET | {"endpoints": True}, {ENDPOINT: several(ours=False)})
    assert f"{VPC} has several endpoints of com.amazonaws.us-east-1.ec2" in caplog.text
