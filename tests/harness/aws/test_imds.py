"""The instance metadata service."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from tests.aws.emulator import Settings
from tests.aws.emulator.imds import Tokens

from .conftest import NODE_A, NODE_B, SUBNET, VIP, Cloud, Metadata, document

TTL = "X_aws_ec2_metadata_token_ttl_seconds"


@pytest.fixture
def node(cloud: Cloud) -> str:
    """An instance that requires tokens, with a role and user data."""
    cloud.role("node")
    return cloud.launch(
        NODE_A,
        UserData=b"#cloud-config\n\x00\xff",
        IamInstanceProfile={"Name": "node"},
        MetadataOptions={"HttpTokens": "required"},
    )


@pytest.fixture
def metadata(cloud: Cloud, node: str) -> Metadata:
    return cloud.metadata(node)


def test_a_token_is_given_for_a_time_to_live_and_repeats_it(metadata: Metadata) -> None:
    status, body, headers = metadata.ask("/latest/api/token", "PUT", **{TTL: "21600"})
    assert (status, headers["X-aws-ec2-metadata-token-ttl-seconds"]) == (200, "21600")
    assert len(body) > 40


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "ten", "", "99999999999"])
def test_a_bad_time_to_live_is_a_400(metadata: Metadata, ttl: str) -> None:
    assert metadata.ask("/latest/api/token", "PUT", **{TTL: ttl})[0] == 400


def test_a_token_without_a_time_to_live_is_a_400(metadata: Metadata) -> None:
    assert metadata.ask("/latest/api/token", "PUT")[0] == 400


def test_without_a_good_token_there_is_nothing_but_401(metadata: Metadata) -> None:
    assert metadata.ask("/latest/meta-data/instance-id")[0] == 401
    status, body, headers = metadata.ask("/latest/meta-data/", X_aws_ec2_metadata_token="wrong")
    assert (status, headers["Content-Type"]) == (401, "text/html")
    assert b"401 - Unauthorized" in body


def test_a_token_serves_its_own_instance_only(cloud: Cloud, metadata: Metadata) -> None:
    other = cloud.metadata(cloud.launch(NODE_B))
    token = metadata.token()
    path = "/latest/meta-data/instance-id"
    assert metadata.ask(path, X_aws_ec2_metadata_token=token)[0] == 200
    assert other.ask(path, X_aws_ec2_metadata_token=token)[0] == 401


def test_a_token_ends_with_its_time() -> None:
    now = 100.0
    tokens = Tokens(lambda: now)
    token = tokens.make("i-1", 10)
    now = 109.9
    assert tokens.good(token, "i-1")
    now = 110.0
    assert not tokens.good(token, "i-1")


def test_version_1_works_only_where_tokens_are_optional(cloud: Cloud, node: str) -> None:
    lax = cloud.launch(NODE_B, MetadataOptions={"HttpTokens": "optional"})
    path = "/latest/meta-data/instance-id"
    assert cloud.metadata(lax).ask(path)[:2] == (200, lax.encode())
    assert cloud.metadata(lax).ask(path, X_aws_ec2_metadata_token="wrong")[0] == 401
    cloud.ec2.modify_instance_metadata_options(InstanceId=lax, HttpTokens="required")
    assert cloud.metadata(lax).ask(path)[0] == 401
    assert cloud.instance(lax).hop_limit == 1, "what was not named stays"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "/2021-03-23/api/token", {TTL: "60"}, 403),
        ("PUT", "/latest/api/token", {TTL: "60", "X_Forwarded_For": "10.0.0.1"}, 403),
        ("PUT", "/latest/meta-data/", {TTL: "60"}, 405),
        ("POST", "/latest/api/token", {}, 405),
        ("DELETE", "/latest/meta-data/", {}, 405),
    ],
)
def test_what_is_not_allowed_has_its_own_status(
    metadata: Metadata, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert metadata.ask(path, method, **headers)[0] == status


def test_a_service_that_is_off_refuses_everything(cloud: Cloud, node: str, metadata: Metadata) -> None:
    cloud.ec2.modify_instance_metadata_options(InstanceId=node, HttpEndpoint="disabled")
    assert metadata.ask("/latest/api/token", "PUT", **{TTL: "60"})[0] == 403
    assert metadata.ask("/latest/meta-data/")[0] == 403


def test_what_is_not_there_is_a_404(metadata: Metadata) -> None:
    mac = metadata.get("meta-data/mac")
    for path in (
        "meta-data/nothing",
        "meta-data/instance-id/",
        "meta-data/public-ipv4",
        f"meta-data/network/interfaces/macs/{mac}/ipv6s",
        f"meta-data/network/interfaces/macs/{mac}/public-ipv4s",
        "meta-data/tags/instance",
    ):
        assert metadata.status(path) == 404, path
    token = metadata.token()
    assert metadata.ask("/1999-01-01/meta-data/", X_aws_ec2_metadata_token=token)[0] == 404


def test_an_address_of_nobody_gets_nothing(cloud: Cloud, node: str) -> None:
    assert Metadata(cloud.imds.port, "127.0.250.99").ask("/latest/meta-data/")[0] == 404


def test_a_head_request_has_no_body(metadata: Metadata) -> None:
    status, body, _ = metadata.ask(
        "/latest/meta-data/instance-id", "HEAD", X_aws_ec2_metadata_token=metadata.token()
    )
    assert (status, body) == (200, b"")


def test_the_interface_is_described_below_its_mac(cloud: Cloud, node: str, metadata: Metadata) -> None:
    interface = cloud.interface(node)
    base = f"meta-data/network/interfaces/macs/{interface.mac}/"
    assert metadata.get("meta-data/network/interfaces/macs/") == f"{interface.mac}/"
    for name, value in {
        "device-number": "0",
        "interface-id": interface.eni_id,
        "local-ipv4s": NODE_A,
        "local-hostname": "ip-127-0-250-186.ec2.internal",
        "mac": interface.mac,
        "owner-id": cloud.emulator.account_id,
        "security-group-ids": interface.security_group_ids[0],
        "security-groups": "default",
        "subnet-id": cloud.subnet_id,
        "subnet-ipv4-cidr-block": SUBNET,
        "vpc-id": cloud.vpc_id,
        "vpc-ipv4-cidr-block": "127.0.0.0/16",
        "vpc-ipv4-cidr-blocks": "127.0.0.0/16",
    }.items():
        assert metadata.get(base + name) == value, name


def test_local_addresses_follow_a_move_with_the_primary_first(cloud: Cloud, node: str) -> None:
    other = cloud.launch(NODE_B)

    def shown(instance_id: str) -> list[str]:
        mac = cloud.interface(instance_id).mac
        return (
            cloud.metadata(instance_id)
            .get(f"meta-data/network/interfaces/macs/{mac}/local-ipv4s")
            .split("\n")
        )

    cloud.assign(cloud.eni(node), VIP)
    assert (shown(node), shown(other)) == ([NODE_A, VIP], [NODE_B])
    cloud.assign(cloud.eni(other), VIP, AllowReassignment=True)
    assert (shown(node), shown(other)) == ([NODE_A], [NODE_B, VIP])


def test_user_data_are_raw_and_absent_when_there_are_none(cloud: Cloud, metadata: Metadata) -> None:
    token = metadata.token()
    status, body, headers = metadata.ask("/latest/user-data", X_aws_ec2_metadata_token=token)
    assert (status, body) == (200, b"#cloud-config\n\x00\xff")
    assert headers["Content-Type"] == "application/octet-stream"
    bare = cloud.metadata(cloud.launch(NODE_B))
    assert bare.status("user-data") == 404


def test_the_identity_document_names_the_primary_address_only(
    cloud: Cloud, node: str, metadata: Metadata
) -> None:
    cloud.assign(cloud.eni(node), VIP)
    document = json.loads(metadata.get("dynamic/instance-identity/document"))
    assert document["privateIp"] == NODE_A
    assert document["instanceId"] == node
    assert (document["region"], document["version"]) == ("us-east-1", "2017-09-30")
    assert document["accountId"] == cloud.emulator.account_id


def test_an_instance_without_a_role_has_no_iam_category(cloud: Cloud) -> None:
    metadata = cloud.metadata(cloud.launch(NODE_B))
    assert metadata.status("meta-data/iam/") == 404
    assert "iam/" not in metadata.get("meta-data/").split("\n")


def test_the_role_comes_and_goes_with_its_profile(cloud: Cloud, node: str, metadata: Metadata) -> None:
    assert metadata.get("meta-data/iam/security-credentials/") == "node"
    info = json.loads(metadata.get("meta-data/iam/info"))
    assert info["InstanceProfileArn"].endswith(":instance-profile/node")
    associations = cloud.ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    cloud.ec2.disassociate_iam_instance_profile(AssociationId=associations[0]["AssociationId"])
    assert metadata.status("meta-data/iam/security-credentials/") == 404
    cloud.ec2.associate_iam_instance_profile(InstanceId=node, IamInstanceProfile={"Name": "node"})
    assert metadata.get("meta-data/iam/security-credentials/") == "node"


def test_a_role_that_does_not_trust_ec2_has_no_credentials(cloud: Cloud, metadata: Metadata) -> None:
    other = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    cloud.client("iam").update_assume_role_policy(RoleName="node", PolicyDocument=document(other))
    found = json.loads(metadata.get("meta-data/iam/security-credentials/node"))
    assert found["Code"] == "AssumeRoleUnauthorizedAccess"
    assert "AccessKeyId" not in found
    assert json.loads(metadata.get("meta-data/iam/info"))["Code"] == "AssumeRoleUnauthorizedAccess"


def test_a_profile_without_a_role_has_no_credentials(cloud: Cloud, node: str, metadata: Metadata) -> None:
    cloud.client("iam").remove_role_from_instance_profile(InstanceProfileName="node", RoleName="node")
    assert metadata.status("meta-data/iam/security-credentials/") == 404
    assert metadata.status("meta-data/iam/info") == 200


def test_tags_are_shown_only_where_the_instance_allows_it(cloud: Cloud) -> None:
    instance_id = cloud.launch(
        NODE_B,
        MetadataOptions={"InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "b"}]}],
    )
    assert cloud.metadata(instance_id).get("meta-data/tags/instance/Name") == "b"


@pytest.mark.parametrize("version", ["2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"])
def test_a_crawler_that_follows_the_listings_finds_every_item(metadata: Metadata, version: str) -> None:
    """As cloud-init's Ec2 datasource crawls: names that end with a slash are directories, others leaves."""
    token = metadata.token()
    leaves: dict[str, bytes] = {}

    def crawl(path: str) -> None:
        status, body, _ = metadata.ask(path, X_aws_ec2_metadata_token=token)
        assert status == 200, path
        for name in body.decode().splitlines():
            if name.endswith("/"):
                crawl(path + name)
            else:
                status, leaf, _ = metadata.ask(path + name, X_aws_ec2_metadata_token=token)
                assert status == 200, path + name
                leaves[path + name] = leaf

    crawl(f"/{version}/meta-data/")
    crawl(f"/{version}/dynamic/")
    names = {name.split("/", 3)[3] for name in leaves}
    assert {"instance-id", "placement/availability-zone", "iam/security-credentials/node"} <= names
    assert "instance-identity/document" in names


