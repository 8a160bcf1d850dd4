"""The states of instances, which API calls and the machines' reports change."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .model import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STATE_CODES,
    STOPPED,
    STOPPING,
    TERMINATED,
    Machines,
    NullMachines,
)

if TYPE_CHECKING:
    from .world import World

log = logging.getLogger(__name__)


class Lifecycle:
    """Moves instances through their states and makes the machines follow.

    The API sets the transitional state ("stopping"); the machine's report sets the final one.
    """

    def __init__(self, world: World, machines: Machines | None) -> None:
        self._world = world
        self.machines: Machines = machines if machines is not None else NullMachines()
        if isinstance(self.machines, NullMachines):
            self.machines.report = self.report
        self._queues: dict[str, queue.SimpleQueue[Callable[[], None] | None]] = {}
        self._lock = threading.Lock()

    def ask(self, instance_id: str, call: Callable[[], None]) -> None:
        """Run a machine's call in its own thread, in order, because a boot or shutdown takes time.

        NullMachines run it at once, in the caller's thread.
        """
        if isinstance(self.machines, NullMachines):
            call()
            return
        with self._lock:
            waiting = self._queues.get(instance_id)
            if waiting is None:
                waiting = self._queues[instance_id] = queue.SimpleQueue()
                threading.Thread(
                    target=self._serve,
                    args=(instance_id, waiting),
                    name=f"machine-{instance_id}",
                    daemon=True,
                ).start()
            waiting.put(call)

    def close(self) -> None:
        """Let each machine's thread end after the calls that are in its queue."""
        with self._lock:
            for waiting in self._queues.values():
                waiting.put(None)
            self._queues.clear()

    def _serve(self, instance_id: str, waiting: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while (call := waiting.get()) is not None:
            try:
                call()
            except Exception as error:
                log.exception("the machine of %s failed", instance_id)
                self._world.note({"kind": "machine-error", "instance_id": instance_id, "error": repr(error)})
                self._failed(instance_id)

    def _failed(self, instance_id: str) -> None:
        """Set the final state of an instance whose machine failed, as AWS does.

        A launch or termination ends in terminated, a start or stop in stopped.
        """
        with self._world.lock:
            found = self._world.find_instance(instance_id)
            state = found.state if found is not None else None
        if state == PENDING:
            self.report(instance_id, TERMINATED if not getattr(found, "ran_before", False) else STOPPED)
        elif state in (STOPPING, SHUTTING_DOWN):
            self.report(instance_id, STOPPED if state == STOPPING else TERMINATED)

    def begin(self, found: Any, state: str) -> None:
        """Enter the state on the way to a change that the API accepted. The caller holds the world's lock."""
        _set(found, state)
        self._world.note({"kind": "instance", "instance_id": found.id, "state": state})

    def report(self, instance_id: str, state: str) -> None:
        """Take a machine's report: "running", "stopped" or "terminated" ("pending", "stopping": on the way).

        Raises ValueError for a state or an instance that does not exist.
        """
        if state not in STATE_CODES:
            raise ValueError(f"{state!r} is no state of an instance; use one of {', '.join(STATE_CODES)}")
        world = self._world
        with world.lock:
            found = world.find_instance(instance_id)
            if found is None:
                raise ValueError(f"there is no instance {instance_id}; RunInstances makes them")
            if found.state == TERMINATED:
                return
            if found.state == SHUTTING_DOWN and state != TERMINATED:
                return  # a guest that is shutting down may still report that it stopped
            by_itself = found.state == RUNNING and state == STOPPED
            if by_itself and found.instance_initiated_shutdown_behavior == "terminate":
                state = TERMINATED
            self._enter(found, state)
        world.note({"kind": "instance", "instance_id": instance_id, "state": state})
        world.changed()

    def _enter(self, found: Any, state: str) -> None:
        world = self._world
        if state == STOPPED:
            found.stop()
        elif state == RUNNING:
            if found.state != RUNNING:
                found.start()
            found.ran_before = True
        elif state == TERMINATED:
            kept = [nic for nic in found.nics.values() if not nic.delete_on_termination]
            gone = [nic for nic in found.nics.values() if nic.delete_on_termination]
            found.terminate()
            for nic in kept:
                found.detach_eni(nic)
            for nic in gone:
                world.addresses.drop(nic.id)
        _set(found, state)

    def fresh_metadata(self, found: Any) -> None:
        """Show the guest its current addresses, at a reboot or start. The caller holds the world's lock."""
        for nic in found.nics.values():
            held = [item["PrivateIpAddress"] for item in nic.private_ip_addresses if not item.get("Primary")]
            self._world.addresses.refresh_metadata(nic.vpc_id, held, nic.id)


def _set(found: Any, state: str) -> None:
    found._state.name = state
    found._state.code = STATE_CODES[state]
