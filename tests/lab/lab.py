"""A lab as its user sees it from outside: start it, look at it, run things in its nodes, end it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3

from tests.lab import cgroup, control, daemon, image, snapshot
from tests.lab.amis import Image
from tests.lab.errors import LabError
from tests.lab.files import read_json, write_whole
from tests.lab.log import say
from tests.lab.network_plan import CLIENT, FABRIC, node_words
from tests.lab.paths import LAB_MARK, TOOLS, lab_dir, labs_dir
from tests.lab.process import CommandError, ProcessId, children, run
from tests.lab.timeline import Timeline
from tests.lab.turns import alone

if TYPE_CHECKING:
    from tests.aws.emulator import Settings

ROOM_BYTES = 256 << 20
"""Room for a lab's timeline at its longest, consoles, and Pulumi's state; the nodes' disks are in memory."""
PROCESS = "process.json"
START_LIMIT_S = 60.0
"""The lab itself is up in some 3 s; a busy machine may need longer."""


def latency_settings(name: str) -> Settings:
    """The emulator's settings for `none`, `typical`, or the API's seconds. Raises LabError for another word."""
    from tests.aws.emulator import Settings  # it takes a second to load, and few commands need it

    known = {"none": Settings.instant, "typical": Settings.typical}
    if name in known:
        return known[name]()
    with contextlib.suppress(ValueError):
        if (seconds := float(name)) >= 0:
            return Settings(api_delay_s=seconds)
    raise LabError(
        f"latency {name!r} is not none, typical or a number of seconds", "set LATENCY=typical, for example"
    )


