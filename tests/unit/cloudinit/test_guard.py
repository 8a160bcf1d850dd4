"""The guard's check for stray VIPs: the real program, with a fake system and cluster.

Each case is a list of looks. On a node they are 20 s apart; here the guard does not sleep.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloudinit import places, userdata
from tests.unit.cloudinit.conftest import VIP, make_spec

pytestmark = pytest.mark.subprocess  # the guard is a program

FIRST, SECOND = "10.0.250.185", "10.0.250.190"
SPEC = make_spec(vips=(VIP, IPv4Address(SECOND)))
SELF, PEER = SPEC.name, SPEC.peer.name

TOOLS = {
    "sleep": 'n=$(cat "$FAKE/sleeps"); echo $((n - 1)) >"$FAKE/sleeps"; ((n > 0))',
    "systemctl": "",
    "ip": """
case $* in
    *flush*) echo "$*" >>"$FAKE/flushed"; : >"$FAKE/addresses" ;;
    *) cat "$FAKE/addresses" ;;
esac""",
    "crm_mon": """
echo asked >>"$FAKE/asked"
views=("$FAKE"/views/*)
cat "${views[0]}"
code=$(grep -c unreachable "${views[0]}")
((${#views[@]} == 1)) || rm "${views[0]}"
exit "$code"
""",
}


def resource(name: str, *nodes: str, managed: str = "true", pending: str = "") -> str:
    """As in crm_mon of Pacemaker 2.1.5; it has the attribute `pending` only while an operation runs."""
    places = "".join(f'      <node name="{node}" id="1" cached="true"/>\n' for node in nodes)
    return (
        f'    <resource id="{name}" resource_agent="ocf:heartbeat:IPaddr2" role="Started" active="true"'
        f' orphaned="false" blocked="false" managed="{managed}" failed="false" failure_ignored="false"'
        f' nodes_running_on="{len(nodes)}"{pending}>\n{places}    </resource>\n'
    )


def view(first: str, second: str = "") -> str:
    """All of crm_mon's output, with the resources of the two VIPs."""
    groups = "".join(
        f'  <group id="vip-group" managed="true">\n{each}  </group>\n' for each in (first, second)
    )
    return f'<pacemaker-result>\n<nodes><node name="{PEER}"/></nodes>\n<resources>\n{groups}</resources>\n'


STRAY = view(resource("vip", PEER), resource("vip-2", PEER))


class Guard:
    """The guard from the user data, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, tools = folder, folder / "bin"
        (folder / "views").mkdir()
        tools.mkdir()
        for name, body in TOOLS.items():
            (tools / name).write_text(f"#!/bin/bash\n{body}\n")
            (tools / name).chmod(0o755)
        content = {path: text for path, _, text in userdata.files(SPEC)}
        settings = folder / "bootstrap.env"
        settings.write_text(content["/etc/ec2vip/bootstrap.env"])
        program = content[places.GUARD_PATH]
        assert program.count("/etc/ec2vip/bootstrap.env") == 1
        (folder / "guard").write_text(program.replace("/etc/ec2vip/bootstrap.env", str(settings)))

    def run(self, here: Sequence[str], views: Sequence[str], looks: int) -> str:
        """The guard's output after `looks` looks, if the system has the addresses `here`; the last view stays."""
        lines = [f"2: ens5    inet {address} scope global ens5" for address in ("10.0.250.186/24", *here)]
        (self.folder / "addresses").write_text("\n".join(lines) + "\n")
        for number, text in enumerate(views):
            (self.folder / "views" / f"{number:02}").write_text(text)
        # Starting with the first, every fourth look at the daemons is also one at the VIPs.
        (self.folder / "sleeps").write_text(str(4 * looks - 3))
        done = subprocess.run(
            ["bash", str(self.folder / "guard")],
            env={**os.environ, "FAKE": str(self.folder), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(tmp_path)


@pytest.mark.parametrize("prefix", ["32", "24"])
def test_a_vip_that_the_cluster_has_on_the_peer_goes_at_the_third_look(guard: Guard, prefix: str) -> None:
    said = guard.run([f"{FIRST}/{prefix}"], [STRAY], looks=3)
    assert said == f"{FIRST} is in this system, but {PEER} has it: removed\n"
    assert guard.lines("flushed") == [f"address flush to {FIRST}"]


def test_two_looks_are_not_enough(guard: Guard) -> None:
    assert guard.run([f"{FIRST}/32"], [STRAY], looks=2) == ""
    assert guard.lines("flushed") == []


@pytest.mark.parametrize(
    "seen",
    {
        "it is ours": resource("vip", SELF),
        "both have it": resource("vip", PEER, SELF),
        "both have it, we first": resource("vip", SELF, PEER),
        "nobody has it": resource("vip"),
        "a move is under way": resource("vip", PEER, pending=' pending="Stopping"'),
        "a person moves it": resource("vip", PEER, managed="false"),
        "another is on the peer": resource("vip", SELF) + resource("vip-20", PEER),
        "the peer has a namesake": resource("vip", f"{PEER}2"),
        "nothing is said of it": "",
    }.items(),
    ids=lambda case: case[0],
)
def test_a_vip_stays_if_it_may_be_this_nodes(guard: Guard, seen: tuple[str, str]) -> None:
    assert guard.run([f"{FIRST}/32"], [view(seen[1])], looks=4) == ""
    assert guard.lines("flushed") == []
    assert len(guard.lines("asked")) == 4


def test_a_cluster_that_does_not_answer_is_no_reason(guard: Guard) -> None:
    assert guard.run([f"{FIRST}/32"], [f"{STRAY}<status message='unreachable'/>"], looks=4) == ""
    assert guard.lines("flushed") == []


def test_one_look_that_finds_all_well_begins_the_count_anew(guard: Guard) -> None:
    well = view(resource("vip", SELF))
    assert guard.run([f"{FIRST}/32"], [STRAY, STRAY, well, STRAY, STRAY, well], looks=6) == ""
    assert guard.lines("flushed") == []


def test_each_vip_is_judged_for_itself_and_the_cluster_is_asked_once(guard: Guard) -> None:
    mixed = view(resource("vip", SELF), resource("vip-2", PEER))
    said = guard.run([f"{FIRST}/32", f"{SECOND}/32"], [mixed], looks=3)
    assert said == f"{SECOND} is in this system, but {PEER} has it: removed\n"
    assert guard.lines("flushed") == [f"address flush to {SECOND}"]
    assert len(guard.lines("asked")) == 3


def test_a_system_without_a_vip_asks_nobody(guard: Guard) -> None:
    assert guard.run(["10.0.250.18/32", "110.0.250.185/32"], [STRAY], looks=4) == ""
    assert guard.lines("asked") == []
