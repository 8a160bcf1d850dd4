"""The operating systems that a node may run, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SsmAmi:
    """The image that a public parameter of the Systems Manager names."""

    parameter: str


@dataclass(frozen=True, kw_only=True)
class NamedAmi:
    """The newest image of an owner (account id or alias) whose name matches the pattern."""

    owner: str
    name_pattern: str


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What differs between operating systems.

    `ami` maps the architecture, "x86_64" or "arm64", to where its image is found. `installer` is how the node
    gets `packages`: "apt" or "dnf". `interpreter` runs the agent. `network_units` are the systemd units that
    put EC2's secondary addresses on interfaces by themselves and must be kept off the VIP's; `{interface}`
    stands for its name. `has_ssm_agent` says whether the image has the Systems Manager's agent in it (Systems
    Manager user guide, "Find AMIs with the SSM Agent preinstalled").
    """

    ami: Mapping[str, SsmAmi | NamedAmi]
    installer: str
    packages: tuple[str, ...]
    interpreter: str = "/usr/bin/python3"
    network_units: tuple[str, ...] = ()
    has_ssm_agent: bool = True


#: amazon-ec2-net-utils adds every secondary address that IMDS lists, by a timer, whoever holds it. Without
#: its per-interface units the interface keeps DHCP from the package's own networkd defaults.
_EC2_NET_UTILS = (
    "refresh-policy-routes@{interface}.timer",
    "refresh-policy-routes@{interface}.service",
    "policy-routes@{interface}.service",
)

# pacemaker-cli-utils is only recommended by pacemaker, and pcs does nothing without it.
_DEBIAN_PACKAGES = (
    "corosync",
    "pacemaker",
    "pacemaker-cli-utils",
    "pcs",
    "resource-agents",
    "iproute2",
)


def _debian(version: int) -> Platform:
    return Platform(
        ami={
            "x86_64": SsmAmi(parameter=f"/aws/service/debian/release/{version}/latest/amd64"),
            "arm64": SsmAmi(parameter=f"/aws/service/debian/release/{version}/latest/arm64"),
        },
        installer="apt",
        packages=_DEBIAN_PACKAGES,
        network_units=_EC2_NET_UTILS,
        has_ssm_agent=False,
    )


PLATFORMS: Mapping[str, Platform] = {
    "al2023": Platform(
        ami={
            "x86_64": SsmAmi(
                parameter="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
            ),
            "arm64": SsmAmi(parameter="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"),
        },
        installer="dnf",
        packages=("corosync", "pacemaker", "pcs", "resource-agents", "iproute"),
        network_units=_EC2_NET_UTILS,
    ),
    "debian12": _debian(12),
    "debian13": _debian(13),
    "ubuntu2404": Platform(
        ami={
            "x86_64": SsmAmi(
                parameter="/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
            ),
            "arm64": SsmAmi(
                parameter="/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"
            ),
        },
        installer="apt",
        packages=_DEBIAN_PACKAGES,
        network_units=_EC2_NET_UTILS,
    ),
}


def platform(name: str) -> Platform:
    """The platform of that name; ValueError names those there are."""
    try:
        return PLATFORMS[name]
    except KeyError:
        raise ValueError(
            f"platform {name!r} is unknown; choose one of {', '.join(sorted(PLATFORMS))}"
        ) from None
