"""The cluster's settings as data, and the pcs commands that put them into a CIB file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudinit.spec import NodeSpec

GROUP = "vip-group"
#: The cluster property that says which settings the CIB holds, so that they are pushed once and no more.
SETTINGS_PROPERTY = "ec2vip-settings"

#: How long a node that starts looks for a DC before it makes one (Pacemaker's default: 20 s). Corosync has
#: formed the membership before Pacemaker starts, and a DC on the other node answers in milliseconds.
DC_DEADTIME = "2s"

#: How long a failure counts against a node. With migration-threshold=1 and none, one failure on each node
#: would leave the VIP with nowhere to go until somebody came to clean up.
FAILURE_TIMEOUT = "60s"

#: What the CIB says before the cluster's very first start. Both would be too late with the rest.
SEED_PROPERTIES: Mapping[str, str] = {"dc-deadtime": DC_DEADTIME, "stonith-enabled": "false"}

#: How long the DC collects events before it works out what to do. The original's 0 is not the fastest: a node's
#: loss reaches the DC as several events, and where an update of the CIB is still under way when the scheduler's
#: view arrives, the controller sleeps for a whole second and asks again (do_pe_invoke_callback in Pacemaker's
#: controld_schedulerd.c). The events come within milliseconds of one another, on an idle node: in the lab, four
#: power losses took 1.5 to 2.6 s with 0, and four took 1.3 to 1.4 s with 50 ms. A starved node may need it still.
TRANSITION_DELAY = "50ms"

PROPERTIES: Mapping[str, str] = {
    "no-quorum-policy": "ignore",  # one of two must go on alone; EC2 decides who has the address
    "transition-delay": TRANSITION_DELAY,
    # Expired failures are noticed when the cluster looks again: as often as they can expire.
    "cluster-recheck-interval": FAILURE_TIMEOUT,
    **SEED_PROPERTIES,
}
RESOURCE_DEFAULTS: Mapping[str, str] = {
    "resource-stickiness": "INFINITY",
    "migration-threshold": "1",
    "failure-timeout": FAILURE_TIMEOUT,
}
OPERATION_DEFAULTS: Mapping[str, str] = {"record-pending": "true"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a resource; the times are seconds, `interval_s` only for a recurring one."""

    name: str
    timeout_s: int
    on_fail: str
    interval_s: int | None = None

    def words(self) -> list[str]:
        """The operation as pcs takes it after `op`."""
        interval = [] if self.interval_s is None else [f"interval={self.interval_s}s"]
        return [self.name, *interval, f"timeout={self.timeout_s}s", f"on-fail={self.on_fail}"]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of the group: its OCF agent, the agent's parameters and its operations."""

    name: str
    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[Operation, ...]


def resources(spec: NodeSpec) -> tuple[Resource, ...]:
    """The group's resources in their order: the address in EC2 first, for without it no packet comes.

    IPaddr2 gets no `nic`: it then takes the interface that has the subnet's route, on each node its own,
    whatever that node calls it. The bootstrap names one only where several interfaces are in the subnet.
    One gratuitous ARP in the background is enough, for a VPC does not listen to any.

    A start that fails moves the group on (`restart`). With the original's `stop` Pacemaker keeps it stopped on
    both nodes until the failure has expired: in the lab, where one node's start failed while the other was in
    standby, the VIP came back a second after the end of the standby with `restart`, and 57 s after it with `stop`.
    """
    return (
        Resource(
            name="ec2vip",
            agent="ocf:heartbeat:ec2vip",
            parameters={"ec2_vip": str(spec.vip)},
            operations=(
                Operation(name="start", timeout_s=60, on_fail="restart"),
                Operation(name="monitor", interval_s=10, timeout_s=60, on_fail="restart"),
                Operation(name="stop", timeout_s=60, on_fail="block"),
            ),
        ),
        Resource(
            name="vip",
            agent="ocf:heartbeat:IPaddr2",
            parameters={
                "ip": str(spec.vip),
                "cidr_netmask": str(spec.prefix_length),
                "arp_count": "1",
                "arp_bg": "true",
            },
            operations=(
                Operation(name="start", timeout_s=20, on_fail="restart"),
                Operation(name="monitor", interval_s=10, timeout_s=20, on_fail="restart"),
                Operation(name="stop", timeout_s=20, on_fail="block"),
            ),
        ),
    )


def commands(spec: NodeSpec) -> list[list[str]]:
    """What to run as `pcs -f FILE …`, in order, to turn an empty CIB file into the cluster's settings.

    Few commands, for each pcs costs a node of the small kinds up to a second. The words are those that pcs
    0.11 and 0.12 both take: 0.12 turns `--group` of `resource create` into `group`, so the group is a command
    of its own.
    """
    members = resources(spec)
    return [
        # --force: pcs does not know our own property.
        ["property", "set", "--force", *_options(PROPERTIES), f"{SETTINGS_PROPERTY}={digest(spec)}"],
        ["resource", "defaults", "update", *_options(RESOURCE_DEFAULTS)],
        ["resource", "op", "defaults", "update", *_options(OPERATION_DEFAULTS)],
        *(_create(resource) for resource in members),
        ["resource", "group", "add", GROUP, *(resource.name for resource in members)],
    ]


def digest(spec: NodeSpec) -> str:
    """Sixteen hex digits that change when any setting of the cluster does, and only then."""
    settings = [
        _options(PROPERTIES),
        _options(RESOURCE_DEFAULTS),
        _options(OPERATION_DEFAULTS),
        GROUP,
        *(_create(resource) for resource in resources(spec)),
    ]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _create(resource: Resource) -> list[str]:
    words = ["resource", "create", resource.name, resource.agent, *_options(resource.parameters)]
    for operation in resource.operations:
        words += ["op", *operation.words()]
    return [*words, "--no-default-ops"]


def _options(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]
