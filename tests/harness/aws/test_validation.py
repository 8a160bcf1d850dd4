"""Requests that a service refuses because its model or the resource's schema does not allow them."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from tests.aws.emulator import schemas

from .conftest import REGION, Cloud, document, error_of

RULE_DESCRIPTION = (
    "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  "
    "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
)
DESCRIPTION = RULE_DESCRIPTION.replace("rule", "security group")
PERMISSION = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}


def raw(cloud: Cloud, service: str, **parameters: str) -> str:
    """Send a signed query request with exactly these parameters; returns the body of the answer."""
    key = Credentials(*cloud.emulator.administrator)
    request = AWSRequest("POST", cloud.api.url + "/", data=parameters)
    SigV4Auth(key, service, REGION).add_auth(request)
    return URLLib3Session().send(request.prepare()).text


def made_group(cloud: Cloud) -> str:
    return str(cloud.ec2.create_security_group(GroupName="g", Description="g", VpcId=cloud.vpc_id)["GroupId"])


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        (
            {"Action": "DescribeVpcs", "VpcIdd.1": "vpc-1"},
            "UnknownParameter",
            "The parameter VpcIdd.1 is not recognized",
        ),
        (
            {"Action": "CreateTags", "ResourceId.1": "vpc-1", "Tag.1.Kee": "a"},
            "UnknownParameter",
            "The parameter Tag.1.Kee is not recognized",
        ),
        ({"Action": "DescribeVpcs", "VpcId.x": "vpc-1"}, "UnknownParameter", "VpcId.x"),
        ({"Action": "CreateSubnet", "CidrBlock": "10.0.0.0/24"}, "MissingParameter", "parameter vpcId"),
        (
            {"Action": "RunInstances", "MinCount": "one", "MaxCount": "1"},
            "InvalidParameterValue",
            "Value (one) for parameter MinCount",
        ),
        (
            {"Action": "RunInstances", "MinCount": "1", "MaxCount": "1", "InstanceType": "t3.tiny"},
            "InvalidParameterValue",
            "Invalid value 't3.tiny' for InstanceType.",
        ),
        ({"Action": "LaunchRocket"}, "InvalidAction", "LaunchRocket"),
    ],
)
def test_ec2_refuses_what_its_model_does_not_have(
    cloud: Cloud, parameters: dict[str, str], code: str, text: str
) -> None:
    body = raw(cloud, "ec2", Version="2016-11-15", **parameters)
    assert f"<Code>{code}</Code>" in body
    assert text in body.replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"},
            "1 validation error detected: Value 'a b' at 'roleName' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\w+=,.@-]+",
        ),
        (
            {"RoleName": "r" * 65, "AssumeRolePolicyDocument": "{}"},
            "at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64",
        ),
        ({"RoleName": "r"}, "Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: "),
        (
            {"RoleName": "", "AssumeRolePolicyDocument": "{}", "Path": "x"},
            "3 validation errors detected: Value '' at 'roleName' failed to satisfy constraint: Member must ",
        ),
        (
            {
                "RoleName": "r",
                "AssumeRolePolicyDocument": "{}",
                "Tags": [{"Key": "ok", "Value": "Q&A"}],
            },
            "1 validation error detected: Value 'Q&A' at 'tags.1.member.value' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*",
        ),
    ],
)
def test_iam_refuses_what_its_model_does_not_allow(cloud: Cloud, arguments: Any, text: str) -> None:
    code, message, status = error_of(cloud.client("iam").create_role, **arguments)
    assert (code, status) == ("ValidationError", 400)
    assert text in message


def test_iam_takes_letters_of_any_script_in_tags(cloud: Cloud) -> None:
    cloud.client("iam").create_role(
        RoleName="r", AssumeRolePolicyDocument=document(), Tags=[{"Key": "Größe", "Value": "三 4.0_/=+-@"}]
    )


def test_systems_manager_refuses_what_its_model_does_not_allow(cloud: Cloud) -> None:
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/secret", Value="y", Type="SecureString")
    code, message, _ = error_of(ssm.put_parameter, Name="/x", Value="y", Type="Number")
    assert code == "ValidationException"
    assert "'Number' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [" in message
    tagged = {"Name": "/x", "Value": "y", "Type": "String", "Tags": [{"Key": "a", "Value": "b, c"}]}
    code, message, _ = error_of(ssm.put_parameter, **tagged)
    assert code == "ValidationException"
    assert "Value 'b, c' at 'tags.1.member.value'" in message
    assert error_of(ssm.get_parameter)[1].endswith(
        "'name' failed to satisfy constraint: Member must not be null"
    )


def test_a_request_is_read_as_botocore_writes_it() -> None:
    """For every action that botocore knows, we understand what it serializes from minimal parameters."""
    from botocore.serialize import create_serializer

    from tests.aws.emulator import parameters, validation

    def least(shape: Any, depth: int = 0) -> Any:
        kind = shape.type_name
        if depth > 4 and kind in ("structure", "list", "map"):
            return None
        if kind == "structure":
            made = {name: least(member, depth + 1) for name, member in shape.members.items()}
            return {name: value for name, value in made.items() if value is not None} or None
        if kind == "list":
            value = least(shape.member, depth + 1)
            return None if value is None else [value]
        if kind == "map":
            return {"k": least(shape.value, depth + 1)}
        plain = {"integer": 1, "long": 1, "float": 1.5, "double": 1.5, "boolean": True, "blob": b"x"}
        return plain.get(kind, "2026-01-01T00:00:00Z" if kind == "timestamp" else "x")

    read = 0
    for service in validation.QUERY_SERVICES:
        model = botocore.session.get_session().get_service_model(service)
        serializer = create_serializer(model.metadata["protocol"], include_validation=False)
        for action in model.operation_names:
            shape = model.operation_model(action).input_shape
            if shape is None:
                continue
            given = least(shape) or {}
            flat = {
                name: value.decode() if isinstance(value, bytes) else str(value)
                for name, value in serializer.serialize_to_request(given, model.operation_model(action))[
                    "body"
                ].items()
            }
            found, flaws = parameters.read_query(service, action, flat)
            assert not flaws, (service, action)
            assert found == given, (service, action)
            read += 1
    assert read > 700


@pytest.mark.parametrize("text", ["the pair's clients", "a\nb", "x" * 256, "größer", "a > b"])
@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_a_rules_description_is_of_ec2s_own_characters(cloud: Cloud, text: str, way: str) -> None:
    authorize = getattr(cloud.ec2, f"authorize_security_group_{way}")
    group = made_group(cloud)
    for peer in (
        {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": text}]},
        {"UserIdGroupPairs": [{"GroupId": group, "Description": text}]},
    ):
        found = error_of(authorize, GroupId=group, IpPermissions=[{**PERMISSION, **peer}])
        assert found == ("InvalidParameterValue", RULE_DESCRIPTION, 400)
    allowed = {
        "CidrIp": "10.0.0.0/8",
        "Description": "the clients: a-z_[1], (b) & {c} $*!;=+@#/." + "x" * 200,
    }
    authorize(GroupId=group, IpPermissions=[{**PERMISSION, "IpRanges": [allowed]}])


def test_a_groups_name_and_description_are_of_ec2s_own_characters(cloud: Cloud) -> None:
    make = cloud.ec2.create_security_group
    vpc = {"VpcId": cloud.vpc_id}
    assert error_of(make, GroupName="g", Description="the pair's", **vpc) == (
        "InvalidParameterValue",
        DESCRIPTION,
        400,
    )
    beyond = error_of(make, GroupName="g", Description="セキュリティ", **vpc)
    assert beyond[1] == (
        "Value (セキュリティ) for parameter GroupDescription is invalid. "
        "Character sets beyond ASCII are not supported."
    )
    assert error_of(make, GroupName="a's", Description="g", **vpc)[0] == "InvalidParameterValue"


def test_what_a_schema_enumerates_is_all_there_is(cloud: Cloud) -> None:
    found = error_of(cloud.ec2.create_placement_group, GroupName="p", Strategy="spread", SpreadLevel="planet")
    assert found[0] == "InvalidParameterValue"
    assert "planet" in found[1]
    breaches = list(schemas.breaches("AWS::EC2::VPCEndpoint", "IpAddressType", "ipv5"))
    assert [breach.keyword for breach in breaches] == ["enum"]


def test_every_type_that_actions_make_has_a_schema_and_the_properties_named() -> None:
    for (_, action), made in schemas.MADE.items():
        properties = schemas.load(made.type)["properties"]
        named = [name for name in made.names.values() if name]
        assert set(named) <= properties.keys(), action
    for type_name in schemas.RULES.values():
        assert "IpProtocol" in schemas.load(type_name)["properties"]
    pattern = schemas.load("AWS::EC2::SecurityGroup")["properties"]["GroupDescription"]["pattern"]
    assert "'" not in pattern


def test_the_schemas_are_those_that_cfn_lint_gives() -> None:
    """We read cfn-lint's schemas directly, because the library takes a second to load; this compares both."""
    assert importlib.util.find_spec("cfnlint")
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    for made in schemas.MADE.values():
        given = PROVIDER_SCHEMA_MANAGER.get_resource_schema(schemas.REGION, made.type).schema
        assert json.loads(json.dumps(given["properties"])) == schemas.load(made.type)["properties"]
