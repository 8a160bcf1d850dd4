"""The preflight's checks say right, wrong or not known, each for the right reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.settings import SETTINGS
from tests.aws.emulator import Emulator, Settings
from tests.drill.prove import preflight
from tests.drill.prove.preflight import VCPU_QUOTA, VPC_QUOTA, Asked, checks
from tests.drill.prove.report import Check

from .stubbed import POLICY, Stubbed, session_of

BAKED = "ami-0a12023a12023ab01"
NEW: dict[str, Any] = {
    "vpcCidr": "10.7.0.0/16",
    "subnetCidr": "10.7.1.0/24",
    "vip": "10.7.1.50",
    "nodeIps": ["10.7.1.51", "10.7.1.52"],
}
ADDRESSES: dict[str, Any] = {"vip": "10.7.1.50", "nodeIps": ["10.7.1.51", "10.7.1.52"]}


@dataclass
class Account:
    """An account that stands for the user's, with a VPC and a subnet."""

    emulator: Emulator
    session: boto3.Session
    ec2: Any
    vpc: str
    subnet: str
    calls: list[str]

    def check(self, name: str, **settings: Any) -> Check:
        """The check of that name with these settings."""
        found = {each.name: each for each in checks(self.session, settings, ())}
        return found[name]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    calls: list[str] = []
    emulator = Emulator(
        settings=Settings(throttle=False),
        record=lambda event: calls.append(event["action"]) if event["kind"] == "api" else None,
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.serve("127.0.0.1").url)
    session = session_of(emulator.administrator)
    ec2: Any = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24", AvailabilityZone="us-east-1a")
    yield Account(emulator, session, ec2, vpc, made["Subnet"]["SubnetId"], calls)
    emulator.close()


def test_a_fresh_account_passes_all_that_can_be_asked(account: Account) -> None:
    found = {each.name: each for each in checks(account.session, NEW, ())}
    assert list(found) == list(preflight.CHECKS)
    # The emulator has neither Service Quotas nor IAM's simulation.
    unknown = {"quota of vCPUs", "quota of VPCs", "rights"}
    assert {name: each.ok for name, each in found.items()} == {
        name: None if name in unknown else True for name in found
    }
    assert account.emulator.account_id in found["caller"].found
    assert found["Region"].found == "us-east-1 (partition aws)"
    assert "needs 8 more" in found["quota of vCPUs"].found
    assert found["quota of VPCs"].found.startswith("2 VPCs in use")


def test_nothing_is_made(account: Account) -> None:
    account.calls.clear()
    for where in (
        NEW,
        {**ADDRESSES, "subnetId": account.subnet},
        {**NEW, "vpcCidr": "", "vpcId": account.vpc},
    ):
        list(checks(account.session, where, ()))
    assert "DescribeVpcs" in account.calls
    assert [call for call in account.calls if not call.startswith(("Describe", "Get"))] == []


def test_what_is_denied_is_not_known_and_names_the_call(account: Account) -> None:
    iam: Any = account.session.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    session = session_of((key["AccessKeyId"], key["SecretAccessKey"]))
    found = {each.name: each for each in checks(session, NEW, [POLICY])}
    calls = {
        "quota of vCPUs": "DescribeInstances",
        "quota of VPCs": "DescribeVpcs",
        "zones of the instance type": "DescribeInstanceTypeOfferings",
        "image": "DescribeInstanceTypes",
        "rights": "SimulatePrincipalPolicy",
    }
    said = {name: each.found for name, each in found.items() if each.ok is None}
    assert said == {name: f"the caller may not call {call}" for name, call in calls.items()}
    assert all(each.ok for name, each in found.items() if name not in calls)


def test_an_account_without_iams_simulation_leaves_the_rights_unknown(account: Account) -> None:
    iam: Any = account.session.client("iam")
    iam.create_user(UserName="somebody")
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="somebody", PolicyName="all", PolicyDocument=json.dumps(allowed))
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    on = Asked(session_of((key["AccessKeyId"], key["SecretAccessKey"])), NEW, [POLICY])
    check = preflight._rights(on, "rights")
    assert check.ok is None
    assert check.found.endswith("user/somebody")


def test_another_error_is_not_passed_over(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Asked,
        "all",
        lambda *_, **__: (_ for _ in ()).throw(
            ClientError({"Error": {"Code": "RequestLimitExceeded"}}, "DescribeInstances")
        ),
    )
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        list(checks(account.session, NEW, ()))


