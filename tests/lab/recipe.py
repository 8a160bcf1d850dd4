"""What is in a node's image and in the package mirrors, as data.

Standard library only: set-up reads it.
"""

from __future__ import annotations

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
    # The pair's own; what a service behind the VIP is tried with; the tools that images of AWS's have to configure
    # interfaces; and what other agents for the same task are compared with, or checked by: awsvip runs the AWS CLI
    # and curl, ocf-tester xmllint.
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


def files(platform: str) -> dict[str, str]:
    """Path in the image → content; what begins as a program is one."""
    return {
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
        "etc/apt/sources.list": f"deb [trusted=yes] {MIRROR_URL.format(platform=platform)} ./\n",
        "etc/apt/apt.conf.d/90-mirror": 'Acquire::Languages "none";\nAcquire::Retries "3";\n',
        "etc/dpkg/dpkg.cfg.d/90-no-sync": "force-unsafe-io\n",
        "etc/resolv.conf": "nameserver 169.254.169.253\noptions timeout:1 attempts:2\n",
        "etc/systemd/journald.conf.d/90-lab.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\n",
        "etc/machine-id": "uninitialized\n",
        "usr/bin/cloud-init": CLOUD_INIT,
    }
