"""What the agent reads from its answers: its addresses from IMDS, its membership from Corosync."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import cluster, metadata, outcome
from cloudinit import corosync
from tests.unit.cloudinit.conftest import make_spec

from .cloud import VIP


@settings(max_examples=200, deadline=None)
@given(
    addresses=st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=6),
    vip=st.sampled_from([VIP, "10.0.250.1", "0.0.250.18"]),
)
def test_only_the_very_address_is_the_vip(addresses: list[str], vip: str) -> None:
    class Told(metadata.Metadata):
        def _interface(self, *_: object) -> str:
            return "\n".join([*addresses, "10.0.250.185", "110.0.250.18", "10.0.250.181"])

    told = Told(outcome.Deadline(1)).addresses()
    assert (vip in told) == (vip in addresses)


@pytest.mark.parametrize(
    ("shown", "ring", "members"),
    [
        (
            "Quorum information\n------\nNodes:            2\nNode ID:          1\nRing ID:          1.1a4\n",
            "1.1a4",
            "2",
        ),
        ("Cannot initialize QUORUM service\n", "", ""),
        (None, "", ""),
    ],
)
def test_what_is_known_of_the_membership_is_corosyncs_own(
    monkeypatch: pytest.MonkeyPatch, shown: str | None, ring: str, members: str
) -> None:
    import subprocess

    def run(words: list[str], **_: object) -> object:
        assert words == ["/usr/sbin/corosync-quorumtool", "-s"]
        if shown is None:
            raise FileNotFoundError(words[0])
        return subprocess.CompletedProcess(words, 1, shown, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert cluster.membership() == (members, ring)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (corosync.conf(make_spec()), {"10.0.250.186", "10.0.250.187"}),
        ("nodelist {\n node {\n  ring0_addr: node-a\n }\n}\n", set()),
        ("ring0_addr : 10.0.0.1\n\tring1_addr:10.0.1.1\n", {"10.0.0.1", "10.0.1.1"}),
        (None, set()),
    ],
)
def test_the_members_are_those_of_corosyncs_configuration(
    tmp_path: Path, text: str | None, found: set[str]
) -> None:
    file = tmp_path / "corosync.conf"
    if text is not None:
        file.write_text(text)
    assert cluster.members(str(file)) == found
