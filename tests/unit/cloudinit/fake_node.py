"""A node for the bootstrap to run on: a folder is its root, and fake tools record how they are called.

The cluster is one file, `cluster.xml`, with what was pushed to it. The fakes are in bash, because a test
starts many of them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cloudinit import userdata
from cloudinit.spec import NodeSpec

CLUSTER_TOOLS = ("corosync", "pacemakerd", "crm_mon", "crm_resource", "cibadmin", "pcs")

#: What each tool does after it has recorded its words in calls.log. $FAKE is the folder of the fakes.
TOOLS = {
    "ip": 'case "$*" in *address*) cat "$FAKE/addresses" ;; *route*) cat "$FAKE/routes" ;; esac',
    "systemctl": 'broken=$(cat "$FAKE/broken-unit"); case "$*" in "start $broken" | "cat $broken") exit 1 ;; esac',
    "journalctl": 'echo "the unit\'s last words"',
    "networkctl": 'cat "$FAKE/networkctl"',
    "chown": "",
    # dpkg's exit status is 2 if another process holds its lock.
    "dpkg": 'countdown dpkg-locked || { echo "dpkg: error: dpkg frontend lock was locked by process 1"; exit 2; }',
    "dpkg-query": '[ ! -e "$FAKE/lacking" ] && printf installed',
    "rpm": '[ "$1" != -q ] && [ ! -e "$FAKE/lacking" ]',
    "apt-get": 'case "$*" in *" install "*) install_packages ;; esac',
    # The file offers has the packages on offer; offers-NAME has more, once NAME is installed or enabled.
    "dnf": """
case "$*" in
    *repoquery*) [[ $* != *--enablerepo* ]] || cat "$FAKE/offers-owner"; cat "$FAKE/offers" ;;
    *spal-release*) cat "$FAKE/offers-spal" >>"$FAKE/offers" ;;
    *"install "*) countdown dnf-failures || { cat "$FAKE/dnf-says"; exit 1; }
        [[ $* == *gcc* ]] && touch "$FAKE/compiler" || install_packages ;;
    *" remove "*) rm -f "$FAKE/compiler" ;;
    *) countdown dnf-silent || { cat "$FAKE/dnf-says"; exit 1; } ;;
esac""",
    "curl": """
while (($# > 1)); do [ "$1" != -o ] || to=$2; shift; done
countdown curl-failures || { echo "curl: (22) The requested URL returned error: 503" >&2; exit 22; }
cp "$FAKE/files/${1##*/}" "$to" """,
    "gpg": 'cat "$FAKE/fingerprint"',
    "ar": 'cat "$FAKE/files/data.tar.xz"',
    **dict.fromkeys(
        ("groupadd", "useradd", "ldconfig", "patch", "pkg-config", "systemd-tmpfiles", "nproc"), ""
    ),
    "make": """
countdown compile-failures ||
    { echo "remote.c:12:3: error: too few arguments"; echo "make: *** [all] Error 1"; exit 2; }
case "$*" in *DESTDIR=*) to=${!#} && to=${to#DESTDIR=}
    mkdir -p "$to/usr/lib/systemd/system" "$to/usr/sbin"
    touch "$to/usr/lib/systemd/system/pacemaker.service"; cp "$FAKE"/packaged/* "$FAKE/bin/" ;;
esac""",
    "python-of-the-agent": """
case "$*" in
    *getsitepackages*) echo /usr/lib/python3.9/site-packages ;;
    *ec2vip-parameter*) countdown key-failures || { echo 'AccessDeniedException: not authorized' >&2; exit 1; }
        if [ -e "$FAKE/parameter" ]; then cp "$FAKE/parameter" "$5"; else echo the-key >"$5"; fi ;;
esac""",
    "crm_mon": 'cat "$FAKE/view.xml"',
    "crm_resource": 'countdown unsettled || { echo "Pending actions"; exit 124; }',
    # Once a node hears the peer, it gets the cluster's CIB.
    "corosync-quorumtool": 'cat "$FAKE/members"; [ ! -s "$FAKE/late" ] || cp "$FAKE/late" "$FAKE/cluster.xml"',
    "corosync": "",
    "pacemakerd": "",
    "crm_attribute": 'echo "$*" >>"$CIB_file"',
    "cibadmin": """
case "$*" in
    --empty) echo '<cib crm_feature_set="3" epoch="1" num_updates="0" admin_epoch="0">' ;;
    "--query --xpath"*) value=${3##*@value=\\'} && grep -q "=${value%%\\'*}" "$FAKE/cluster.xml" ;;
    "--query --scope"*) cat "$CIB_file" ;;
    --query) cat "$FAKE/cluster.xml" ;;
    --delete-all*//group*) sed -i '/<group id="vip-group/d' "$CIB_file" ;;
    --delete-all*//rsc_colocation*) sed -i '/colocation add/d' "$CIB_file" ;;
    --modify*) [ "$4" != resources ] || cat "$6" >>"$CIB_file" ;;
esac""",
    "pcs": """
case "$*" in
    "cluster cib-push "*) countdown push-failures || { echo 'push refused'; exit 1; }
        cp "$3" "$FAKE/cluster.xml" ;;
    -f*) echo "${*:3}" >>"$2"
        case "$*" in *'group add'*) echo "<group id=\"$6\">" >>"$2" ;; esac ;;
