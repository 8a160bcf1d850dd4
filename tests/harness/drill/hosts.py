"""Hosts of an emulated account: an SSM agent on each runs its commands really, with stand-ins for the network.

The stand-ins are `ip` and `ping`, which follow the addresses in effect in the emulator's data plane, `chronyc` and
`corosync-cmapctl`. A host's console, /proc/stat and library of the agent are files in its folder. No command that
names sysrq is ever run: the machine of the tests would crash.
"""

from __future__ import annotations

import os
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import trustme

from cloudinit import minify, places
from infra.identity import vip_policy
from infra.tags import PAIR
from tests.aws.emulator import Settings
from tests.aws.emulator.http import Request, Response, Server
from tests.aws.emulator.model import NullMachines
from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET, Ground
from tests.drill.run_command import Commands
from tests.harness.aws.conftest import NODE_A, NODE_B, VIP, Cloud

SPARE = "127.0.250.200"
OWN = "a/b/c"

IP = """#!/bin/sh
# The host's addresses are lines of a file.
cd "$HOST" || exit
case "$*" in
    "-4 -o address show to "*) grep -nx "$6" addresses | sed 's/:/: ens5    inet /' ;;
    "address replace "*" dev ens5") grep -qx "$3" addresses || echo "$3" >>addresses ;;
    "address del "*" dev ens5") grep -qx "$3" addresses && sed -i "\\|^$3\\$|d" addresses ;;
    *) echo "ip: $*" >&2; exit 1 ;;
esac
"""
PING = """#!{python} -I
# An address answers while the host that EC2 delivers it to has it.
import os, pathlib, sys, time
assert sys.argv[1:5] == ["-n", "-D", "-i", "0.01"], sys.argv
address, hosts = sys.argv[5], pathlib.Path(os.environ["HOST"]).parent
count = 0
while True:
    count += 1
    route = hosts / f"route-{address}"
    to = route.read_text() if route.exists() else ""
    if to and f"{address}/32" in (hosts / to / "addresses").read_text().split():
        print(f"[{time.time():.6f}] 64 bytes from {address}: icmp_seq={count} ttl=64 time=0.1 ms", flush=True)
    time.sleep(0.01)
"""
CHRONYC = """#!/bin/sh
[ -e "$HOST/chrony" ] && cat "$HOST/chrony"
"""
CMAPCTL = """#!/bin/sh
[ "$*" = "-m stats" ] && cat "$HOST/stats"
"""


