from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudinit import corosync
from cloudinit.corosync import Timing
from cloudinit.spec import MAX_TOKEN_MS, MIN_TOKEN_MS, NodeSpec
from tests.unit.cloudinit.conftest import ENCRYPTED, make_spec


def parse(text: str) -> dict[str, Any]:
    """corosync.conf as Corosync reads it: sections in braces with `key: value` lines; sections may repeat."""
    root: dict[str, Any] = {}
    stack = [root]
    for line in text.splitlines():
        line = line.strip()
        if line.endswith("{"):
            section: dict[str, Any] = {}
            stack[-1].setdefault(line.removesuffix("{").strip(), []).append(section)
            stack.append(section)
        elif line == "}":
            stack.pop()
        elif line:
            key, value = line.split(": ", 1)
            assert key not in stack[-1], f"{key} twice"
            stack[-1][key] = value
    assert len(stack) == 1, "a brace is left open"
    return root


def test_the_pair_is_listed_by_name_and_address_in_order(spec: NodeSpec) -> None:
    assert parse(corosync.conf(spec))["nodelist"][0]["node"] == [
        {"nodeid": "1", "name": "ec2vip-a", "ring0_addr": "10.0.250.186"},
        {"nodeid": "2", "name": "ec2vip-b", "ring0_addr": "10.0.250.187"},
    ]


def test_both_members_get_the_same_file() -> None:
    assert corosync.conf(make_spec(name="ec2vip-a")) == corosync.conf(make_spec(name="ec2vip-b"))


def test_a_node_alone_may_serve_for_ever(spec: NodeSpec) -> None:
    assert parse(corosync.conf(spec))["quorum"] == [
        {"provider": "corosync_votequorum", "expected_votes": "2", "two_node": "1", "wait_for_all": "0"}
    ]


def test_totem_speaks_unicast_on_the_one_port_without_a_name_service(spec: NodeSpec) -> None:
    (totem,) = parse(corosync.conf(spec))["totem"]
    assert totem["transport"] == "knet"
    assert totem["cluster_name"] == "dev"
    assert totem["crypto_cipher"] == totem["crypto_hash"] == "none"
    assert "keyfile" not in totem
    (link,) = totem["interface"]
    assert (link["linknumber"], link["mcastport"]) == ("0", "5405")


def test_with_a_key_every_packet_is_encrypted_and_signed() -> None:
    (totem,) = parse(corosync.conf(make_spec(**ENCRYPTED)))["totem"]
    assert (totem["crypto_cipher"], totem["crypto_hash"]) == ("aes256", "sha256")
    assert totem["keyfile"] == "/etc/corosync/authkey"


def test_a_dead_peer_is_noticed_after_the_token_and_a_tenth() -> None:
    (totem,) = parse(corosync.conf(make_spec(token_ms=1000)))["totem"]
    assert (totem["token"], totem["consensus"], totem["join"]) == ("1000", "100", "50")
    (link,) = totem["interface"]
    assert (link["knet_ping_interval"], link["knet_ping_timeout"]) == ("250", "1100")


def test_the_log_goes_to_the_journal_alone(spec: NodeSpec) -> None:
    """The journal bounds the log. With a log file, Corosync would need its folder to start (exit code 7)."""
    (logging,) = parse(corosync.conf(spec))["logging"]
    assert logging == {"to_stderr": "no", "to_syslog": "yes", "to_logfile": "no"}


@given(st.integers(MIN_TOKEN_MS, MAX_TOKEN_MS))
def test_every_token_gives_times_that_corosync_takes(token_ms: int) -> None:
    timing = Timing.from_token(token_ms)
    # exec/totemconfig.c: each at least 30 ms; corosync.conf(5): with two nodes join < consensus < token.
    assert 30 <= timing.join < timing.consensus < timing.token
    # The link must not be given up before the membership is.
    assert timing.ping_timeout >= timing.token + timing.consensus
    # Two pongs restore a link, so they must come well within the time-out.
    assert 30 <= timing.ping_interval * 2 < timing.ping_timeout
