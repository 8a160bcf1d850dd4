"""The lab's own process, and the walls around it.

`spawn()` starts it in process and mount namespaces of its own, and it makes its network namespaces inside
them. So everything the lab ever makes (nodes, mounts, networks, rules, sockets) is inside, and ends when one
process ends, however it ends. The machine itself has only one folder and one tree of control groups
(`Lab.down` removes both), and one loopback port.

Inside, this module is process 1 and only waits for children. Its child serves the EC2 API, the metadata
service, the name service and the package mirror, and runs the hypervisor.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.errors import LabError
from tests.lab.files import write_whole
from tests.lab.log import say
from tests.lab.paths import PROJECT, cache_dir, lab_dir
from tests.lab.process import ProcessId

if TYPE_CHECKING:
    from tests.aws.emulator import Emulator, Fault
    from tests.lab.hypervisor import Hypervisor
    from tests.lab.mirror import Mirror

REGION = "us-east-1"
API_NAMES = tuple(f"{service}.{REGION}.amazonaws.com" for service in ("ec2", "ssm"))
ADMINISTRATOR = "administrator.json"  # in the lab's folder: the access key, as environment variables


def spawn(
    name: str, log: Path, *, hollow: bool = False, module: str = "tests.lab.daemon"
) -> subprocess.Popen[bytes]:
    """Start the lab's process behind its walls, detached from the caller.

    The child of the returned process is process 1 inside. It runs this module, or another `module` that takes
    the same arguments.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                *(
                    "unshare",
                    "--mount",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "--propagation=private",
                ),
                *(sys.executable, "-m", module, name),
                *(["hollow"] if hollow else []),
            ],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def find(name: str) -> ProcessId | None:
    """The process that `spawn` has started for the lab of this name (and this EC2VIP_LABS), if it lives."""
    labs = os.environ.get("EC2VIP_LABS", "").encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, LabError):
            words, given = ((process / part).read_bytes().split(b"\0") for part in ("cmdline", "environ"))
            theirs = next((word[12:] for word in given if word.startswith(b"EC2VIP_LABS=")), b"")
            if words[0] == b"unshare" and name.encode() in words[-3:] and theirs == labs:
                return ProcessId.of(int(process.name))
    return None


class StateFile:
    """A file in the lab's folder that the commands read: always whole, and readable for its owner only."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._lock = threading.Lock()

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file's content."""
        with self._lock:
            write_whole(self._path, json.dumps(state, indent=1), 0o600)


def listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


def actions(emulator: Emulator, hypervisor: Hypervisor, mirror: Mirror) -> dict[str, Callable[..., Any]]:
    """The actions that `control` offers in the lab's process, by name."""
    faults: dict[int, Fault] = {}
    numbers = itertools.count(1)

    def begin_fault(part: str, instance_id: str | None, kind: str, seconds: float) -> int:
        """Break the `api`, the metadata service (`imds`) or the `clock` for an instance.

        Returns the fault's number for `end-fault`.
        """
        begin = {
            "api": emulator.faults.api,
            "imds": emulator.faults.imds,
            "clock": emulator.faults.clock,
        }[part]
        fault = begin(instance_id, kind, seconds)
        faults[number := next(numbers)] = fault
        return number

    def end_fault(number: int) -> None:
        if fault := faults.pop(number, None):
            fault.undo()

    def set_delays(**seconds: float) -> dict[str, float]:
        """Change EC2's times (see emulator.Settings) and return what they were."""
        unknown = seconds.keys() - {key for key in vars(emulator.settings) if key.endswith("_s")}
        if unknown:
            raise ValueError(f"there is no setting {sorted(unknown)[0]!r}; see emulator/settings.py")
        before = {key: getattr(emulator.settings, key) for key in seconds}
        for key, value in seconds.items():
            setattr(emulator.settings, key, value)
        return before

    def set_switches(**values: str) -> dict[str, str]:
        """Change what EC2 does where it has a choice (see emulator.Settings); return what it did."""
        known = emulator.settings.switches()
        for key, value in values.items():
            if key not in known:
                raise ValueError(f"there is no switch {key!r}; see emulator/settings.py")
            if value not in known[key]:
                raise ValueError(f"{key} is {' or '.join(known[key])}, not {value!r}")
        before = {key: getattr(emulator.settings, key) for key in values}
        for key, value in values.items():
            setattr(emulator.settings, key, value)
        return before

    def set_grace(seconds: float) -> float:
        """Change how long a guest may take to shut down, and return what it was."""
        before, hypervisor.shutdown_grace_s = hypervisor.shutdown_grace_s, seconds
        return before

    return {
        "begin-fault": begin_fault,
        "end-fault": end_fault,
        "end-all-faults": emulator.faults.clear,
        "power-loss": hypervisor.power_loss,
        "power-on": hypervisor.power_on,
        "keep-disk": hypervisor.keep_disk,
        "reset-disk": hypervisor.reset_disk,
        "set-delays": set_delays,
        "set-grace": set_grace,
        "set-mirror": mirror.tell,
        "set-switches": set_switches,
    }