esac""",
}

PRELUDE = """#!/bin/bash
echo "${0##*/} $*" >>"$FAKE/calls.log"
# The run ends with the call that begins as crash-at says; with "after " before it, the call is carried out first.
cut_off() { read -r -a stat </proc/$$/stat; kill -KILL -- "-${stat[5]}" 0; }
at=$(cat "$FAKE/crash-at")
if [ -n "$at" ] && [[ "${0##*/} $*" == "${at#after }"* ]]; then
    : >"$FAKE/crash-at"
    case $at in "after "*) trap cut_off EXIT ;; *) cut_off ;; esac
fi
# countdown FILE: fails while the number in the file is above zero, and takes one off it.
countdown() { local n; n=$(cat "$FAKE/$1"); ((n == 0)) && return; echo $((n - 1)) >"$FAKE/$1"; return 1; }
install_packages() {
    countdown install-failures || { echo "E: no such package"; exit 100; }
    cp "$FAKE"/packaged/* "$FAKE/bin/"
    mkdir -p "$EC2VIP_ROOT/usr/lib/ocf/resource.d/heartbeat"
    install -m 755 /dev/null "$EC2VIP_ROOT/usr/lib/ocf/resource.d/heartbeat/IPaddr2"
}
"""

JOINED = (
    '<current_dc present="true" name="ec2vip-b"/>\n'
    '<node name="{name}" id="1" online="true" standby="false" pending="false" unclean="false"/>\n'
)


class FakeNode:
    """One node's disk and tools; runs the bootstrap on it."""

    def __init__(self, folder: Path, spec: NodeSpec, *, baked: bool = False) -> None:
        self.root = folder / "root"
        self.fakes = folder / "fakes"
        self.console = folder / "console"
        self._put_user_data(spec)
        for place in ("bin", "packaged"):
            (self.fakes / place).mkdir(parents=True)
        for tool, answer in TOOLS.items():
            later = tool in CLUSTER_TOOLS and not baked
            path = self.fakes / ("packaged" if later else "bin") / tool
            path.write_text(f"{PRELUDE}{answer}\n")
            path.chmod(0o755)
        self.console.touch()
        self.say(
            "addresses", f"2: ens5    inet {spec.member.address}/24 brd 10.0.250.255 scope global ens5\n"
        )
        self.say("routes", "10.0.250.0/24 dev ens5 proto kernel\n")
        self.say("view.xml", JOINED.format(name=spec.name))
        self.say("members", "Nodeid Votes Name\n 1 1 ec2vip-a (local)\n 2 1 ec2vip-b\n")
        self.say("cluster.xml", '<cib epoch="5">\n')
        self.say("install-failures", "0")
        self.say("key-failures", "0")
        self.say("push-failures", "0")
        self.say("unsettled", "0")
        for name in ("dpkg-locked", "dnf-failures", "dnf-silent", "curl-failures", "compile-failures"):
            self.say(name, "0")
        self.say("offers", "corosync\nspal-release\n")
        for name in (
            *("broken-unit", "networkctl", "late", "calls.log", "crash-at"),
            *("offers-spal", "offers-owner", "dnf-says", "fingerprint"),
        ):
            self.say(name, "")
        if baked:
            agents = self.root / "usr/lib/ocf/resource.d/heartbeat"
            agents.mkdir(parents=True, exist_ok=True)
            (agents / "IPaddr2").touch(mode=0o755)

    def _put_user_data(self, spec: NodeSpec) -> None:
        for path, _, content in userdata.files(spec):
            target = self.root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        for folder in ("etc/yum.repos.d", "var/log", "var/tmp"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        self.tell("INTERPRETER=python-of-the-agent\n")

    def tell(self, assignment: str) -> None:
        """Override a variable of the user data for the bootstrap."""
        with (self.root / "etc/ec2vip/bootstrap.env").open("a") as environment:
            environment.write(assignment)

    def say(self, fake: str, text: str) -> None:
        """Set what a fake tool answers from now on."""
        (self.fakes / fake).write_text(text)

    def bootstrap(self, **limits: str) -> subprocess.CompletedProcess[str]:
        """Run the script from the user data."""
        self.say("calls.log", "")
        return subprocess.run(
            ["bash", str(self.root / "usr/local/sbin/ec2vip-bootstrap")],
            env={
                "EC2VIP_ROOT": str(self.root),
                "EC2VIP_CONSOLE": str(self.console),
                "PATH": f"{self.fakes / 'bin'}:/usr/bin:/bin",
                "EC2VIP_PAUSE": "0.01",
                "EC2VIP_PEER_LIMIT": "0",
                "FAKE": str(self.fakes),
                "HOME": os.environ.get("HOME", "/"),
                **limits,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            start_new_session=True,  # its own process group, as its control group in systemd
        )

    @property
    def calls(self) -> list[str]:
        """The calls of the tools in the last run, in order."""
        return (self.fakes / "calls.log").read_text().splitlines()

    def calls_of(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]

    @property
    def cluster(self) -> str:
        return (self.fakes / "cluster.xml").read_text()

    @property
    def done(self) -> bool:
        return (self.root / "var/lib/cloud/instance/ec2vip/done").exists()

    @property
    def last_line(self) -> str:
        """The last line on the console."""
        return self.console.read_text().splitlines()[-1]


def in_order(calls: list[str], *beginnings: str) -> bool:
    """Whether calls with these beginnings occur in this order."""
    rest = iter(calls)
    return all(any(call.startswith(beginning) for call in rest) for beginning in beginnings)
