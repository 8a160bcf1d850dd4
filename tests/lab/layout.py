"""Names and addresses inside a lab, the same in every lab: each has network namespaces of its own."""

from __future__ import annotations

FABRIC = "fabric"
CLIENT = "client"
CLIENT_ADDRESS = "10.0.0.10"
"""Inside the VPC's range and in no subnet: a peered or on-premises host as far as security groups can tell."""
CLIENT_GATEWAY = "169.254.0.1"

IMDS = "169.254.169.254"
RESOLVER = "169.254.169.253"
API = "198.51.100.10"
MIRROR = "198.51.100.20"
"""The last two stand for public addresses (RFC 5737), reached as the internet is."""

GUEST_LINK = "ens5"
