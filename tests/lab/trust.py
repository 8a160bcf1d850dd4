"""The API's certificate authority in a node's disk, where an image of AWS's has those that it trusts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.lab.process import run

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
LOCAL = Path("usr/local/share/ca-certificates/region.crt")
ONLY_A_BUNDLE = Path("etc/system-release")
"""Amazon Linux has this file, and has its authorities in a bundle alone."""


def trust(certificate: bytes, lower: Iterable[Path], upper: Path) -> None:
    """Let a node trust the authority beside those of its image, whose layers are `lower`, the uppermost first.

    As Debian's update-ca-certificates does it: in the bundle, and in a file named by OpenSSL's hash, which a
    program finds without reading the bundle. Raises CommandError if it is none.
    """
    layers = list(lower)
    authorities = upper / BUNDLE
    authorities.parent.mkdir(parents=True)
    known = next((layer / BUNDLE for layer in layers if (layer / BUNDLE).exists()), None)
    authorities.write_bytes((known.read_bytes() if known else b"") + certificate)
    local = upper / LOCAL
    local.parent.mkdir(parents=True)
    local.write_bytes(certificate)
    if not any((layer / ONLY_A_BUNDLE).exists() for layer in layers):
        shown = run(["openssl", "x509", "-noout", "-subject_hash", "-in", str(local)]).stdout
        (authorities.parent / f"{shown.strip()}.0").write_bytes(certificate)


__all__ = ["trust"]