@pytest.mark.parametrize(
    ("settings", "ok", "said"),
    [
        ({}, True, "us-east-1a"),
        ({"availabilityZone": "us-east-1a"}, True, "us-east-1a"),
        ({"availabilityZone": "us-east-1e"}, False, "but not in us-east-1e"),
        ({"instanceType": "t9.micro"}, False, "no zone of this Region"),
    ],
)
def test_the_zone_must_offer_the_type(
    account: Account, settings: dict[str, Any], ok: bool, said: str
) -> None:
    check = account.check("zones of the instance type", **{**NEW, **settings})
    assert (check.ok, bool(check.remedy)) == (ok, not ok)
    assert said in check.found


def test_the_zone_of_an_existing_subnet_counts(account: Account) -> None:
    asked = {"VpcId": account.vpc, "CidrBlock": "10.7.2.0/24", "AvailabilityZone": "us-east-1e"}
    elsewhere = account.ec2.create_subnet(**asked)["Subnet"]["SubnetId"]
    assert account.check("zones of the instance type", **ADDRESSES, subnetId=account.subnet).ok
    assert account.check("zones of the instance type", **ADDRESSES, subnetId=elsewhere).ok is False


@pytest.mark.parametrize(
    ("settings", "ok", "said"),
    [
        ({}, True, "al2023-ami"),
        ({"amiId": BAKED}, True, BAKED),
        ({"instanceType": "t4g.micro"}, True, "arm64"),
        ({"instanceType": "t4g.micro", "amiId": BAKED}, False, "is for arm64"),
        ({"amiId": "ami-0123456789abcdef0"}, False, "does not exist"),
        ({"platform": "ubuntu2404", "instanceType": "t4g.micro"}, False, "not found"),
        ({"platform": "debian12"}, True, "lacks the SSM agent"),
        ({"platform": "debian11"}, False, "debian11 is unknown"),
        ({"platform": "debian12", "amiId": BAKED}, True, BAKED),
        ({"instanceType": "t9.micro"}, False, "knows no t9.micro"),
    ],
)
def test_the_image_must_be_there_and_fit(
    account: Account, settings: dict[str, Any], ok: bool, said: str
) -> None:
    check = account.check("image", **{**NEW, **settings})
    assert (check.ok, bool(check.remedy)) == (ok, not ok)
    assert said in check.found


def test_an_address_that_is_taken_is_told_with_its_interface(account: Account) -> None:
    here = {**ADDRESSES, "subnetId": account.subnet}
    assert account.check("addresses", **here).ok
    taken = account.ec2.create_network_interface(SubnetId=account.subnet, PrivateIpAddress="10.7.1.51")
    check = account.check("addresses", **here)
    assert check.ok is False
    assert f"10.7.1.51 is on {taken['NetworkInterface']['NetworkInterfaceId']}" in check.remedy
    assert account.check("addresses", **{**here, "nodeIps": ["10.7.1.60", "10.7.1.61"]}).ok


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"vips": ["10.7.1.50", "10.8.0.1"], "vip": None}, "10.8.0.1 is outside"),
        ({"nodeIps": ["10.7.1.51", "10.7.1.1"]}, "the VPC router's address"),
        ({"nodeIps": ["10.7.1.51"]}, "1 nodeIps are set"),
        ({"vip": "10.7.1"}, "10.7.1"),
    ],
)
def test_an_address_must_be_in_the_subnet_and_free_for_use(
    account: Account, settings: dict[str, Any], said: str
) -> None:
    for where in ({"subnetId": account.subnet}, {"vpcCidr": "10.7.0.0/16", "subnetCidr": "10.7.1.0/24"}):
        check = account.check("addresses", **{**ADDRESSES, **where, **settings})
        assert check.ok is False
        assert said in f"{check.found}; {check.remedy}"


def test_a_new_subnet_must_have_room_in_the_vpc(account: Account) -> None:
    free: dict[str, Any] = {
        "vip": "10.7.9.50",
        "nodeIps": ["10.7.9.51", "10.7.9.52"],
        "subnetCidr": "10.7.9.0/24",
    }
    assert account.check("addresses", vpcId=account.vpc, **free).ok
    check = account.check("addresses", vpcId=account.vpc, subnetCidr="10.7.1.0/25", **ADDRESSES)
    assert check.ok is False
    assert f"overlaps {account.subnet} (10.7.1.0/24)" in check.remedy
    outside: dict[str, Any] = {
        "vip": "10.9.1.50",
        "nodeIps": ["10.9.1.51", "10.9.1.52"],
        "subnetCidr": "10.9.1.0/24",
    }
    assert "is outside" in account.check("addresses", vpcId=account.vpc, **outside).remedy
    assert account.check("addresses", vpcId="vpc-0123456789abcdef0", **free).ok is False
    assert account.check("addresses", subnetId="subnet-0123456789abcdef0", **ADDRESSES).ok is False


