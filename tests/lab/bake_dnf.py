"""Bakes the image of a system with dnf: keeps what the product's own first step changes in it as a layer.

usage: python -m tests.lab.bake_dnf PLATFORM WORK ROOT MIRROR LAYER
in mount and network namespaces of its own

Like an owner who bakes an image (README), it runs `ec2vip-bootstrap image`. The names that the product asks
for lead to the lab's mirror.
"""

from __future__ import annotations

import shutil
import ssl
import sys
from pathlib import Path

import trustme

from cloudinit import places, userdata
from tests.lab import mirror, network_plan
from tests.lab.daemon import listen
from tests.lab.process import run

LIMIT_S = 3600.0
"""Baking takes some two minutes with two processors to itself."""


def main(platform: str, work: Path, root: Path, packages: Path, layer: Path) -> None:
    """Bake the layer. Raises CommandError with the step's output if that fails."""
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "address", "add", f"{network_plan.MIRROR}/32", "dev", "lo"])
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab-bake", "/run"])
    run(["mount", "-t", "tmpfs", "-o", "mode=755,size=3g", "lab-bake", str(work)])
    for name in ("upper", "scratch", "root"):
        (work / name).mkdir()
    layers = f"lowerdir={root},upperdir={work / 'upper'},workdir={work / 'scratch'}"
    run(["mount", "-t", "overlay", "-o", layers, "lab-bake", str(work / "root")])
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*mirror.NAMES).configure_cert(context)
    authority.cert_pem.write_to_path(str(work / "ca.pem"))
    (work / "hosts").write_text(
        "".join(f"{network_plan.MIRROR} {name}\n" for name in ("localhost", *mirror.NAMES))
    )
    mirror.Mirror(lambda _: packages, [platform]).serve(listen(network_plan.MIRROR, 443), context)
    written = []
    for path, executable, content in userdata.builder_files(platform):
        target = work / "root" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(0o755 if executable else 0o644)
        written.append(target)
    run(
        [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2"),
            f"--directory={work / 'root'}",
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--setenv=SYSTEMD_OFFLINE=1"),
            f"--setenv=EC2VIP_PACKAGES_LIMIT={LIMIT_S:.0f}",
            f"--bind-ro={work / 'hosts'}:/etc/hosts",
            f"--bind-ro={work / 'ca.pem'}:/etc/ssl/certs/ca-certificates.crt",
            *(places.BOOTSTRAP_PATH, "image"),
        ],
        timeout_s=LIMIT_S + 60,
    )
    for target in [*written, work / "root/var/log/ec2vip-bootstrap.log"]:
        target.unlink()
    for name in ("var/lib/cloud/instance", "var/cache/dnf"):
        shutil.rmtree(work / "root" / name, ignore_errors=True)
    run(["umount", str(work / "root")])
    run(["cp", "--archive", str(work / "upper"), str(layer)])


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
