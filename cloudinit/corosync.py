"""Corosync's configuration: two nodes, unicast, and time-outs that follow from one number."""

from __future__ import annotations

from dataclasses import dataclass

from cloudinit.spec import NodeSpec

#: The only port that the members must be able to reach each other on (UDP).
PORT = 5405
KEYFILE = "/etc/corosync/authkey"

#: How long a node gathers join messages (ms), Corosync's own default.
JOIN_MS = 50


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Corosync's time-outs, all in milliseconds. A dead peer is gone after `token + consensus`."""

    token: int
    consensus: int
    join: int
    ping_interval: int
    ping_timeout: int

    @classmethod
    def from_token(cls, token_ms: int) -> Timing:
        """Derive every time-out from the token.

        *Consensus* is Corosync's wait for the other nodes to agree on a new membership. Its default, 1.2
        times the token, is for more than two nodes; with two, a value above `join` and below `token` is safe
        (corosync.conf(5), `consensus`), and it is time that every crash would pay on top of the token. A
        tenth of the token leaves the peer many round trips to answer in, and half as much again as `join` at
        least.

        *Ping* is knet's own watch over its link. Left to itself it gives up at half the token, so a stall
        that the token would forgive takes the only link down and costs two pings to get it back. Here it
        waits until the membership has decided.
        """
        consensus = max(JOIN_MS * 3 // 2, token_ms // 10)
        return cls(
            token=token_ms,
            consensus=consensus,
            join=JOIN_MS,
            ping_interval=max(30, token_ms // 4),
            ping_timeout=token_ms + consensus,
        )


def conf(spec: NodeSpec) -> str:
    """corosync.conf for a member of `spec`'s cluster. Both members get the same text.

    knet and not the udpu of old: since Corosync 3 it is the default transport and the maintained one, udpu is
    deprecated, and the two detect a lost node equally fast. Links are named by address, so no name service
    takes part in the membership.

    `two_node` lets one of two go on alone. It would bring `wait_for_all` with it, which keeps a node that
    starts alone from ever serving; EC2, where an address is on one interface at a time, is what decides
    between two nodes that do not see each other, so it is off.
    """
    timing = Timing.from_token(spec.token_ms)
    return _render(
        [
            (
                "totem",
                [
                    ("version", 2),
                    ("cluster_name", spec.cluster_name),
                    ("transport", "knet"),
                    ("ip_version", "ipv4"),
                    *_crypto(spec),
                    ("token", timing.token),
                    ("consensus", timing.consensus),
                    ("join", timing.join),
                    (
                        "interface",
                        [
                            ("linknumber", 0),
                            ("mcastport", PORT),
                            ("knet_ping_interval", timing.ping_interval),
                            ("knet_ping_timeout", timing.ping_timeout),
                        ],
                    ),
                ],
            ),
            (
                "nodelist",
                [
                    (
                        "node",
                        [("nodeid", nodeid), ("name", member.name), ("ring0_addr", str(member.address))],
                    )
                    for nodeid, member in enumerate(spec.members, start=1)
                ],
            ),
            (
                "quorum",
                [
                    ("provider", "corosync_votequorum"),
                    ("expected_votes", 2),
                    ("two_node", 1),
                    ("wait_for_all", 0),
                ],
            ),
            (
                "logging",
                [
                    # The journal alone, which bounds what it keeps. With a file of its own Corosync does not start
                    # if the file's folder is gone.
                    ("to_stderr", "no"),
                    ("to_syslog", "yes"),
                    ("to_logfile", "no"),
                ],
            ),
        ]
    )


def _crypto(spec: NodeSpec) -> _Entries:
    if not spec.key_parameter:
        return [("crypto_cipher", "none"), ("crypto_hash", "none")]
    return [("crypto_cipher", "aes256"), ("crypto_hash", "sha256"), ("keyfile", KEYFILE)]


_Entries = list[tuple[str, "str | int | _Entries"]]


def _render(entries: _Entries, indent: str = "") -> str:
    lines = []
    for key, value in entries:
        if isinstance(value, list):
            lines.append(f"{indent}{key} {{\n{_render(value, indent + '  ')}{indent}}}\n")
        else:
            lines.append(f"{indent}{key}: {value}\n")
    return "".join(lines)
