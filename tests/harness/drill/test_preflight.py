"""The preflight's checks say right, wrong or not known, each for the right reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from infra.settings import SETTINGS
from tests.aws.emulator import Emulator, Settings
from tests.drill.prove import preflight, simulation
from tests.drill.prove.policy import prove_policies
from tests.drill.prove.preflight import VCPU_QUOTA, VPC_QUOTA, Asked, checks
from tests.drill.prove.price import price
from tests.drill.prove.report import Check

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


def session_of(key: tuple[str, str]) -> boto3.Session:
    return boto3.Session(aws_access_key_id=key[0], aws_secret_access_key=key[1], region_name="us-east-1")


class Stubbed(Asked):
    """Asks with clients whose answers a test gives, in the order of the calls."""

    def __init__(self, settings: Mapping[str, Any], policies: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(session_of(("key", "secret")), settings, policies)
        self._stubs: dict[str, Stubber] = {}

    def _stub(self, service: str) -> Stubber:
        if service not in self._stubs:
            self._stubs[service] = Stubber(self.client(service))
            self._stubs[service].activate()
        return self._stubs[service]

    def answer(self, service: str, call: str, answer: Mapping[str, Any], asked: Any = None) -> None:
        self._stub(service).add_response(call, dict(answer), asked)

    def refuse(self, service: str, call: str, code: str) -> None:
        self._stub(service).add_client_error(call, code)


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
    ],
)
def test_an_address_must_be_in_the_subnet_and_free_for_use(
    account: Account, settings: dict[str, Any], said: str
) -> None:
    for where in ({"subnetId": account.subnet}, {"vpcCidr": "10.7.0.0/16", "subnetCidr": "10.7.1.0/24"}):
        check = account.check("addresses", **{**ADDRESSES, **where, **settings})
        assert check.ok is False
        assert said in check.remedy


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


POLICY = {
    "Statement": [
        {
            "Sid": "A",
            "Effect": "Allow",
            "Action": ["ec2:StopInstances", "ec2:StartInstances"],
            "Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*",
            "Condition": {
                "StringEquals": {"aws:ResourceTag/team": "a"},
                "StringLike": {"aws:ResourceTag/run": "*"},
                "Null": {"aws:RequestTag/team": "true"},
                "ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]},
            },
        }
    ]
}
USER, ROLE = "arn:aws:iam::123456789012:user/me", "arn:aws:iam::123456789012:role/ops/deploy"


def decided(action: str, decision: str) -> dict[str, Any]:
    return {"EvalActionName": action, "EvalDecision": decision}


def simulated(caller: str, results: list[dict[str, Any]], asked: Any = None) -> Check:
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": caller})
    on.answer("iam", "simulate_principal_policy", {"EvaluationResults": results}, asked)
    return preflight._rights(on, "rights")


def test_the_rights_are_simulated_with_what_meets_the_conditions() -> None:
    def entry(key: str, kind: str, *values: str) -> dict[str, Any]:
        return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}

    asked: dict[str, Any] = {
        "PolicySourceArn": USER,
        "ActionNames": ["ec2:StopInstances", "ec2:StartInstances"],
        "ResourceArns": ["arn:aws:ec2:us-east-1:123456789012:instance/*"],
        "ContextEntries": [
            entry("aws:ResourceTag/team", "string", "a"),
            entry("aws:ResourceTag/run", "string", "0"),
            entry("aws:TagKeys", "stringList", "a", "b"),
        ],
    }
    allowed = [decided(action, "allowed") for action in asked["ActionNames"]]
    assert simulated(USER, allowed, asked).ok is True


def test_five_denied_actions_are_named() -> None:
    results = [decided(f"ec2:Call{number}", "implicitDeny") for number in range(7)]
    check = simulated(USER, [decided("ec2:Fine", "allowed"), *results])
    assert check.ok is False
    assert check.found.endswith("ec2:Call0, ec2:Call1, ec2:Call2, ec2:Call3, ec2:Call4 and 2 more")


def test_one_resource_that_is_denied_is_enough() -> None:
    specific = [
        {"EvalResourceName": name, "EvalResourceDecision": decision}
        for name, decision in (("a", "allowed"), ("b", "explicitDeny"))
    ]
    result = {**decided("ec2:StopInstances", "allowed"), "ResourceSpecificResults": specific}
    assert simulated(USER, [result]).ok is False


def test_a_session_stands_for_its_role_with_its_path() -> None:
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": "arn:aws:sts::123456789012:assumed-role/deploy/me"})
    role = {"Path": "/ops/", "RoleName": "deploy", "RoleId": "A" * 16, "Arn": ROLE, "CreateDate": 0}
    on.answer("iam", "get_role", {"Role": role}, {"RoleName": "deploy"})
    asked = {"PolicySourceArn": ROLE, "ActionNames": ANY, "ResourceArns": ANY, "ContextEntries": ANY}
    on.answer("iam", "simulate_principal_policy", {"EvaluationResults": []}, asked)
    assert preflight._rights(on, "rights").ok


def test_a_role_that_may_not_be_looked_up_is_taken_to_have_no_path() -> None:
    on = Stubbed({})
    on.refuse("iam", "get_role", "AccessDenied")
    caller = "arn:aws-cn:sts::123456789012:assumed-role/deploy/me"
    assert simulation.principal_arn(on.client("iam"), caller) == "arn:aws-cn:iam::123456789012:role/deploy"


def test_who_cannot_be_simulated_is_not_judged() -> None:
    for caller in ("arn:aws:iam::123456789012:root", "arn:aws:sts::123456789012:federated-user/me"):
        on = Stubbed({})
        on.answer("sts", "get_caller_identity", {"Arn": caller})
        assert preflight._rights(on, "rights").ok is None
    on = Stubbed({}, [POLICY])
    on.answer("sts", "get_caller_identity", {"Arn": USER})
    on.refuse("iam", "simulate_principal_policy", "NoSuchEntity")
    assert preflight._rights(on, "rights").ok is None


def test_every_statement_of_the_policies_is_simulated() -> None:
    policies = prove_policies("123456789012", "us-east-1")
    statements = [each for policy in policies for each in policy["Statement"]]
    requests = list(simulation._requests(policies))
    assert [actions for actions, _, _ in requests] == [
        [each["Action"]] if isinstance(each["Action"], str) else each["Action"] for each in statements
    ]
    keys = [[entry["ContextKeyName"] for entry in context] for _, _, context in requests]
    assert all(len(each) == len(set(each)) for each in keys)
    assert not any("*" in value for _, _, c in requests for entry in c for value in entry["ContextKeyValues"])
    json.dumps(requests)


def test_the_defaults_are_the_programs() -> None:
    defaults = {key: SETTINGS[key].default for key in ("instanceType", "platform", "publicIps")}
    assert list(defaults.values()) == [preflight.INSTANCE_TYPE, preflight.PLATFORM, preflight.PUBLIC_IPS]


def test_the_price_has_a_part_for_all_that_costs() -> None:
    session = session_of(("key", "secret"))
    plain, rich = price({}, session), price({"endpoints": True, "publicIps": False}, session)
    assert plain.parts["4 instances t3.micro"] == pytest.approx(4 * 0.5 * 0.0104)
    assert plain.parts["4 public addresses"] == pytest.approx(4 * 0.5 * 0.005)
    assert plain.total == pytest.approx(sum(part or 0.0 for part in plain.parts.values()))
    assert "3 endpoints" in rich.parts
    assert "4 public addresses" not in rich.parts
    assert "list prices of us-east-1, other Regions differ" in str(plain)


def test_a_type_without_a_known_price_is_said_so() -> None:
    found = price({"instanceType": "u-6tb1.metal"}, session_of(("key", "secret")))
    assert found.parts["4 instances u-6tb1.metal"] is None
    assert "4 instances u-6tb1.metal: price unknown" in str(found)
    assert str(found).startswith("at least")
