"""The emulator's interfaces, instances and rules, as the data plane must implement them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

PENDING, RUNNING, SHUTTING_DOWN = "pending", "running", "shutting-down"
TERMINATED, STOPPING, STOPPED = "terminated", "stopping", "stopped"

# Codes of the instance states. Source: AWS, API_InstanceState.
STATE_CODES = {PENDING: 0, RUNNING: 16, SHUTTING_DOWN: 32, TERMINATED: 48, STOPPING: 64, STOPPED: 80}


@dataclass(frozen=True)
class Interface:
    """A network interface. Addresses are those in effect in the data plane, not those just asked for."""

    eni_id: str
    mac: str
    instance_id: str | None
    device_index: int | None
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidr: str
    primary: str
    secondaries: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    source_dest_check: bool
    public_ip: str | None

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.primary, *self.secondaries)


@dataclass(frozen=True)
class Instance:
    """An instance. `user_data` is decoded; `hop_limit` is the IP TTL of answers with a metadata token."""

    id: str
    type: str
    image_id: str
    user_data: bytes
    interface: Interface | None
    profile: str | None
    role: str | None
    state: str
    name: str | None
    launch_index: int
    launched: datetime
    http_endpoint: bool
    http_tokens: str
    hop_limit: int


@dataclass(frozen=True)
class GroupRule:
    """One rule of a security group. It names either an address range or a group, never both.

    `protocol` is "tcp", "udp", "icmp" or "-1" (all). For ICMP the ports are type and code; -1 means any.
    """

    group_id: str
    direction: str  # "ingress" or "egress"
    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None
    source_group_id: str | None


class Machines(Protocol):
    """Boots the guests. Each instance has its own thread for these calls, in the order of the API calls.

    A call may block or return at once. Either way, the machine reports the outcome with
    `Emulator.set_instance_state`: "running", "stopped" or "terminated".
    """

    def launch(self, instance_id: str) -> None: ...

    def reboot(self, instance_id: str) -> None: ...

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None: ...

    def start(self, instance_id: str) -> None: ...

    def terminate(self, instance_id: str) -> None: ...

    def console_output(self, instance_id: str) -> str: ...


@runtime_checkable
class CommandedMachines(Protocol):
    """Machines that also run what Run Command sends, as an SSM agent in the guest would."""

    def run_command(self, instance_id: str, lines: list[str], limit_s: float) -> tuple[int, str] | None:
        """The exit status and standard output of a shell script; it runs as the guest's root.

        None if the guest has no power or stands still, so that it does not get the script. Raises TimeoutError
        if the script has no end after `limit_s` seconds, or if the guest lost its power meanwhile.
        """
        ...


class NullMachines:
    """Machines that reach any requested state at once, for work on the API alone."""

    def __init__(self) -> None:
        self.report: Callable[[str, str], None] = lambda instance_id, state: None

    def launch(self, instance_id: str) -> None:
        self.report(instance_id, RUNNING)

    def reboot(self, instance_id: str) -> None:
        self.report(instance_id, RUNNING)

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        self.report(instance_id, STOPPED)

    def start(self, instance_id: str) -> None:
        self.report(instance_id, RUNNING)

    def terminate(self, instance_id: str) -> None:
        self.report(instance_id, TERMINATED)

    def console_output(self, instance_id: str) -> str:
        return ""
