"""Verifies AWS's Signature Version 4.

Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, unquote

from .http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(
    rf"{ALGORITHM}\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{{8}})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<signed>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})\s*$"
)


@dataclass(frozen=True)
class Signature:
    """What a request claims about its signer, unverified."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str


def read(request: Request) -> Signature | None:
    """The signature in the Authorization header, or None if it is missing or unreadable."""
    found = _HEADER.match(request.headers.get("Authorization") or "")
    if found is None:
        return None
    return Signature(
        access_key_id=found["key"],
        date=found["date"],
        region=found["region"],
        service=found["service"],
        signed_headers=tuple(found["signed"].split(";")),
        value=found["signature"],
    )


def signed_at(request: Request) -> float | None:
    """Seconds since the epoch of `X-Amz-Date`, or None if it is missing or unreadable."""
    try:
        stamp = datetime.strptime(request.headers.get("X-Amz-Date") or "", "%Y%m%dT%H%M%SZ")
    except ValueError:
        return None
    return stamp.replace(tzinfo=timezone.utc).timestamp()


def holds(signature: Signature, request: Request, secret: str) -> bool:
    """Whether the request was signed with this secret and not changed since."""
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    hashed = hashlib.sha256(_canonical(signature, request).encode()).hexdigest()
    text = "\n".join((ALGORITHM, request.headers.get("X-Amz-Date") or "", scope, hashed))
    key = f"AWS4{secret}".encode()
    for part in (signature.date, signature.region, signature.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.value)


def _canonical(signature: Signature, request: Request) -> str:
    path, _, query = request.target.partition("?")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
    headers = (
        f"{name}:{' '.join((request.headers.get(name) or '').split())}" for name in signature.signed_headers
    )
    payload = request.headers.get("X-Amz-Content-SHA256") or hashlib.sha256(request.body).hexdigest()
    return "\n".join(
        (
            request.method,
            quote(unquote(path), safe="/-_.~") or "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            *headers,
            "",
            ";".join(signature.signed_headers),
            payload,
        )
    )
