"""The node image (Debian from its own archive) and the package mirror that its nodes install from.

The image holds what a cloud image holds: systemd, cloud-init with the Ec2 datasource, certificates, networking.
Nothing of the cluster stack is in it: cloud-init installs that in the node, from the mirror, as it would on EC2.

Standard library only: set-up makes the image.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.log import step
from tests.lab.paths import cache_dir
from tests.lab.process import run

SUITE = "bookworm"

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
    # The pair's own; a service to run under the cluster; Debian's tools that put addresses on interfaces; and what
    # other agents for the same task are compared with, or checked by: awsvip runs the AWS CLI and curl, ocf-tester
    # xmllint.
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
"""What the mirror offers (with dependencies, without recommendations): at least what `cloudinit` asks for."""

MIRROR_URL = "http://mirror.lab.internal/debian"

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

FILES = {
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
    "etc/apt/sources.list": f"deb [trusted=yes] {MIRROR_URL} ./\n",
    "etc/apt/apt.conf.d/90-mirror": 'Acquire::Languages "none";\nAcquire::Retries "3";\n',
    "etc/dpkg/dpkg.cfg.d/90-no-sync": "force-unsafe-io\n",
    "etc/resolv.conf": "nameserver 169.254.169.253\noptions timeout:1 attempts:2\n",
    "etc/systemd/journald.conf.d/90-lab.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\n",
    "etc/machine-id": "uninitialized\n",
    "usr/bin/cloud-init": CLOUD_INIT,
}


def key() -> str:
    """This recipe as a short hash: another recipe is another image."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def folder() -> Path:
    """The finished image's folder in the cache: `root/` (the file system) and `mirror/` (packages and index)."""
    return cache_dir() / f"image-{SUITE}-{key()}"


def ensure() -> Path:
    """Make the image if it isn't there, and return its folder. Raises LabError with apt's words if that fails."""
    if folder().exists():
        return folder()
    _require_room()
    aside = folder().with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "mirror").mkdir(parents=True)
    (aside / "apt").mkdir()
    with step(f"making the node image ({SUITE})", expected="about 1 min, the first time only"):
        try:
            _bootstrap(aside / "root", aside / "mirror")
            _index(aside / "mirror")
            _customise(aside / "root")
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        shutil.rmtree(aside / "apt")
        aside.rename(folder())
    return folder()


def _require_room() -> None:
    free = shutil.disk_usage(cache_dir()).free
    if free < 3 << 30:
        raise LabError(
            f"{cache_dir()} has {free >> 20} MiB free; the image wants 3072 MiB",
            "free some, or point EC2VIP_CACHE at a larger disk",
        )


def _bootstrap(root: Path, mirror: Path) -> None:
    """Debian into `root`; the archive files of what the nodes will install into `mirror`."""
    download = (
        "APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes --download-only --no-install-recommends"
        f" -o Dir::Cache::archives={mirror} install {' '.join(MIRROR_PACKAGES)}"
    )
    run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(IMAGE_PACKAGES)}",
            '--aptopt=Apt::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            f"--customize-hook={download}",
            SUITE,
            str(root),
        ],
        timeout_s=1800,
        remedy="a Debian archive must be reachable by apt; mend that, then run the command again",
    )


def _index(mirror: Path) -> None:
    """A flat repository: the files and an index beside them."""
    shutil.rmtree(mirror / "partial", ignore_errors=True)
    (mirror / "lock").unlink(missing_ok=True)
    packages = run(["apt-ftparchive", "packages", "."], cwd=mirror).stdout
    (mirror / "Packages").write_text(packages)
    (mirror / "Release").write_text(run(["apt-ftparchive", "release", "."], cwd=mirror).stdout)


def _customise(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    shutil.rmtree(root / "etc/apt/sources.list.d", ignore_errors=True)
    for unit in MASKED_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
