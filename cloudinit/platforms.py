"""The operating systems that a node may run, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SsmAmi:
    """The image that a public parameter of Systems Manager names."""

    parameter: str


@dataclass(frozen=True, kw_only=True)
class NamedAmi:
    """The newest image of an owner (account id or alias) whose name matches the pattern."""

    owner: str
    name_pattern: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to build from.

    A node tries the `addresses` in this order, and takes a file only if it has this SHA-256.
    """

    name: str
    sha256: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Build:
    """What a node builds itself if no repository has all of `replaces`.

    `tools` are needed only for building and are removed afterwards; `needs` stay. Both are packages, or what
    packages provide. The steps are in build.sh.
    """

    replaces: tuple[str, ...]
    sources: tuple[Source, ...]
    tools: tuple[str, ...]
    needs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What differs between operating systems.

    `ami` maps the architecture, "x86_64" or "arm64", to where to find its image. `installer` is how the node gets
    `packages`: "apt" or "dnf". `build` makes those packages that the system's archives lack. `interpreter` runs
    the agent. `network_units` are the systemd units that put EC2's secondary addresses on an interface by
    themselves; the bootstrap masks them for the node's interface, whose name replaces `{interface}`.
    `update_timers` install updates once a day, and must not do so on both nodes at once. `has_ssm_agent` says
    whether the image has the SSM agent (Systems Manager user guide, "Find AMIs with the SSM Agent preinstalled").
    """

    ami: Mapping[str, SsmAmi | NamedAmi]
    installer: str
    packages: tuple[str, ...]
    build: Build | None = None
    interpreter: str = "/usr/bin/python3"
    network_units: tuple[str, ...] = ()
    update_timers: tuple[str, ...] = ()
    has_ssm_agent: bool = True


#: amazon-ec2-net-utils has a timer that adds every secondary address that IMDS lists, whoever holds the VIP.
#: Without its per-interface units the interface keeps DHCP from the package's own networkd defaults.
_EC2_NET_UTILS = (
    "refresh-policy-routes@{interface}.timer",
    "refresh-policy-routes@{interface}.service",
    "policy-routes@{interface}.service",
)

#: apt's timer, which runs unattended-upgrades if that is installed, as in the images of Debian and Ubuntu. It
#: fires between six and seven. Amazon Linux has no such timer in its image, and its archives are locked to a
#: release.
_UNATTENDED_UPGRADES = ("apt-daily-upgrade.timer",)

# The package pacemaker only recommends pacemaker-cli-utils, but pcs does nothing without it.
_DEBIAN_PACKAGES = (
    "corosync",
    "pacemaker",
    "pacemaker-cli-utils",
    "pcs",
    "resource-agents",
    "iproute2",
)

#: Debian's archive of all that it ever published, addressed by a file's SHA-1 (its "machine-usable interface").
_SNAPSHOT = "https://snapshot.debian.org/file/{}"

#: What Debian 12 has, so that nodes run the versions that the lab's faults ran on. The node compiles Pacemaker
#: with Debian's patches, because plain 2.1.5 has a regression in planned moves (ClusterLabs/pacemaker, pull
#: request 3020). The archive of its tag and Debian's .orig file are the same bytes (microsoft/azurelinux,
#: SPECS-EXTENDED/pacemaker, has the same digest). The other packages need no compiler: agents are shell scripts,
#: and pcs is Python; 0.11 is the last one for Python 3.9. We leave out its Ruby part, the web service pcsd. The
#: few compiled programs among the agents are for x86_64, on arm64 too; the pair does not need them.
_CLUSTER_STACK = Build(
    replaces=("pacemaker", "pcs", "resource-agents"),
    sources=(
        Source(
            name="pacemaker.tar.gz",
            sha256="7654b78f08d4994b9fd31b8592addbd7f4b173e2cbf30336722419f1ce45e185",
            addresses=(
                "https://github.com/ClusterLabs/pacemaker/archive/refs/tags/Pacemaker-2.1.5.tar.gz",
                _SNAPSHOT.format("b889ebdb3f7c8c07e35634250da4e040f12e9eb8"),
            ),
        ),
        Source(
            name="patches.tar.xz",
            sha256="4d2961a18ce47ab34292302a070c37ccdfff8a4a8687e26cde0a8162bbbe8869",
            addresses=(_SNAPSHOT.format("5f8e3cc1c3672ac9547534d3d954941a5d9b94bb"),),
        ),
        Source(
            name="agents.deb",
            sha256="8e4194dc833f7fa83ea976516774a8ad1cbb4a362037d1efbf217e97b1f27b43",
            addresses=(_SNAPSHOT.format("67bca894a8383938683975756b94bc38eafaf5fe"),),
        ),
        Source(
            name="pcs.deb",
            sha256="d6213d48157dc9940a5ad7c0265a87c0ae2bf23f0a027067c3f733ccc76b54e9",
            addresses=(_SNAPSHOT.format("593ec93f6e31ea070b11d907bf4513d2711fc396"),),
        ),
        Source(
            name="dacite.deb",
            sha256="7df0c629848868f3dad5503a564f32138bb2e652a0423a42b56ca35847feb363",
            addresses=(_SNAPSHOT.format("3086d13abdac192d0ceb5b713bc4c0e8cb9d1eac"),),
        ),
    ),
    # Amazon Linux 2023 has each of these in its core repository (amazonlinux/amazon-linux-2023, support_info.xml).
    # We name a library by the module that Pacemaker's configure looks for.
    tools=(
        "autoconf",
        "automake",
        "bzip2-devel",
        "gcc",
        "gettext-devel",
        "libtool",
        "libtool-ltdl-devel",
        "make",
        "patch",
        "pkgconf-pkg-config",
        *(
            f"pkgconfig({name})"
            for name in (
                "dbus-1",
                "glib-2.0",
                "gnutls",
                "libcfg",
                "libcmap",
                "libcpg",
                "libqb",
                "libquorum",
                "libxml-2.0",
                "libxslt",
                "systemd",
                "uuid",
            )
        ),
        "xz",
    ),
    needs=(
        "libxslt",
        "psmisc",
        *(
            f"python3-{name}"
            for name in ("cryptography", "dateutil", "lxml", "pycurl", "pyparsing", "tornado")
        ),
    ),
)


def _apt(parameter: str, *, has_ssm_agent: bool) -> Platform:
    """A system with Debian's packages; `{}` in its images' parameter stands for the architecture."""
    return Platform(
        ami={
            "x86_64": SsmAmi(parameter=parameter.format("amd64")),
            "arm64": SsmAmi(parameter=parameter.format("arm64")),
        },
        installer="apt",
        packages=_DEBIAN_PACKAGES,
        network_units=_EC2_NET_UTILS,
        update_timers=_UNATTENDED_UPGRADES,
        has_ssm_agent=has_ssm_agent,
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
        build=_CLUSTER_STACK,
        network_units=_EC2_NET_UTILS,
    ),
    "debian12": _apt("/aws/service/debian/release/12/latest/{}", has_ssm_agent=False),
    "debian13": _apt("/aws/service/debian/release/13/latest/{}", has_ssm_agent=False),
    "ubuntu2404": _apt(
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id", has_ssm_agent=True
    ),
}


def platform(name: str) -> Platform:
    """The platform of that name. Raises ValueError, which lists the known ones, if there is none."""
    try:
        return PLATFORMS[name]
    except KeyError:
        raise ValueError(
            f"platform {name!r} is unknown; choose one of {', '.join(sorted(PLATFORMS))}"
        ) from None