class Machines(NullMachines):
    """Machines that are in any state at once, with a console; they note how they are stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[tuple[str, bool, bool]] = []
        self.console: Callable[[str], str] = lambda instance_id: ""

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        self.stops.append((instance_id, force, skip_os_shutdown))
        super().stop(instance_id, force=force, skip_os_shutdown=skip_os_shutdown)

    def console_output(self, instance_id: str) -> str:
        return self.console(instance_id)


class Hosts:
    """A pair with the product's own role, and a client in the nodes' subnet and in another one."""

    def __init__(
        self, folder: Path, settings: Settings, *, may_move: bool = True, kind: str = "t3.small"
    ) -> None:
        self.folder, self.machines, self._kind = folder, Machines(), kind
        self.sent: list[tuple[str, list[str]]] = []
        self.before: Callable[[str, list[str]], None] = lambda host, words: None
        self.hangs: Callable[[str], int] = lambda host: 1
        """What a command that crashes the kernel returns; by default the guest may not."""
        self._lock = threading.Lock()
        self._servers: list[Server] = []
        self._make_tools()
        self.cloud = Cloud(settings, machines=self.machines, on_change=self._route)
        self._endpoint = self._serve_tls()
        cloud = self.cloud
        policy = vip_policy(cloud.arn("subnet", cloud.subnet_id), cloud.emulator.account_id, OWN)
        cloud.role("node", *policy["Statement"] if may_move else ())
        zone = f"{cloud.emulator.region}b"  # one that has the instance type
        other = cloud.ec2.create_subnet(
            VpcId=cloud.vpc_id, CidrBlock="127.0.251.0/24", AvailabilityZone=zone
        )["Subnet"]
        self.nodes = (self._node(NODE_A), self._node(NODE_B))
        cloud.assign(cloud.eni(self.nodes[0]), VIP)
        self.clients = {
            SAME_SUBNET: self._host(cloud.launch("127.0.250.30")),
            OTHER_SUBNET: self._host(cloud.launch("127.0.251.30", SubnetId=other["SubnetId"])),
        }

    def ground(self, **more: Any) -> Ground:
        """What the measures need, with `more` in place of it."""
        given: dict[str, Any] = {
            "ec2": self.cloud.ec2,
            "commands": Commands(self.cloud.client("ssm")),
            "nodes": self.nodes,
            "clients": self.clients,
            "spare": SPARE,
            "holder": lambda: self.nodes[0],
            "wait_until_whole": lambda: None,
        }
        return Ground(**{**given, **more})

    def close(self) -> None:
        self.cloud.emulator.close()
        for server in self._servers:
            server.close()

    def addresses(self, host: str) -> list[str]:
        """What the host's system has."""
        return (self.folder / host / "addresses").read_text().split()

    def in_ec2(self) -> list[str]:
        """All secondary addresses of the account, as EC2 describes them."""
        found = self.cloud.ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [a["PrivateIpAddress"] for eni in found for a in eni["PrivateIpAddresses"] if not a["Primary"]]

    def put(self, host: str, name: str, text: str) -> None:
        """Write a file of the host."""
        (self.folder / host / name).write_text(text)

    def run(self, host: str, words: Sequence[str]) -> tuple[int, str]:
        """What the host's agent answers to a command."""
        return self._agent(host, shlex.join(words))

    def connect(self, host: str) -> None:
        """Have the host's SSM agent run."""
        self.cloud.emulator.ssm_agents[host] = lambda lines: self._agent(host, "\n".join(lines))

    def _node(self, address: str) -> str:
        node = self.cloud.launch(
            address,
            InstanceType=self._kind,
            IamInstanceProfile={"Name": "node"},
            MetadataOptions={"HttpTokens": "required"},
        )
        self.cloud.ec2.create_tags(Resources=[self.cloud.eni(node)], Tags=[{"Key": PAIR, "Value": OWN}])
        return self._host(node)

    def _host(self, host: str) -> str:
        (self.folder / host).mkdir()
        self.put(host, "addresses", f"{self.cloud.interface(host).primary}/32\n")
        self.connect(host)
        return host

    def _agent(self, host: str, line: str) -> tuple[int, str]:
        words = shlex.split(line)
        self.sent.append((host, words))
        if "sysrq" in line:
            return self.hangs(host), ""
        self.before(host, words)
        home, libraries = self.folder / host, places.LIBRARY_PATH
        if libraries in words:
            places_of_test = [self._metadata_of(host), self._endpoint]
            words += places_of_test if words[-1] == libraries else places_of_test[:1]
        for real, here in (
            (libraries, self.folder / "library"),
            ("/dev/console", home / "console"),
            ("/proc/stat", home / "stat"),
        ):
            words = [word.replace(real, str(here)) for word in words]
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {"PATH": path, "HOST": str(home), "SSL_CERT_FILE": str(self.folder / "authority.pem")}
        ended = subprocess.run(
            ["sh", "-c", shlex.join(words)], env=environ, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            print(host, ended.stderr, file=sys.stderr)
        return ended.returncode, ended.stdout

    def _metadata_of(self, host: str) -> str:
        """A metadata service that takes whoever asks for this host."""
        address, service = self.cloud.interface(host).primary, self.cloud.emulator._metadata

        def respond(request: Request) -> Response:
            return service.respond(replace(request, client_ip=address))

        self._servers.append(server := Server(respond, "127.0.0.1"))
        return f"127.0.0.1:{server.port}"

    def _serve_tls(self) -> str:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(self.folder / "authority.pem"))
        return f"127.0.0.1:{self.cloud.emulator.serve('127.0.0.1', ssl_context=context).port}"

    def _make_tools(self) -> None:
        tools = {
            "ip": IP,
            "ping": PING.replace("{python}", sys.executable),
            "chronyc": CHRONYC,
            "corosync-cmapctl": CMAPCTL,
        }
        (self.folder / "bin").mkdir()
        for name, text in tools.items():
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)
        (library := self.folder / "library" / "agent").mkdir(parents=True)
        for source in places.AGENT_SOURCES.glob("*.py"):
            (library / source.name).write_text(minify.python(source.read_text()))

    def _route(self) -> None:
        """Write down to whom EC2 delivers the spare address."""
        if not hasattr(self, "cloud"):
            return
        with self._lock:
            to = [each.instance_id for each in self.cloud.emulator.interfaces() if SPARE in each.secondaries]
            aside = self.folder / "route~"
            aside.write_text(to[0] or "" if to else "")
            aside.replace(self.folder / f"route-{SPARE}")
