"""The emulator as the lab uses it."""

from __future__ import annotations

import itertools
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from .http import Server
from .https_server import ApiServer
from .imds import MetadataService
from .model import GroupRule, Instance, Interface, Machines
from .principals import Principals
from .settings import Settings
from .world import World

# moto keeps accounts for the life of the process, so each emulator gets its own account for its state.
_accounts = itertools.count(123456789012)


class Emulator:
    """Emulates EC2 (with the IAM, STS and SSM it needs) for one account in one Region, in this process.

    `on_change` is called after any change that the data plane must follow. `record` gets one dict per event:
    `kind` is "api", "route", "imds-address", "imds", "instance", "fault" or "machine-error"; `t` (monotonic) and
    `wall` (since the epoch) are in seconds. Both callbacks must return quickly; many threads call them.
    Run Command reaches the running instances of `CommandedMachines` whose role lets the SSM agent register.
    `ssm_agents` maps further instances that it reaches to what each does with a command's lines.
    `clock` returns the time of day in seconds, for credentials and time stamps.
    `administrator` is the access key (id, secret) that may do everything; each emulator has a new one.
    """

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        settings: Settings | None = None,
        machines: Machines | None = None,
        on_change: Callable[[], None] | None = None,
        record: Callable[[dict[str, Any]], None] | None = None,
        account_id: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.region = region
        self.account_id = account_id or str(next(_accounts))
        self.settings = settings if settings is not None else Settings.instant()
        self._world = World(self.account_id, region, self.settings, machines, on_change, record, clock)
        self.faults = self._world.faults
        self.administrator = (f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))
        principals = Principals(self._world, self.administrator)
        self._front = ApiServer(self._world, principals, self.faults)
        self.ssm_agents = self._front.run_command.agents
        self._metadata = MetadataService(self._world, principals, self.faults)
        self._servers: list[Server] = []

    def serve(
        self,
        host: str,
        port: int = 0,
        *,
        ssl_context: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
    ) -> Server:
        """Serve the APIs. May be called several times.

        The socket is created in the calling thread, and so in that thread's network namespace. `sock` is a
        socket that is already bound; the server then owns it.
        """
        server = Server(
            self._front.respond,
            host,
            port,
            sock=sock,
            ssl_context=ssl_context,
            refuses=self._front.refuses,
            own_names_only=True,
        )
        self._servers.append(server)
        return server

    def serve_imds(self, host: str, port: int = 80, *, sock: socket.socket | None = None) -> Server:
        """Serve the instance metadata. The source address identifies the caller. Sockets as for `serve`."""
        server = Server(self._metadata.respond, host, port, sock=sock, refuses=self._metadata.refuses)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop the servers and threads, and forget the account."""
        self._front.closing.set()
        self._metadata.closing.set()
        self.faults.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._world.close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def interfaces(self) -> list[Interface]:
        """All network interfaces, with the addresses in effect in the data plane."""
        with self._world.lock:
            return [self._world.interface(eni) for eni in self._world.ec2.enis.values()]

    def instances(self) -> list[Instance]:
        """All instances, terminated ones included."""
        with self._world.lock:
            return [self._world.instance(found) for found in self._world.ec2.all_instances()]

    def instance(self, instance_id: str) -> Instance:
        """One instance. Raises KeyError for an unknown id."""
        with self._world.lock:
            found = self._world.find_instance(instance_id)
            if found is None:
                raise KeyError(f"there is no instance {instance_id}")
            return self._world.instance(found)

    def rules(self) -> list[GroupRule]:
        """The rules of all security groups."""
        with self._world.lock:
            return self._world.rules()

    def share_subnet(self, subnet_id: str, owner: str) -> None:
        """Let another account own a subnet and share it with this one, as Resource Access Manager does.

        The ARN and owner of the subnet, and of its VPC, become that account's. Whatever is created in the subnet
        belongs to this account. No API call can do this. Raises KeyError for an unknown subnet.
        """
        with self._world.lock:
            found = [zone[subnet_id] for zone in self._world.ec2.subnets.values() if subnet_id in zone]
            if not found:
                raise KeyError(f"there is no subnet {subnet_id}")
            self._world.shared.update({subnet_id: owner, found[0].vpc_id: owner})

    def set_instance_state(self, instance_id: str, state: str) -> None:
        """Report a machine's state: "pending", "running", "stopping", "stopped" or "terminated".

        Raises ValueError for an unknown state or instance.
        """
        self._world.lifecycle.report(instance_id, state)