@pytest.mark.parametrize(
    ("settings", "ok"),
    [
        ({}, True),
        ({"publicIps": "false"}, False),
        ({"publicIps": False}, False),
        ({"publicIps": False, "amiId": BAKED}, False),
        ({"publicIps": False, "amiId": BAKED, "endpoints": True}, True),
        ({"publicIps": False, "endpoints": True}, False),
    ],
)
def test_a_vpc_of_the_stacks_own_has_no_way_out_without_public_addresses(
    settings: dict[str, Any], ok: bool
) -> None:
    on = Stubbed({**NEW, **settings})  # without a client: no call is needed
    assert preflight._way_out(on, "way out").ok is ok
    if not ok:
        existing = Stubbed({**ADDRESSES, "subnetId": "subnet-0123456789abcdef0", **settings})
        assert preflight._way_out(existing, "way out").ok is None


@pytest.mark.parametrize(("most", "ok"), [(17.0, False), (18.0, True)])
def test_the_quota_of_vcpus_counts_standard_on_demand_instances_and_four_more(most: float, ok: bool) -> None:
    """In use are two m5.xlarge and a t3.micro; a GPU type and a spot instance have other quotas."""
    on = Stubbed({"instanceType": "t3.micro"})
    running = [
        {"InstanceType": "m5.xlarge"},
        {"InstanceType": "m5.xlarge"},
        {"InstanceType": "t3.micro"},
        {"InstanceType": "g4dn.xlarge"},
        {"InstanceType": "m5.xlarge", "InstanceLifecycle": "spot"},
    ]
    on.answer("ec2", "describe_instances", {"Reservations": [{"Instances": running}]})
    types = [
        {"InstanceType": "m5.xlarge", "VCpuInfo": {"DefaultVCpus": 4}},
        {"InstanceType": "t3.micro", "VCpuInfo": {"DefaultVCpus": 2}},
    ]
    on.answer("ec2", "describe_instance_types", {"InstanceTypes": types})
    asked = dict(zip(("ServiceCode", "QuotaCode"), VCPU_QUOTA, strict=True))
    on.answer("service-quotas", "get_service_quota", {"Quota": {"Value": most}}, asked)
    check = preflight._vcpus(on, "quota")
    assert check.ok is ok
    assert check.found == (
        f"10 vCPUs of standard instances in use, and the run needs 8 more; the quota is {most:.0f}"
    )


def test_the_quota_of_another_family_is_not_asked() -> None:
    check = preflight._vcpus(Stubbed({"instanceType": "g4dn.xlarge"}), "quota")
    assert check.ok is None


@pytest.mark.parametrize(("most", "ok"), [(5.0, True), (2.0, False)])
def test_the_quota_of_vpcs_has_room_for_one_more(most: float, ok: bool) -> None:
    on = Stubbed(NEW)
    on.answer("ec2", "describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}, {"VpcId": "vpc-2"}]})
    asked = dict(zip(("ServiceCode", "QuotaCode"), VPC_QUOTA, strict=True))
    on.answer("service-quotas", "get_service_quota", {"Quota": {"Value": most}}, asked)
    assert preflight._vpcs(on, "quota").ok is ok


@pytest.mark.parametrize("code", ["AccessDeniedException", "NoSuchResourceException"])
def test_a_quota_that_is_not_told_leaves_the_count(code: str) -> None:
    on = Stubbed(NEW)
    on.answer("ec2", "describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]})
    on.refuse("service-quotas", "get_service_quota", code)
    check = preflight._vpcs(on, "quota")
    assert (check.ok, check.found.partition(";")[0]) == (None, "1 VPCs in use, and the run needs 1 more")


def test_a_stack_in_an_existing_vpc_needs_no_quota_of_vpcs() -> None:
    assert preflight._vpcs(Stubbed({"vpcId": "vpc-1"}), "quota").ok


def test_the_defaults_are_the_programs() -> None:
    defaults = {key: SETTINGS[key].default for key in ("instanceType", "platform", "publicIps")}
    assert list(defaults.values()) == [preflight.INSTANCE_TYPE, preflight.PLATFORM, preflight.PUBLIC_IPS]
