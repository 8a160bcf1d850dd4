"""A pair with an encryption key, in its own lab: it forms, and nobody else can read its nodes' traffic."""

from __future__ import annotations

import base64
import gzip
import secrets
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cluster.labs import on, own_lab, whole_pair
from tests.drill.clouds import lab_stack
from tests.drill.pair import Pair
from tests.lab.lab import Lab

NAME = "key-tests"
LISTEN_S = 3.0
# Reads what comes in for Corosync, as anyone on the way could. Prints the UDP payloads in hexadecimal, one a
# line.
LISTENER = f"""
import socket, time
end = time.monotonic() + {LISTEN_S}
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
link.settimeout(0.2)
while time.monotonic() < end:
    try:
        frame = link.recv(65536)
    except TimeoutError:
        continue
    ip = frame[14:]
    if ip[9] == 17 and int.from_bytes(ip[22:24], "big") == 5405:
        print(ip[28:].hex())
"""


@pytest.fixture(scope="module")
def key() -> str:
    return base64.b64encode(secrets.token_bytes(256)).decode()


@pytest.fixture(scope="module")
def lab(machine: None, key: str) -> Iterator[Lab]:
    """A lab whose pair has the key."""
    with own_lab(NAME) as lab:
        lab.up()
        stack = lab_stack(lab)
        stack.configure_secret("encryptionKey", key)
        stack.up("--skip-preview")
        yield lab


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Pair:
    return whole_pair(lab)


def test_the_pair_forms_with_encryption_in_effect(lab: Lab, pair: Pair, key: str) -> None:
    for instance_id in pair.node_ids:
        settings = on(lab, instance_id, "corosync-cmapctl", "totem.")
        assert "totem.crypto_cipher (str) = aes256" in settings
        assert "totem.crypto_hash (str) = sha256" in settings
        assert "connected" in on(lab, instance_id, "corosync-cfgtool", "-n")
        assert on(lab, instance_id, "base64", "--wrap=0", "/etc/corosync/authkey") == key
        assert on(lab, instance_id, "stat", "--format=%a %U", "/etc/corosync/authkey") == "400 root\n"


def test_what_the_nodes_say_is_unreadable_to_who_listens(lab: Lab, pair: Pair) -> None:
    """Without encryption, a setting written on one node travels to the other in plain text."""
    here, there = pair.node_ids
    listening = subprocess.Popen(
        [*lab.in_node(here), "python3", "-c", LISTENER], stdout=subprocess.PIPE, text=True
    )
    word = "a-word-that-only-the-nodes-know"
    for number in range(3):
        time.sleep(LISTEN_S / 5)
        on(lab, there, "crm_attribute", "--name", "test-note", "--update", f"{word}-{number}")
    packets = [bytes.fromhex(line) for line in listening.communicate(timeout=30)[0].split()]
    assert len(packets) > 3
    assert not any(word.encode() in packet for packet in packets)
    on(lab, there, "crm_attribute", "--name", "test-note", "--delete")


def test_the_key_is_in_no_attribute_log_or_report_of_the_nodes(lab: Lab, pair: Pair, key: str) -> None:
    for instance_id in pair.node_ids:
        attribute = lab.client("ec2").describe_instance_attribute(
            InstanceId=instance_id, Attribute="userData"
        )["UserData"]["Value"]
        seen = gzip.decompress(base64.b64decode(attribute)).decode()
        assert "crypto_cipher: aes256" in seen
        seen += on(lab, instance_id, "journalctl", "--no-pager", "--boot")
        seen += on(lab, instance_id, "cat", "/var/log/ec2vip-bootstrap.log")
        report = on(lab, instance_id, "/usr/local/sbin/ec2vip-report")
        assert "Node List" in report
        seen += report
        assert "== key" in seen
        assert key[:24] not in seen
