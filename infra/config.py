"""The stack's configuration, loaded once into typed and frozen values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pulumi

from cloudinit.platforms import PLATFORMS

from . import addressing
from .clients import quota_problems
from .errors import raise_if_any
from .reader import Reader
from .settings import SETTINGS, Addresses, PairSettings, SiteSettings, read
from .tags import tag_problems

# Debian's archive has no package of the SSM agent (packages.debian.org), so a node could not install it signed.
NO_AGENT = (
    "set ec2vip:platform to al2023 or ubuntu2404, or ec2vip:amiId to an image that has the agent, or ec2vip:ssm "
    "to false"
)


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What a stack's file says about the pair, and about where it lives."""

    pair: PairSettings
    site: SiteSettings

    @classmethod
    def load(cls, config: pulumi.Config) -> StackConfig:
        """Read and check the current stack's settings. Raises ConfigError with all that is wrong."""
        prefix = f"{config.name}:"
        settings = pulumi.runtime.get_config_env()
        values = {
            key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)
        }
        secrets = pulumi.runtime.get_config_secret_keys_env()
        return cls.parse(values, secrets=secrets, region=settings.get("aws:region"))

    @classmethod
    def parse(
        cls, values: Mapping[str, str], *, secrets: Collection[str] = (), region: str | None = None
    ) -> StackConfig:
        """Check settings as Pulumi gives them: texts by key without the namespace, with lists as JSON.

        `secrets` are the keys, with the namespace, that the stack's file holds encrypted; `region` is the AWS
        provider's, if it is known. Raises ConfigError with all that is wrong.
        """
        take_secrets = [key for key, setting in SETTINGS.items() if setting.secret]
        reader = Reader("ec2vip", values, secrets, take_secrets, region)
        reader.refuse_unknown(SETTINGS)
        reader.refuse_secrets(SETTINGS)
        addresses, site = read(Addresses, reader), read(SiteSettings, reader)
        _check_site(reader, site)
        reader.problems += addressing.pair_problems(
            addresses.vips,
            addresses.node_ips,
            site.subnet_cidr,
            "vips" if reader.is_set("vips") else "vip",
        )
        pair = read(PairSettings, reader, addresses)
        reader.problems += tag_problems(pair.tags)
        reader.problems += quota_problems(pair.clients)
        if pair.ssm and pair.ami_id is None and not PLATFORMS[pair.platform].has_ssm_agent:
            reader.wrong("ssm", f"needs the SSM agent, but the image of {pair.platform} lacks it", NO_AGENT)
        raise_if_any(reader.problems)
        return cls(pair=pair, site=site)


def _check_site(reader: Reader, site: SiteSettings) -> None:
    """Check together the settings that say where the pair lives."""
    chosen = [key for key in ("vpcCidr", "vpcId", "subnetId") if reader.is_set(key)]
    if len(chosen) != 1:
        have = (
            f"{' and '.join(chosen)} are set together"
            if chosen
            else "none of vpcCidr, vpcId, subnetId is set"
        )
        reader.problems.append(
            f"{have}; set exactly one: ec2vip:vpcCidr for a new VPC, ec2vip:vpcId for a new subnet in one of "
            "yours, ec2vip:subnetId for a subnet of yours"
        )
    if "subnetId" in chosen:
        for key in ("subnetCidr", "availabilityZone"):
            if reader.is_set(key):
                reader.wrong(
                    key, "cannot be set together with subnetId, which decides it", f"remove ec2vip:{key}"
                )
    elif chosen and not reader.is_set("subnetCidr"):
        reader.require("subnetCidr", "10.0.250.0/24")
    for key, network in (("vpcCidr", site.vpc_cidr), ("subnetCidr", site.subnet_cidr)):
        if network:
            reader.problems += addressing.network_problems(key, network)
    if site.vpc_cidr and site.subnet_cidr:
        reader.problems += addressing.nesting_problems(site.subnet_cidr, site.vpc_cidr)
