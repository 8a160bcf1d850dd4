"""The configuration: what is read, what is refused, and in which words."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudinit.spec import Service
from infra.clients import ClientRule
from infra.config import KEYS, StackConfig
from infra.errors import ConfigError
from infra.pair import FloatingIpPairArgs

from .bad_settings import BAD, GOOD, SECRETS, as_pulumi_gives_them

ROOT = Path(__file__).resolve().parents[3]
SCHEMA: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]


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
    assert config.vip == IPv4Address("10.0.250.185")
    assert config.node_ips == (IPv4Address("10.0.250.186"), IPv4Address("10.0.250.187"))
    assert config.subnet_cidr == IPv4Network("10.0.250.0/24")
    assert (config.public_ips, config.token_ms, config.ami_id) == (False, 2000, None)
    assert config.tags == {"team": "payments"}
    assert (config.package_repository, config.package_repository_key) == (
        "https://mirror.example/9-stream",
        "https://mirror.example/RPM-GPG-KEY#99DB70FAE1D7CE227FB6488205B555B38483C65D",
    )
    network = IPv4Network("10.0.0.0/16")
    assert config.clients == (
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
    assert parse(settings, secrets=["ec2vip:encryptionKey"]).encryption_key == key


def test_several_vips_take_the_place_of_one() -> None:
    config = parse(GOOD | {"vip": "", "vips": ["10.0.250.185", "10.0.250.190"]})
    assert (config.vip, config.more_vips) == (IPv4Address("10.0.250.185"), (IPv4Address("10.0.250.190"),))
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
    assert config.services == (
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
    assert [service.unit for service in config.services] == [None, "web@1.service"]


def test_a_secret_in_a_service_is_refused_without_showing_it() -> None:
    service = {"agent": "ocf:heartbeat:pgsql", "parameters": {"password": "hunter2"}}
    found = problems(GOOD | {"services": [service]}, secrets=["ec2vip:services"])
    assert len(found) == 1
    assert found[0].startswith("services holds a secret, and everyone with")
    assert "hunter2" not in found[0]


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
    assert tuple(SCHEMA) == KEYS
    for key, entry in SCHEMA.items():
        assert {"type", "default", "description"} <= set(entry), key
        assert entry["description"].endswith("."), key


def test_the_component_has_the_same_defaults_as_the_configuration() -> None:
    config = parse(GOOD)
    for name, field in FloatingIpPairArgs.__dataclass_fields__.items():
        if name in ("vip", "node_ips", "site", "platform"):
            continue
        default = field.default if field.default_factory is not dict else {}
        assert getattr(config, name) == default, name
    assert SCHEMA["platform"]["default"] == FloatingIpPairArgs.__dataclass_fields__["platform"].default


@pytest.mark.parametrize("stack", ["dev", "local"])
def test_the_committed_stacks_are_good(stack: str) -> None:
    settings = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    region = settings.pop("aws:region")
    values = {key.removeprefix("ec2vip:"): value for key, value in settings.items()}
    config = StackConfig.parse(as_pulumi_gives_them(values), region=region)
    assert str(config.vip) == "10.0.250.185"
    assert [str(address) for address in config.node_ips] == ["10.0.250.186", "10.0.250.187"]