def serve(name: str, hollow: bool) -> None:
    """Build the lab and serve it until the process is ended."""
    # AWS's managed policies, such as that of the Systems Manager. moto leaves them out by default.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    # Imported here: process 1 needs none of it, and stays small.
    import trustme

    from tests.aws.emulator import Emulator
    from tests.lab import cache, control, disk, dns, fabric, image, mirror, network_plan
    from tests.lab.amis import SUITES
    from tests.lab.hypervisor import Hypervisor
    from tests.lab.timeline import Timeline

    folder = lab_dir(name)
    cache.hold(Path(sys.prefix))
    engine = Path(shutil.which("pulumi") or "/")
    if engine.parent.parent == cache_dir():
        cache.hold(engine.parent)
    if not hollow:
        disk.require(cache_dir(), Path("/run/probe"))
    plane = fabric.Fabric()
    plane.build()

    authority = trustme.CA(organization_name="region's certificate authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*API_NAMES).configure_cert(context)
    beyond = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*mirror.NAMES).configure_cert(beyond)
    certificate = authority.cert_pem.bytes()

    state_file = StateFile(folder, "state.json")
    state: dict[str, Any] = {"name": name, "ready": False, "process_1": 1, "region": REGION, "nodes": {}}
    state["hollow"] = hollow

    def publish() -> None:
        state["nodes"] = {key: {"leader": node.leader} for key, node in hypervisor.nodes.items()}
        state_file.write(state)

    timeline = Timeline(folder)

    def record(event: dict[str, Any]) -> None:
        # Whoever asked for a fault records it, under the fault's own name.
        if event["kind"] != "fault":
            timeline.append(**event)

    def follow() -> None:
        try:
            for change in plane.apply(emulator.interfaces(), emulator.rules()):
                timeline.append("fabric", change=change)
        except Exception:
            traceback.print_exc()

    hypervisor = Hypervisor(name, folder / "nodes", certificate, plane, publish, timeline, hollow)
    emulator = Emulator(region=REGION, machines=hypervisor, on_change=follow, record=record)
    hypervisor.emulator = emulator
    key_id, secret = emulator.administrator
    StateFile(folder, ADMINISTRATOR).write({"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret})
    archives = mirror.Mirror(image.mirror, SUITES)
    control.serve(folder, actions(emulator, hypervisor, archives))

    def inside() -> None:
        emulator.serve(network_plan.API, 443, ssl_context=context, sock=listen(network_plan.API, 443))
        emulator.serve_imds(network_plan.IMDS, 80, sock=listen(network_plan.IMDS, 80))
        known = {
            **dict.fromkeys(API_NAMES, network_plan.API),
            **dict.fromkeys(mirror.NAMES, network_plan.MIRROR),
        }
        dns.serve(network_plan.RESOLVER, known)
        archives.serve(listen(network_plan.MIRROR, 80))
        archives.serve(listen(network_plan.MIRROR, 443), beyond)

    fabric.in_namespace(network_plan.FABRIC, inside)
    state["endpoint"] = emulator.serve("127.0.0.1").url
    state["ready"] = True
    publish()
    signal.pause()


def main(name: str, kind: str = "") -> int:
    """Be process 1 inside: make a private /run, start the child that serves, and wait for children to end."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run"], check=True)
    for folder in ("/run/netns", "/run/lock"):
        Path(folder).mkdir()
    child = os.fork()
    if child == 0:
        try:
            serve(name, kind == "hollow")
        except LabError as error:
            say(f"error: {error}")
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
