"""The deploying user's policy suffices for everything, and every part of it is needed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from infra.deployer import SEE, deployer_policy
from tests.lab.pulumi_stack import CommandError

from .cloud import REGION, Cloud

EVERYTHING: dict[str, Any] = {"ssm": True, "endpoints": True, "platform": "al2023"}
# What pulumi-aws itself asks for and the stand-in does not; what is only done to mend what others have changed.
OF_PULUMI_AWS = {
    *(action for action in SEE if action in SEE[SEE.index("ec2:DescribeInstanceCreditSpecifications") :]),
    "iam:ListRolePolicies",
}
TO_MEND = {
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifySecurityGroupRules",
    "ec2:ModifyVpcEndpoint",
    "ec2:ReplaceRoute",
    "ec2:ReplaceRouteTableAssociation",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
}


def policy_of(cloud: Cloud) -> dict[str, Any]:
    return deployer_policy(cloud.emulator.account_id, REGION)


@pytest.fixture
def managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the emulated account have AWS's own managed policies, which moto otherwise leaves out."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")


def test_the_policy_is_enough_from_up_to_destroy_and_has_nothing_idle(
    managed_policies: None, fresh_cloud: Cloud
) -> None:
    cloud = fresh_cloud
    key = cloud.user("deployer", json.dumps(policy_of(cloud)))
    already = len(cloud.calls)
    stack = cloud.stack(settings=EVERYTHING, key=key)
    stack.configure_secret("encryptionKey", base64.b64encode(bytes(256)).decode())
    stack.up("--skip-preview")
    stack.configure({"tags": {"team": "payments"}, "instanceType": "t3.small"})
    stack.up("--skip-preview")
    stack.configure({"tags": {"group": "payments"}, "publicIps": False, "vip": "10.0.250.200", "clients": []})
    stack.up("--skip-preview")
    stack.refresh()
    stack.destroy()
    used = set(cloud.calls[already:]) - {"sts:GetCallerIdentity"}
    assert cloud.leftovers() == {}
    allowed = {action for s in policy_of(cloud)["Statement"] for action in s["Action"]}
    passed_on = {"iam:PassRole"}  # never called, but asked for beside other calls
    assert allowed - used - passed_on == OF_PULUMI_AWS | TO_MEND


@pytest.mark.parametrize("sid", ["SeeImages", "HandRoleToNodes"])
def test_without_a_part_of_it_the_up_is_refused_in_awss_words(sid: str, fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    less = policy_of(cloud)
    less["Statement"] = [statement for statement in less["Statement"] if statement["Sid"] != sid]
    stack = cloud.stack(key=cloud.user("deployer", json.dumps(less)))
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    said = caught.value.stdout + caught.value.stderr
    assert "not authorized to perform" in said


def test_the_user_cannot_end_what_is_not_the_pairs(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    key = cloud.user("deployer", json.dumps(policy_of(cloud)))
    image = cloud.ec2.describe_images()["Images"][0]["ImageId"]
    other = cloud.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    theirs = cloud.client("ec2", key)
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        theirs.terminate_instances(InstanceIds=[other])