def test_the_hop_limit_is_the_time_to_live_of_the_tokens_answer(
    cloud: Cloud, node: str, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[int] = []
    original = socket.socket.setsockopt

    def watch(self: socket.socket, level: int, option: int, *value: int) -> None:
        if (level, option) == (socket.IPPROTO_IP, socket.IP_TTL):
            set_to.append(value[0])
        original(self, level, option, *value)

    cloud.ec2.modify_instance_metadata_options(InstanceId=node, HttpPutResponseHopLimit=5)
    monkeypatch.setattr(socket.socket, "setsockopt", watch)
    metadata.get("meta-data/instance-id")
    assert set_to == [5, 64], "the token's answer, then an item's"


def test_credentials_are_the_same_until_five_minutes_before_their_end(
    new_cloud: Callable[..., Cloud],
) -> None:
    now = 1_800_000_000.0
    cloud = new_cloud(Settings(credential_lifetime_s=3600, clock_skew_s=1e12), clock=lambda: now)
    cloud.role("node")
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    first = cloud.credentials(instance_id)
    assert first["AccessKeyId"].startswith("ASIA")
    assert (first["Code"], first["Type"]) == ("Success", "AWS-HMAC")
    now += 3600 - 300
    assert cloud.credentials(instance_id) == first
    now += 1
    renewed = cloud.credentials(instance_id)
    assert renewed["AccessKeyId"] != first["AccessKeyId"]
    assert renewed["Expiration"] > first["Expiration"]
