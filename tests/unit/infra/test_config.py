"""The configuration: what it reads, what it refuses, and its messages."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudinit.spec import Service
from infra.clients import ClientRule
from infra.config import StackConfig
from infra.errors import ConfigError
from infra.settings import SETTINGS, PairSettings

from .bad_settings import BAD, GOOD, RAW, SECRETS, as_pulumi_gives_them

ROOT = Path(__file__).resolve().parents[3]
SCHEMA: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]

VIP = IPv4Address("10.0.250.185")
NODES = (IPv4Address("10.0.250.186"), IPv4Address("10.0.250.187"))


def parse(settings: dict[str, Any], **context: Any) -> StackConfig:
    return StackConfig.parse(as_pulumi_gives_them(settings), region="us-east-1", **context)


def problems(settings: dict[str, Any], **context: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(settings, **context)
    return caught.value.problems


def test_good_settings_become_typed_values() -> None:
    config = parse(
        GOOD
        | {
            "availabilityZone": "us-east-1a",
            "publicIps": False,
            "tokenMs": 2000,
            "tags": {"team": "payments"},
            "packageRepository": "https://mirror.example/9-stream",
            "packageRepositoryKey": "https://mirror.example/RPM-GPG-KEY#99DB70FAE1D7CE227FB6488205B555B38483C65D",
            "clients": [
                {"protocol": "tcp", "ports": [443, "8000-8010"], "cidr": "10.0.0.0/16"},
                {"protocol": "icmp"},
            ],
        }
    )
    pair, site = config.pair, config.site
    assert pair.vips == (VIP,)
    assert pair.node_ips == NODES
    assert (site.vpc_cidr, site.subnet_cidr) == (IPv4Network("10.0.0.0/16"), IPv4Network("10.0.250.0/24"))
    assert (site.vpc_id, site.subnet_id, site.availability_zone) == (None, None, "us-east-1a")
    assert (pair.public_ips, pair.token_ms, pair.ami_id) == (False, 2000, None)
    assert pair.tags == {"team": "payments"}
    assert (pair.package_repository, pair.package_repository_key) == (
        "https://mirror.example/9-stream",
        "https://mirror.example/RPM-GPG-KEY#99DB70FAE1D7CE227FB6488205B555B38483C65D",
    )
    network = IPv4Network("10.0.0.0/16")
    assert pair.clients == (
        ClientRule(protocol="tcp", from_port=443, to_port=443, cidr=network),
        ClientRule(protocol="tcp", from_port=8000, to_port=8010, cidr=network),
        ClientRule(protocol="icmp", from_port=8, to_port=-1),
    )


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named_with_value_rule_and_remedy(name: str) -> None:
    changes, said = BAD[name]
    found = problems(GOOD | changes)
    assert any(said in problem for problem in found), found
    assert all("; " in problem or problem.endswith("?") for problem in found), found


@pytest.mark.parametrize("name", RAW)
def test_texts_that_are_no_settings_are_named_in_a_short_line(name: str) -> None:
    changes, said = RAW[name]
    found = problems(GOOD | changes)
    assert any(said in problem for problem in found), found
    assert all(len(problem) < 500 and problem.isprintable() for problem in found), found


@pytest.mark.parametrize("name", SECRETS)
def test_bad_encryption_keys_are_refused_without_showing_them(name: str) -> None:
    key, said = SECRETS[name]
    found = problems(GOOD | {"encryptionKey": key}, secrets=["ec2vip:encryptionKey"])
    assert any(said in problem for problem in found), found
    assert key not in "".join(found)


def test_a_plain_encryption_key_is_not_shown_either() -> None:
    assert "c2VjcmV0" not in "".join(problems(GOOD | {"encryptionKey": "c2VjcmV0"}))


def test_a_secret_encryption_key_is_read_as_bytes() -> None:
    key = bytes(range(128))
    settings = GOOD | {"encryptionKey": base64.b64encode(key).decode()}
    assert parse(settings, secrets=["ec2vip:encryptionKey"]).pair.encryption_key == key


def test_several_vips_take_the_place_of_one() -> None:
    config = parse(GOOD | {"vip": "", "vips": ["10.0.250.185", "10.0.250.190"]})
    assert config.pair.vips == (VIP, IPv4Address("10.0.250.190"))
    assert parse(GOOD | {"vip": "", "vips": ["10.0.250.185"]}) == parse(GOOD)


def test_services_become_what_the_cluster_runs() -> None:
    config = parse(
        GOOD
        | {
            "services": [
                {
                    "agent": "ocf:heartbeat:Filesystem",
                    "name": "data",
                    "parameters": {"directory": "/srv", "force_unmount": True, "tries": 3},
                    "packages": "nfs-common",
                    "timeouts": {"start": 120, "monitor": 40},
                    "interval": 20,
                },
                {"unit": "web@1.service", "packages": ["web"], "movesVip": False},
            ]
        }
    )
    assert config.pair.services == (
        Service(
            name="data",
            agent="ocf:heartbeat:Filesystem",
            parameters={"directory": "/srv", "force_unmount": "true", "tries": "3"},
            packages=("nfs-common",),
            start_s=120,
            monitor_s=40,
            interval_s=20,
        ),
        Service(name="web-1", agent="systemd:web@1", packages=("web",), moves_vip=False),
    )
    assert [service.unit for service in config.pair.services] == [None, "web@1.service"]


def test_a_secret_in_a_service_is_refused_without_showing_it() -> None:
    service = {"agent": "ocf:heartbeat:pgsql", "parameters": {"password": "hunter2"}}
    found = problems(GOOD | {"services": [service]}, secrets=["ec2vip:services"])
    assert found == (
        "services holds a secret, but the stack uses this setting in the clear, and others in the account can "
        "read it; set ec2vip:services without --secret, and keep secrets out of it",
    )


@pytest.mark.parametrize("key", [key for key in SETTINGS if key != "encryptionKey"])
def test_a_secret_is_refused_for_every_setting_that_is_used_in_the_clear(key: str) -> None:
    # No setting accepts this text, so any message that shows a value would show it.
    found = problems(GOOD | {key: "hunter2 "}, secrets=[f"ec2vip:{key}"])
    assert any(problem.startswith(f"{key} holds a secret, but the stack uses") for problem in found)
    assert "hunter2" not in "".join(found)


def test_a_secret_under_an_unknown_key_is_not_shown() -> None:
    found = problems(GOOD | {"encryptionkey": "hunter2"}, secrets=["ec2vip:encryptionkey"])
    assert found == ("encryptionkey is not a setting of ec2vip; did you mean encryptionKey?",)


def test_a_key_is_in_no_representation() -> None:
    key = b"k" * 128
    settings = GOOD | {"encryptionKey": base64.b64encode(key).decode()}
    assert "kkkk" not in repr(parse(settings, secrets=["ec2vip:encryptionKey"]))


def test_a_password_in_an_address_is_in_no_message() -> None:
    changes, _ = BAD["repository with a password"]
    assert "hunter2" not in "".join(problems(GOOD | changes))


@pytest.mark.parametrize(
    "unit", ["php8.2-fpm", "php8.2-fpm.service", "foo.bar.service", "corosyncd", "srv-x.mount"]
)
def test_a_units_name_may_have_dots(unit: str) -> None:
    (service,) = parse(GOOD | {"services": [{"unit": unit}]}).pair.services
    assert service.agent == f"systemd:{unit.removesuffix('.service')}"


@pytest.mark.parametrize("name", ["vips", "vip2", "ec2vips", "web", "viper-x"])
def test_a_name_that_only_looks_like_the_stacks_is_taken(name: str) -> None:
    (service,) = parse(GOOD | {"services": [{"unit": "nginx", "name": name}]}).pair.services
    assert service.name == name


def test_the_agent_of_the_systems_manager_may_be_in_an_image_of_ones_own() -> None:
    assert parse(GOOD | {"ssm": True, "amiId": "ami-0123456789abcdef0"}).pair.ssm
    assert parse(GOOD | {"ssm": True, "platform": "al2023"}).pair.ssm
    assert parse(GOOD | {"ssm": True, "platform": "ubuntu2404"}).pair.ssm


def test_sixty_rules_are_taken() -> None:
    web = [{"protocol": "tcp", "ports": 443, "cidr": f"10.0.{n}.0/24"} for n in range(58)]
    assert len(parse(GOOD | {"clients": web}).pair.clients) == 58


@pytest.mark.parametrize("key", ["publicIps", "endpoints", "ssm", "sourceDestCheck"])
def test_a_flag_is_true_or_false(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} perhaps is neither true nor false; set ec2vip:{key}"):
        StackConfig.parse(as_pulumi_gives_them({**GOOD, key: "perhaps"}))


def test_all_problems_come_at_once() -> None:
    found = problems({"vip": "x", "nodeIps": ["y"], "tokenMs": 1, "publicIps": "perhaps", "clents": []})
    for part in (
        "vip x",
        "has 1 addresses",
        "tokenMs 1",
        "publicIps perhaps",
        "did you mean clients",
        "none of",
    ):
        assert any(part in problem for problem in found), part


def test_a_list_or_a_mapping_that_is_neither_is_refused() -> None:
    assert "is not a list" in problems(GOOD | {"nodeIps": "{}"})[0]
    assert "is not a mapping" in problems(GOOD | {"tags": "[]"})[0]
    assert "services[0] is not a mapping" in problems(GOOD | {"services": ["nginx"]})[0]


def test_ten_times_nothing_is_the_same_as_the_declared_defaults() -> None:
    declared = {key: entry["default"] for key, entry in SCHEMA.items()}
    assert parse(declared | GOOD) == parse(GOOD)


def test_every_setting_is_declared_with_type_default_and_description() -> None:
    assert list(SCHEMA) == list(SETTINGS)
    for key, entry in SCHEMA.items():
        assert {"type", "default", "description"} <= set(entry), key
        assert entry["description"].endswith("."), key


def test_tags_that_every_service_takes_are_taken() -> None:
    tags = {"Cost Centre": "4711 / EMEA", "a.b/c": "x=1+2-3:@_", "été": "日本", "empty": ""}
    assert parse(GOOD | {"tags": tags}).pair.tags == tags


def test_the_component_has_the_same_defaults_as_the_configuration() -> None:
    assert parse(GOOD | {"platform": ""}).pair == PairSettings(vips=(VIP,), node_ips=NODES)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_a_boundary_is_of_the_partition_that_the_region_is_in(region: str, partition: str) -> None:
    for account in ("123456789012", "aws"):
        arn = f"arn:{partition}:iam::{account}:policy/team/nodes"
        values = as_pulumi_gives_them(GOOD | {"permissionsBoundary": arn})
        assert StackConfig.parse(values, region=region).pair.permissions_boundary == arn
        assert StackConfig.parse(values).pair.permissions_boundary == arn
        with pytest.raises(ConfigError, match="is not in aws-iso, the partition of"):
            StackConfig.parse(values, region="us-iso-east-1")


@pytest.mark.parametrize("stack", ["dev", "local"])
def test_the_committed_stacks_are_good(stack: str) -> None:
    settings = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    region = settings.pop("aws:region")
    values = {key.removeprefix("ec2vip:"): value for key, value in settings.items()}
    config = StackConfig.parse(as_pulumi_gives_them(values), region=region)
    assert (config.pair.vips, config.pair.node_ips) == ((VIP,), NODES)
