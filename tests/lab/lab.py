"""A lab as its user sees it from outside: start it, look at it, run things in its nodes, end it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from tests.lab import cgroup, control, daemon, image, snapshot
from tests.lab.amis import Image
from tests.lab.errors import LabError
from tests.lab.layout import CLIENT, FABRIC, node_words
from tests.lab.paths import lab_dir, labs_dir
from tests.lab.process import CommandError, ProcessId, run
from tests.lab.timeline import Timeline

if TYPE_CHECKING:
    from tests.lab.emulator import Settings

START_LIMIT_S = 60.0
"""The lab itself is up in some 3 s; a busy machine may need longer."""


def latency_settings(name: str) -> Settings:
    """The emulator's settings for `none`, `typical`, or the API's seconds. Raises LabError for another word."""
    from tests.lab.emulator import Settings  # it takes a second to load, and few commands need it

    known = {"none": Settings.instant, "typical": Settings.typical}
    if name in known:
        return known[name]()
    with contextlib.suppress(ValueError):
        if (seconds := float(name)) >= 0:
            return Settings(api_delay_s=seconds)
    raise LabError(
        f"latency {name!r} is none of none, typical, or seconds", "say for instance LATENCY=typical"
    )


class Lab:
    """The lab called `name`; whether it runs is asked of the machine each time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = lab_dir(name)

    # --- life ----------------------------------------------------------------------------------------------

    def up(self, *, images: Iterable[Image] = (Image("debian12"),), hollow: bool = False) -> None:
        """Start the lab's process where it doesn't run, after removing what a crash may have left.

        The `images` are those that its instances will boot; they are made where they aren't there. In a `hollow`
        lab instances have power, an interface and everything around it, but no guest boots.
        Raises LabError with the end of its log where it does not get ready.
        """
        if not hollow:
            image.ensure(images)
        if self.is_running():
            return
        self.down()
        self.folder.mkdir(parents=True, mode=0o700)
        (self.folder / "nodes").mkdir()
        log = self.folder / "daemon.log"
        process = daemon.spawn(self.name, log, hollow=hollow)
        try:
            (self.folder / "process.json").write_text(json.dumps(vars(ProcessId.of(process.pid))))
            deadline = time.monotonic() + START_LIMIT_S
            while not self.state().get("ready"):
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = "\n".join(log.read_text().splitlines()[-15:])
                    raise LabError(f"the lab did not start:\n{tail}", "mend what it says, then `make up`")
                time.sleep(0.05)
        except BaseException:
            # A Ctrl-C as well: half a lab is of no use to anybody.
            with contextlib.suppress(LabError):
                (self.folder / "process.json").write_text(json.dumps(vars(ProcessId.of(process.pid))))
            self.down()
            raise

    def down(self) -> None:
        """End the lab's process and with it everything inside; remove its groups and its folder."""
        if process := self._process():
            cgroup.thaw(self.name)
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

    def is_running(self) -> bool:
        """Whether the lab's process lives and is ready."""
        process = self._process()
        return bool(process and process.is_alive() and self.state().get("ready"))

    def require_running(self) -> None:
        """Raise LabError where the lab does not run."""
        if not self.is_running():
            raise LabError(f"no lab {self.name!r} runs", "start it with `make up`")

    def _process(self) -> ProcessId | None:
        path = self.folder / "process.json"
        return ProcessId(**json.loads(path.read_text())) if path.exists() else None

    def _process_1(self) -> ProcessId | None:
        """Process 1 behind the walls, by its id outside: the child of the process that made them.

        A lab that is only just being made has none for some milliseconds: it is waited for, since one that came
        after its parent's end would stay for ever.
        """
        process = self._process()
        deadline = time.monotonic() + 5
        while process and process.is_alive() and time.monotonic() < deadline:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children:
                return ProcessId.of(int(children[0]))
            time.sleep(0.01)
        return None

    def state(self) -> dict[str, Any]:
        """What the lab's process last wrote of itself; empty where there is none."""
        path = self.folder / "state.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    @property
    def timeline(self) -> Timeline:
        """What happened in the lab."""
        return Timeline(self.folder)

    def ask(self, action: str, **arguments: Any) -> Any:
        """Have the lab's process do what only it can (see daemon.actions). Raises LabError with its reason."""
        self.require_running()
        return control.ask(self.folder, action, **arguments)

    def set_latency(self, name: str) -> None:
        """Change how long EC2 takes, while the lab lives: `none`, `typical` (what is public of AWS's own times),
        or the API's seconds as a number. Raises LabError for another word."""
        settings = vars(latency_settings(name))
        self.ask(
            "set-delays",
            **{key: value for key, value in settings.items() if key.endswith(("_delay_s", "_lag_s"))},
        )

    def snapshot(self) -> None:
        """Keep the nodes as they are, to come back to by `restore`; cuts their power and boots them."""
        snapshot.take(self)

    def restore(self, only: Iterable[str] = ()) -> None:
        """Bring the nodes (or some) back to the snapshot, end their faults, and boot; returns when they have
        power."""
        snapshot.restore(self, only)

    # --- the cloud -----------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to take the lab for AWS: boto3, the AWS CLI, Pulumi."""
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
        """The words before a command that put it behind the lab's walls."""
        process_1 = self._process_1()
        if process_1 is None:
            raise LabError(f"no lab {self.name!r} runs", "start it with `make up`")
        return ["nsenter", "--target", str(process_1.pid), "--mount", "--pid", "--"]

    def in_fabric(self) -> list[str]:
        """The words before a command that run it in the VPC's data plane."""
        return [*self.enter(), "ip", "netns", "exec", FABRIC]

    def in_client(self) -> list[str]:
        """The words before a command that run it as the client host."""
        return [*self.enter(), "ip", "netns", "exec", CLIENT]

    def in_node(self, instance_id: str) -> list[str]:
        """The words before a command that run it as root in the node. Raises LabError where it has no power."""
        return [*self.enter(), *node_words(self.leader(instance_id))]

    def leader(self, instance_id: str) -> int:
        """The node's process 1, by its id behind the walls. Raises LabError where it has no power."""
        leader = self.state().get("nodes", {}).get(instance_id, {}).get("leader")
        if leader is None:
            raise LabError(f"{instance_id} is not running", "see `make status`")
        return int(leader)

    def run_in(
        self, instance_id: str, argv: Sequence[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node to its end; options as of `process.run`."""
        return run([*self.in_node(instance_id), *argv], **options)

    def try_in(self, instance_id: str, argv: Sequence[str], timeout_s: float = 20) -> str | None:
        """The output of a command in the node, None where it fails or the node is off."""
        try:
            return self.run_in(instance_id, argv, timeout_s=timeout_s).stdout
        except (CommandError, LabError):
            return None