class Lab:
    """The lab called `name`. It asks the machine each time whether the lab runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = lab_dir(name)

    # --- life ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def coming_up(self) -> Iterator[None]:
        """Let only one process at a time bring this lab up. A second one waits, and then finds it up."""
        if not self.is_running():
            self._require_room()  # before an image is made, which takes a minute
        with alone(labs_dir() / f".{self.name}.lock", f"another `make up` of lab {self.name!r}"):
            yield

    def up(self, *, images: Iterable[Image] = (Image("debian12"),), hollow: bool = False) -> None:
        """Start the lab's process unless it runs, after removing what a crash may have left.

        It makes those of the `images`, which the instances will boot, that do not exist yet. In a `hollow`
        lab, instances have power, an interface and everything around it, but no guest boots. Raises LabError
        with the end of the lab's log if it does not get ready.
        """
        if not hollow:
            image.ensure(images)
        if self.is_running():
            return
        self.down()
        self._require_room()
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            write_whole(self.folder / LAB_MARK, self.name)
            write_whole(
                self.folder / TOOLS, json.dumps({"PATH": os.environ["PATH"], "VIRTUAL_ENV": sys.prefix})
            )
            (self.folder / "nodes").mkdir()
            self._start(hollow)
        except BaseException:
            # Also on Ctrl-C: nobody can use half a lab.
            self.down()
            raise

    @staticmethod
    def _require_room() -> None:
        labs_dir().mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(labs_dir()).free) < ROOM_BYTES:
            raise LabError(
                f"{labs_dir()} has {free >> 20} MiB free; a lab needs {ROOM_BYTES >> 20} MiB",
                "free some, or point EC2VIP_LABS at a larger disk",
            )

    def _start(self, hollow: bool) -> None:
        log = self.folder / "daemon.log"
        process = daemon.spawn(self.name, log, hollow=hollow)
        self._note(ProcessId.of(process.pid))
        deadline = time.monotonic() + START_LIMIT_S
        while not self.state().get("ready"):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text().splitlines()[-15:])
                raise LabError(f"the lab did not start:\n{tail}", "fix what it reports, then run `make up`")
            time.sleep(0.05)

    def down(self) -> None:
        """End the lab's process and everything inside; remove its control groups and its folder.

        Raises LabError, and touches nothing, if the folder does not belong to a lab of this name.
        """
        self._require_ours()
        if process := self._process():
            first_inside = self._process_1()
            process.end(grace_s=0.5)
            # The kernel ends everything inside together with process 1, and process 1 last.
            if first_inside:
                first_inside.end(grace_s=10.0)
        cgroup.remove(self.name)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        with contextlib.suppress(OSError):
            labs_dir().rmdir()

    def _require_ours(self) -> None:
        mark = self.folder / LAB_MARK
        if not os.path.lexists(self.folder) or (mark.is_file() and mark.read_text() == self.name):
            return
        # An empty folder may be ours: perhaps the mark could not be written any more.
        if self.folder.is_symlink() or not self.folder.is_dir() or any(self.folder.iterdir()):
            raise LabError(
                f"{self.folder} is not the folder of a lab: it has no file {LAB_MARK} with the text {self.name!r}",
                f"remove it by hand, or write that file; EC2VIP_LABS={labs_dir()} must hold only labs",
            )

    def is_running(self) -> bool:
        """Whether the lab's process lives and is ready."""
        process = self._process()
        return bool(process and process.is_alive() and self.state().get("ready"))

    def require_running(self) -> None:
        """Raise LabError if the lab does not run."""
        if not self.is_running():
            raise LabError(f"no lab {self.name!r} runs", "start it with `make up`")

    def _process(self) -> ProcessId | None:
        """The process that makes the lab's walls: as noted, or as found if the note is missing or broken."""
        with contextlib.suppress(LabError, TypeError):
            if noted := read_json(self.folder / PROCESS):
                return ProcessId(**noted)
        if not self.folder.exists():
            return None
        if found := daemon.find(self.name):
            say(f"{self.folder / PROCESS} does not name the lab's process; it is {found.pid}")
            self._note(found)
        return found

    def _note(self, process: ProcessId) -> None:
        write_whole(self.folder / PROCESS, json.dumps(vars(process)))

    def _process_1(self) -> ProcessId | None:
        """Process 1 behind the walls, by its id outside: the child of the process that made them.

        A lab that is just being made has none for some milliseconds. We wait for it, because a process 1 that
        appears after its parent's end would stay forever.
        """
        process = self._process()
        deadline = time.monotonic() + 5
        while process and process.is_alive() and time.monotonic() < deadline:
            if found := children(process.pid):
                return ProcessId.of(found[0])
            time.sleep(0.01)
        return None

    def state(self) -> dict[str, Any]:
        """What the lab's process last wrote about itself; empty if there is no such file or it is broken."""
        with contextlib.suppress(LabError):
            return read_json(self.folder / "state.json")
        return {}

    @property
    def timeline(self) -> Timeline:
        """What happened in the lab."""
        return Timeline(self.folder)

    def ask(self, action: str, **arguments: Any) -> Any:
        """Have the lab's process do `action` (see daemon.actions). Raises LabError if it fails."""
        self.require_running()
        return control.ask(self.folder, action, **arguments)

    def set_latency(self, name: str) -> dict[str, float | None]:
        """Change how long EC2 takes, as long as the lab lives; return the settings as they were.

        `name` is `none`, `typical` (AWS's own times, as far as they are public), or the API's seconds as a
        number. Raises LabError for another word.
        """
        settings = latency_settings(name)
        delays = {key: getattr(settings, key) for key in settings.delays()}
        before: dict[str, float | None] = self.ask("set-delays", **delays)
        return before

    @contextlib.contextmanager
    def latency(self, name: str) -> Iterator[None]:
        """Set how long EC2 takes while the block runs; after it, EC2 takes as long as before."""
        before = self.set_latency(name)
        try:
            yield
        finally:
            self.ask("set-delays", **before)

    def be_like(
        self, delays: Mapping[str, float], switches: Mapping[str, str]
    ) -> dict[str, float | str | None]:
        """Have EC2 these times (s) and switches (see emulator.Settings) as long as the lab lives.

        Returns what they were. Raises LabError for a name or value that there is not, and if no lab runs.
        """
        # The switches first: theirs are the values that can be wrong, and then nothing is changed.
        before: dict[str, float | str | None] = self.ask("set-switches", **switches)
        before.update(self.ask("set-delays", **delays))
        return before

    def snapshot(self) -> None:
        """Keep the nodes' present state for `restore`; cuts their power and boots them again."""
        snapshot.take(self)

    def restore(self, only: Iterable[str] = ()) -> None:
        """Bring the nodes, or those in `only`, back to the snapshot, end their faults, and boot them.

        Returns when they have power.
        """
        snapshot.restore(self, only)

    # --- the cloud -----------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """The environment in which boto3, the AWS CLI and Pulumi take the lab for AWS."""
        state = self.state()
        key: dict[str, str] = json.loads((self.folder / daemon.ADMINISTRATOR).read_text())
        return {
            "AWS_ENDPOINT_URL": state["endpoint"],
            **key,
            "AWS_REGION": state["region"],
            "AWS_DEFAULT_REGION": state["region"],
        }

    def client(self, service: str = "ec2") -> Any:
        """A boto3 client of the lab's API, as its administrator."""
        env = self.environment()
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    # --- its nodes -----------------------------------------------------------------------------------------

    def enter(self) -> list[str]:
        """The command prefix that runs a command behind the lab's walls. Raises LabError if no lab runs."""
        process_1 = self._process_1()
        if process_1 is None:
            raise LabError(f"no lab {self.name!r} runs", "start it with `make up`")
        return ["nsenter", "--target", str(process_1.pid), "--mount", "--pid", "--"]

    def in_fabric(self) -> list[str]:
        """The command prefix that runs a command in the VPC's data plane."""
        return [*self.enter(), "ip", "netns", "exec", FABRIC]

    def in_client(self) -> list[str]:
        """The command prefix that runs a command on the client host."""
        return [*self.enter(), "ip", "netns", "exec", CLIENT]

    def in_node(self, instance_id: str) -> list[str]:
        """The command prefix that runs a command as root in the node. Raises LabError if it has no power."""
        return [*self.enter(), *node_words(self.leader(instance_id), hollow=self.state()["hollow"])]

    def leader(self, instance_id: str) -> int:
        """The node's process 1, by its id behind the walls. Raises LabError if it has no power."""
        leader = self.state().get("nodes", {}).get(instance_id, {}).get("leader")
        if leader is None:
            raise LabError(f"{instance_id} is not running", "see `make status`")
        return int(leader)

    def run_in(
        self, instance_id: str, argv: Sequence[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node to its end; `options` are those of `process.run`."""
        return run([*self.in_node(instance_id), *argv], **options)

    def try_in(self, instance_id: str, argv: Sequence[str], timeout_s: float = 20) -> str | None:
        """The output of a command in the node, None if it fails or the node is off."""
        try:
            return self.run_in(instance_id, argv, timeout_s=timeout_s).stdout
        except (CommandError, LabError):
            return None
