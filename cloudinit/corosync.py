"""Corosync's configuration: two nodes, unicast, and all time-outs derived from the token."""

from __future__ import annotations

from dataclasses import dataclass

from cloudinit.spec import NodeSpec

#: The only port on which the members must reach each other (UDP).
PORT = 5405
KEYFILE = "/etc/corosync/authkey"

#: How long a node gathers join messages (ms), Corosync's own default.
JOIN_MS = 50


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Corosync's time-outs in milliseconds. A dead peer leaves the membership after `token + consensus`."""

    token: int
    consensus: int
    join: int
    ping_interval: int
    ping_timeout: int

    @classmethod
    def from_token(cls, token_ms: int) -> Timing:
        """Derive every time-out from the token.

        *Consensus* is how long Corosync waits for the other nodes to agree on a new membership. Its default, 1.2
        times the token, is for more than two nodes. With two, a value above `join` and below `token` is safe
        (corosync.conf(5), `consensus`), and every crash pays it on top of the token. A tenth of the token leaves
        the peer many round trips to answer in; the minimum is 1.5 times `join`.

        *Ping* is knet's own watch over its link. By default it gives up at half the token. A stall that the token
        would forgive then takes the only link down, and two pings pass before it is back. Here it waits until the
        membership has decided.
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

    The transport is knet, the default and maintained one since Corosync 3. The original's udpu is deprecated, and
    both detect a lost node equally fast. Links are named by address, so the membership needs no name service.

    `two_node` lets one of two nodes go on alone. It implies `wait_for_all`, which would keep a node that starts
    alone from ever serving, so we turn that off: EC2 decides between two nodes that do not see each other,
    because an address is on one interface at a time.
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
                    # Only the journal, whose size is bounded. With a log file Corosync does not start if the
                    # file's folder is gone.
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
