"""The cluster's settings as data, and the pcs commands that put them into a CIB file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from cloudinit.spec import NodeSpec, Service

#: The first VIP's group; the others' have a number after it, from 2 on.
GROUP = "vip-group"
#: The cluster property that says which settings the CIB holds, so that they are pushed only once.
SETTINGS_PROPERTY = "ec2vip-settings"

#: How long a node that starts looks for a DC before it makes one (Pacemaker's default: 20 s). Corosync has
#: formed the membership before Pacemaker starts, and a DC on the other node answers in milliseconds.
DC_DEADTIME = "1s"

#: How long a failure counts against a node. With migration-threshold=1 and without this time-out, one failure on
#: each node would leave the VIP with nowhere to go until somebody came to clean up.
FAILURE_TIMEOUT = "60s"

#: How long the DC collects events before it works out what to do. The original's 0 is not the fastest. A node's
#: loss reaches the DC as several events. If an update of the CIB is still under way when the scheduler's answer
#: arrives, the controller sleeps for a whole second and asks again (do_pe_invoke_callback in Pacemaker's
#: controld_schedulerd.c). Even a node's own update goes through Corosync, which takes 4 ms as a rule; the delay
#: must be longer than that ever takes. We counted the power losses in the lab that paid the second, with the DC
#: on either node: 4 of 6 with 0, 2 of 6 with 10 ms, none of 6 with 20 ms, and none of 5 with 50 ms, which took
#: 1.22 to 1.31 s. A starved Corosync takes longer: with 50 ms and other labs beside it, 2 of 40 paid.
TRANSITION_DELAY = "50ms"

#: What the CIB must say before the cluster's very first start; the other settings are pushed later. The delay is
#: among them because forming the cluster and pushing the settings are bursts of updates too.
SEED_PROPERTIES: Mapping[str, str] = {
    "dc-deadtime": DC_DEADTIME,
    "stonith-enabled": "false",
    "transition-delay": TRANSITION_DELAY,
}

PROPERTIES: Mapping[str, str] = {
    "no-quorum-policy": "ignore",  # one of two must go on alone; EC2 decides who has the address
    # The cluster notices an expired failure only when it looks again, so it looks as often as one can expire.
    "cluster-recheck-interval": FAILURE_TIMEOUT,
    **SEED_PROPERTIES,
}
#: More than any preference, but less than INFINITY, which would swallow the agent's constraint: INFINITY + 100
#: is INFINITY (Pacemaker's scores end at a million, and a group adds up its members' scores). If a holder stalls
#: for longer than the token, it and its peer both have the VIP when they meet. Pacemaker then stops both and
#: starts one, and left to itself it mostly starts the woken one. The agent's constraint names the last taker:
#: with it, each of 12 stalls in the lab cost one move.
#:
#: We do not use `multiple-active=stop_unexpected`, which would leave the taker running. If the two nodes meet
#: before the constraint is written, it leaves the woken one running instead. EC2 has given that one's VIP to the
#: taker, so nobody has it until the next monitor: in the lab a stall of 1.5 tokens then took 11 s, three of three.
STICKINESS = "100000"

RESOURCE_DEFAULTS: Mapping[str, str] = {
    "resource-stickiness": STICKINESS,
    "migration-threshold": "1",
    "failure-timeout": FAILURE_TIMEOUT,
}
OPERATION_DEFAULTS: Mapping[str, str] = {"record-pending": "true"}

#: The VIPs after the first prefer its node to the one that they are on, but nothing binds them to it. If one
#: fails, it moves alone, and comes back when the failure has expired. Without influence=false Pacemaker would
#: move the first one with it, because the -INFINITY for the node that it is banned from would count for both.
TOGETHER = "1000"
OTHERS_META: Mapping[str, str] = {"resource-stickiness": "1"}

#: A VIP that a third party took comes back to the node that had it, however often. The node is not to blame, and
#: if each theft banned one, the pair would soon have none left. A start that fails still bans its node
#: (start-failure-is-fatal).
IN_EC2_META: Mapping[str, str] = {"allow-migrate": "true", "migration-threshold": "INFINITY"}

#: If an address vanishes from a node's system, Pacemaker puts it back there in a tenth of a second, up to twice.
#:
#: There is no monitor of role Stopped, which would find the VIP in the standby's system. If such a monitor cannot
#: run (EAGAIN), it counts as a second holder. In the lab Pacemaker 2.1.5 then stopped and looked 350 times in a
#: minute, and started the VIP nowhere.
IN_OS_META: Mapping[str, str] = {"migration-threshold": "3"}

#: A service that died is started again on its node, twice. A third failure within FAILURE_TIMEOUT means that the
#: node is not fit for it. A failed start counts as that at once (start-failure-is-fatal).
SERVICE_META: Mapping[str, str] = {"migration-threshold": "3"}

#: What a systemd unit gets, in seconds; an OCF agent advises its own times. systemd gives up on a start or a stop
#: after 90 s (systemd-system.conf(5), DefaultTimeoutStartSec), and we wait for its own answer.
UNIT_TIMES: Mapping[str, int] = {"start": 100, "stop": 100, "monitor": 30, "interval": 10}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a resource. Times are in seconds; only a recurring operation has `interval_s`."""

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
    """A resource: its agent, the agent's parameters, its operations and its meta attributes.

    If `advised`, pcs adds those operations that the agent advises and that are not among these.
    """

    name: str
    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[Operation, ...]
    meta: Mapping[str, str] = field(default_factory=dict)
    advised: bool = False

    def words(self) -> list[str]:
        """The pcs command that creates the resource."""
        words = ["resource", "create", self.name, self.agent, *_options(self.parameters)]
        for operation in self.operations:
            words += ["op", *operation.words()]
        if self.meta:
            words += ["meta", *_options(self.meta)]
        return words if self.advised else [*words, "--no-default-ops"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A VIP's two halves and the services that follow it, all on one node.

    `in_os` and the services form the cluster's group, which starts them in this order and stops them in the
    reverse. `in_ec2` is outside the group.
    """

    name: str
    in_ec2: Resource
    in_os: Resource
    services: tuple[Resource, ...] = ()

    @property
    def members(self) -> tuple[Resource, ...]:
        """The group's resources in the order in which they start."""
        return (self.in_os, *self.services)


def groups(spec: NodeSpec) -> tuple[Group, ...]:
    """A group for each VIP. They start side by side and fail independently; the first has the services."""
    made = []
    for number, vip in enumerate(spec.vips, start=1):
        ending, meta = ("", {}) if number == 1 else (f"-{number}", OTHERS_META)
        in_ec2, in_os = _vip(spec, vip, ending, meta)
        services = tuple(map(_service, spec.services)) if number == 1 else ()
        made.append(Group(name=f"{GROUP}{ending}", in_ec2=in_ec2, in_os=in_os, services=services))
    return tuple(made)


def os_addresses(spec: NodeSpec) -> list[str]:
    """The names of the resources that give the VIPs to the nodes' systems."""
    return [group.in_os.name for group in groups(spec)]


def _vip(spec: NodeSpec, vip: IPv4Address, ending: str, meta: Mapping[str, str]) -> tuple[Resource, Resource]:
    """The two halves of a VIP: the address in EC2, and the one in the node's system, which is in the group.

    They are on one node, and nothing orders one after the other. EC2 alone decides who gets the VIP's packets, so
    the system's half may start or stop first, and does so while the agent asks EC2. In the lab, with EC2 answering
    at once, a planned move took 0.22 s this way, and 0.54 s with both as members of one group. Services wait for
    both halves. With allow-migrate a planned move, and a node's shutdown, is one call to EC2 (docs/agent.md, "A
    planned move").

    For the same reason the cluster ignores a failed stop of either half (`ignore`). The next start moves what the
    stop leaves in EC2; what it leaves in the system gets no packets, because EC2 delivers the VIP elsewhere. With
    the original's `block` the VIP would stay dark until a person comes, for example after a fork bomb of 25 s
    during which no stop could run.

    IPaddr2 gets no `nic`, so on each node it takes the interface that has the subnet's route, whatever its name.
    The bootstrap names one only if several interfaces are in the subnet. One gratuitous ARP in the background is
    enough, because a VPC ignores them all. The prefix is /32. With the subnet's prefix the kernel would make the
    VIP a secondary of the node's own address. When that is renewed (`netplan apply`), the VIP would go with it, or
    take its place as the source of the node's connections.

    A failed start moves the group on (`restart`). With the original's `stop` Pacemaker keeps the group stopped on
    both nodes until the failure has expired. In the lab one node's start failed while the other was in standby:
    the VIP came back a second after the end of the standby with `restart`, and 57 s after it with `stop`.
    """
    return (
        Resource(
            name=f"ec2vip{ending}",
            agent="ocf:heartbeat:ec2vip",
            parameters={"ec2_vip": str(vip)},
            operations=(
                Operation(name="start", timeout_s=60, on_fail="restart"),
                Operation(name="monitor", interval_s=10, timeout_s=60, on_fail="restart"),
                Operation(name="stop", timeout_s=60, on_fail="ignore"),
                Operation(name="migrate_to", timeout_s=20, on_fail="restart"),
                Operation(name="migrate_from", timeout_s=60, on_fail="restart"),
            ),
            meta={**IN_EC2_META, **meta},
        ),
        Resource(
            name=f"vip{ending}",
            agent="ocf:heartbeat:IPaddr2",
            parameters={
                "ip": str(vip),
                "cidr_netmask": "32",
                "arp_count": "1",
                "arp_bg": "true",
            },
            operations=(
                Operation(name="start", timeout_s=20, on_fail="restart"),
                Operation(name="monitor", interval_s=10, timeout_s=20, on_fail="restart"),
                Operation(name="stop", timeout_s=20, on_fail="ignore"),
            ),
            meta={**IN_OS_META, **meta},
        ),
    )


def _service(service: Service) -> Resource:
    """The resource of a service. If its stop fails, the group is blocked: nobody knows what still runs.

    An OCF agent advises every operation; one that the user gives replaces the advised one as a whole.
    """
    usual = UNIT_TIMES
    operations = [
        Operation(name="start", timeout_s=service.start_s or usual["start"], on_fail="restart"),
        Operation(
            name="monitor",
            interval_s=service.interval_s or usual["interval"],
            timeout_s=service.monitor_s or usual["monitor"],
            on_fail="restart",
        ),
        Operation(name="stop", timeout_s=service.stop_s or usual["stop"], on_fail="block"),
    ]
    if service.unit is None:
        given = {
            "start": service.start_s,
            "monitor": service.monitor_s or service.interval_s,
            "stop": service.stop_s,
        }
        operations = [operation for operation in operations if given[operation.name] is not None]
    return Resource(
        name=service.name,
        agent=service.agent,
        parameters=service.parameters,
        operations=tuple(operations),
        meta={**SERVICE_META, **({} if service.moves_vip else {"critical": "false"})},
        advised=service.unit is None,
    )


def commands(spec: NodeSpec) -> list[list[str]]:
    """What to run as `pcs -f FILE …`, in order, to turn an empty CIB file into the cluster's settings.

    We keep the commands few because each pcs takes up to a second on a small node. pcs 0.11 and 0.12 both take
    these words: 0.12 turns `--group` of `resource create` into `group`, so the group is a command of its own.
    """
    return [
        # --force: pcs does not know our own property.
        ["property", "set", "--force", *_options(PROPERTIES), f"{SETTINGS_PROPERTY}={digest(spec)}"],
        *_after_properties(spec),
    ]


def digest(spec: NodeSpec) -> str:
    """Sixteen hex digits that change when any setting of the cluster does, and only then."""
    settings = [_options(PROPERTIES), *_after_properties(spec)]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _after_properties(spec: NodeSpec) -> list[list[str]]:
    made = groups(spec)
    return [
        ["resource", "defaults", "update", *_options(RESOURCE_DEFAULTS)],
        ["resource", "op", "defaults", "update", *_options(OPERATION_DEFAULTS)],
        *(resource.words() for group in made for resource in (group.in_ec2, *group.members)),
        *(["resource", "group", "add", group.name, *(m.name for m in group.members)] for group in made),
        *(words for group in made for words in _bind(group)),
        # The preference is on the half that the group follows: the group itself has no choice.
        *(_with(group, group.in_ec2.name, made[0].name, TOGETHER, "influence=false") for group in made[1:]),
    ]


def _bind(group: Group) -> list[list[str]]:
    """The constraints that put the group where its address in EC2 is, and start its services after that."""
    name, in_ec2 = group.name, group.in_ec2.name
    order = ["constraint", "order", in_ec2, "then"]
    waits = [[*order, service.name, f"id={name}-after-{in_ec2}"] for service in group.services[:1]]
    return [_with(group, name, in_ec2, "INFINITY"), *waits]


def _with(group: Group, what: str, other: str, score: str, *more: str) -> list[str]:
    words = ["constraint", "colocation", "add", what, "with", other]
    return [*words, f"score={score}", *more, f"id={group.name}-with-{other}"]


def _options(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]
