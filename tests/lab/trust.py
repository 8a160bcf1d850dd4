"""Puts the API's certificate authority on a node's disk, where AWS's images have those that they trust."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.lab.process import run

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
LOCAL = Path("usr/local/share/ca-certificates/region.crt")
ONLY_A_BUNDLE = Path("etc/system-release")
"""Only Amazon Linux has this file. It has its authorities in a bundle alone."""


def trust(certificate: bytes, lower: Iterable[Path], upper: Path) -> None:
    """Let a node trust the authority in addition to those of its image.

    `lower` are the image's layers, the uppermost first. Like Debian's update-ca-certificates, we write it to
    the bundle, and to a file named after OpenSSL's hash, which a program finds without reading the bundle.
    Raises CommandError if `certificate` is not a certificate.
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
