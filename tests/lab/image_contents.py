"""What is in a node's image and in the package mirrors, as data.

Standard library only: set-up reads it.
"""

from __future__ import annotations

from cloudinit.platforms import PLATFORMS
from tests.lab import rpms

IMAGE_PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "udev",
)

MIRROR_PACKAGES = (
    # The pair's own packages; a service to try behind the VIP; the tools with which AWS's images configure
    # interfaces; and what comparing and checking agents needs: awsvip runs the AWS CLI and curl, ocf-tester
    # runs xmllint.
    "amazon-ec2-net-utils",
    "awscli",
    "corosync",
    "curl",
    "libxml2-utils",
    "logrotate",
    "nginx-light",
    "pacemaker",
    "pacemaker-cli-utils",
    "pcs",
    "python3-boto3",
    "resource-agents",
    "tcpdump",
)
"""What a mirror offers (with dependencies, without recommendations): at least what `cloudinit` asks for."""

DNF_PACKAGES = ("curl", "dnf", "gpg", "rpm", "xz-utils")
"""The packages that make Debian's userland a system with dnf."""

DEBIAN_NAMES = {
    **rpms.GROUPS,
    "pacemaker": ("pacemaker", "pacemaker-cli-utils"),
}
"""An RPM's name → what apt must fetch for it, if Debian has another name."""

SOURCE_PACKAGE = "pacemaker=2.1.5-1+deb12u1"
BINARY_SOURCES = ("pcs=0.11.5-1+deb12u1", "python3-dacite=1.8.0-1+deb12u1", "resource-agents=1:4.12.0-2")
"""What apt must fetch to get the files of the platform's `Build`, which we then find by their digests."""

IN_THE_IMAGE = ("iproute", "xz", "pkgconfig(systemd)")
"""What the product may ask for and Debian's userland has under another name."""

PKGCONFIG = {
    # Which of AL2023's -devel packages has what.
    "pkgconfig(dbus-1)": "dbus-devel",
    "pkgconfig(glib-2.0)": "glib2-devel",
    "pkgconfig(gnutls)": "gnutls-devel",
    "pkgconfig(libcfg)": "corosynclib-devel",
    "pkgconfig(libcmap)": "corosynclib-devel",
    "pkgconfig(libcpg)": "corosynclib-devel",
    "pkgconfig(libqb)": "libqb-devel",
    "pkgconfig(libquorum)": "corosynclib-devel",
    "pkgconfig(libxml-2.0)": "libxml2-devel",
    "pkgconfig(libxslt)": "libxslt-devel",
    "pkgconfig(uuid)": "libuuid-devel",
}


def rpm_names() -> list[str]:
    """What al2023's repositories offer: all that the product may ask for, and some more."""
    system = PLATFORMS["al2023"]
    assert system.build is not None
    asked = [*system.packages, *system.build.tools, *system.build.needs]
    names = [PKGCONFIG.get(name, name) for name in asked]
    return [*dict.fromkeys(names), "logrotate", "nginx-light", "tcpdump"]


def image_packages(platform: str) -> tuple[str, ...]:
    """Debian's packages in the platform's image."""
    return (*IMAGE_PACKAGES, *(DNF_PACKAGES if platform == "al2023" else ()))


def mirror_packages(platform: str) -> tuple[str, ...]:
    """The Debian packages that the platform's mirror offers; for al2023, those that become its RPMs."""
    if platform != "al2023":
        return MIRROR_PACKAGES
    names = (name for name in rpm_names() if name not in IN_THE_IMAGE)
    return tuple(deb for name in names for deb in DEBIAN_NAMES.get(name, (name,)))


MIRROR_URL = "http://mirror.lab.internal/debian/{platform}"

MASKED_UNITS = (
    # A container has no hardware to name, nobody logs in at its console, updates would blur measurements, and the
    # hypervisor gives the interface the address that DHCP would.
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "getty.target",
    "systemd-firstboot.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
)

CLOUD_INIT = '''#!/usr/bin/python3
"""cloud-init, told what the firmware of an EC2 instance says: a container has no firmware, and without its
word cloud-init would not take the metadata service for EC2's, nor ask it for a session token (IMDSv2)."""
import sys

from cloudinit import dmi

UUID = "ec2e1916-9099-7caf-fd21-012345abcdef"
FIRMWARE = {"system-uuid": UUID, "system-serial-number": UUID}
dmi.read_dmi_data = FIRMWARE.get

from cloudinit.cmd.main import main

sys.exit(main())
'''


OS_RELEASE = """\
NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023 (a stand-in)"
"""

#: As in Amazon's image: dnf skips a repository without an answer (amazonlinux/amazon-linux-2023, issue 1084).
DNF_CONF = """\
[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=False
skip_if_unavailable=True
"""


def files(platform: str) -> dict[str, str]:
    """Path in the image → content; a text that begins with `#!` becomes a program."""
    if platform == "al2023":
        archives = {
            "etc/dnf/dnf.conf": DNF_CONF,
            "etc/dnf/vars/awsregion": "us-east-1\n",
            "etc/dnf/vars/awsdomain": "amazonaws.com\n",
            "etc/yum.repos.d/amazonlinux.repo": rpms.repository("amazonlinux", "core", 10),
            "etc/os-release": OS_RELEASE,
        }
    else:
        archives = {
            "etc/apt/sources.list": f"deb [trusted=yes] {MIRROR_URL.format(platform=platform)} ./\n",
            "etc/apt/apt.conf.d/90-mirror": 'Acquire::Languages "none";\nAcquire::Retries "3";\n',
        }
    return {
        **archives,
        "etc/cloud/cloud.cfg.d/90-ec2.cfg": (
            "datasource_list: [Ec2]\n"
            "datasource: {Ec2: {strict_id: false, metadata_urls: ['http://169.254.169.254']}}\n"
            "network: {config: disabled}\n"
            "apt: {preserve_sources_list: true}\n"
            # The image has neither locales nor an SSH server to set up.
            "locale: false\n"
            "ssh_genkeytypes: []\n"
            "output: {all: '| tee -a /var/log/cloud-init-output.log > /dev/console'}\n"
        ),
        "etc/resolv.conf": "nameserver 169.254.169.253\noptions timeout:1 attempts:2\n",
        "etc/systemd/journald.conf.d/90-lab.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\n",
        "etc/machine-id": "uninitialized\n",
        "usr/bin/cloud-init": CLOUD_INIT,
    }
