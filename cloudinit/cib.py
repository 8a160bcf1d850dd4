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
#: The cluster property that says which settings the CIB holds, so that they are pushed once and no more.
SETTINGS_PROPERTY = "ec2vip-settings"

#: How long a node that starts looks for a DC before it makes one (Pacemaker's default: 20 s). Corosync has
#: formed the membership before Pacemaker starts, and a DC on the other node answers in milliseconds.
DC_DEADTIME = "1s"

#: How long a failure counts against a node. With migration-threshold=1 and none, one failure on each node
#: would leave the VIP with nowhere to go until somebody came to clean up.
FAILURE_TIMEOUT = "60s"

#: How long the DC collects events before it works out what to do. The original's 0 is not the fastest: a node's
#: loss reaches the DC as several events, and where an update of the CIB is still under way when the scheduler's
#: view arrives, the controller sleeps for a whole second and asks again (do_pe_invoke_callback in Pacemaker's
#: controld_schedulerd.c). An update goes to the node itself by way of Corosync, 4 ms as a rule; the delay must be
#: longer than Corosync is ever late. Power losses in the lab that paid the second, the DC now on the one node and
#: now on the other: 4 of 6 with 0, 2 of 6 with 10 ms, none of 6 with 20 ms and none of 5 with 50 ms, which
#: took 1.22 to 1.31 s. A starved Corosync is later than that: with 50 ms and other labs beside it, 2 of 40.
TRANSITION_DELAY = "50ms"

#: What the CIB says before the cluster's very first start: with the rest all of it would be too late. The delay
#: is among them because forming the cluster and pushing the settings are such bursts of updates too.
SEED_PROPERTIES: Mapping[str, str] = {
    "dc-deadtime": DC_DEADTIME,
    "stonith-enabled": "false",
    "transition-delay": TRANSITION_DELAY,
}

PROPERTIES: Mapping[str, str] = {
    "no-quorum-policy": "ignore",  # one of two must go on alone; EC2 decides who has the address
    # Expired failures are noticed when the cluster looks again: as often as they can expire.
    "cluster-recheck-interval": FAILURE_TIMEOUT,
    **SEED_PROPERTIES,
}
#: More than any preference, and less than INFINITY, which would swallow the agent's constraint: INFINITY + 100
#: is INFINITY (Pacemaker's scores end at a million, and a group adds its members' up). A holder that stood still
#: for longer than the token, and its peer, both have the VIP when they meet: Pacemaker stops both and starts one,
#: and left to itself mostly the woken one. The constraint names the last taker: one move in 12 of 12 stalls in
#: the lab.
#:
#: Not `multiple-active=stop_unexpected`, which would leave the taker running: where the halves meet before the
#: constraint is written it leaves the woken one running instead, whose VIP is the taker's in EC2, and nobody has
#: it until the next monitor. In the lab a stall of 1.5 tokens then took 11 s, three of three.
STICKINESS = "100000"

RESOURCE_DEFAULTS: Mapping[str, str] = {
    "resource-stickiness": STICKINESS,
    "migration-threshold": "1",
    "failure-timeout": FAILURE_TIMEOUT,
}
OPERATION_DEFAULTS: Mapping[str, str] = {"record-pending": "true"}

#: The VIPs after the first prefer its node to the one that they are on, but nothing binds them to it: where one
#: fails it moves alone, and it comes back when the failure has expired. Without influence=false Pacemaker would
#: move the first one with it: its -INFINITY for the node it is banned from would count for both.
TOGETHER = "1000"
OTHERS_META: Mapping[str, str] = {"resource-stickiness": "1"}

#: A VIP that a third party took comes back to the node that had it, however often: no node's fault, and with a
#: ban for each the pair would soon have none left. A start that fails bans its node (start-failure-is-fatal).
IN_EC2_META: Mapping[str, str] = {"allow-migrate": "true", "migration-threshold": "INFINITY"}

#: An address that went from a node's system is put back where it was, twice, in a tenth of a second.
#:
#: There is no monitor of role Stopped, which would find the VIP in the standby's system: one that cannot run there
#: (EAGAIN) counts as a second holder. In the lab Pacemaker 2.1.5 then stopped and looked 350 times in a minute,
#: and started the VIP nowhere.
IN_OS_META: Mapping[str, str] = {"migration-threshold": "3"}

#: A service that died is started again where it is, twice; a third failure within the time that failures count
#: means that the node is not fit for it. A start that fails counts as that at once (start-failure-is-fatal).
SERVICE_META: Mapping[str, str] = {"migration-threshold": "3"}

#: What a systemd unit gets, in seconds; an OCF agent says itself what it wants. systemd gives up on a start or a
#: stop after 90 s (systemd-system.conf(5), DefaultTimeoutStartSec): the answer shall be its own.
UNIT_TIMES: Mapping[str, int] = {"start": 100, "stop": 100, "monitor": 30, "interval": 10}


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
    """A resource of a group: its agent, the agent's parameters, its operations and what the cluster makes of it.

    Where `advised`, pcs adds those operations that the agent advises and that are not among these.
    """

    name: str
    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[Operation, ...]
    meta: Mapping[str, str] = field(default_factory=dict)
    advised: bool = False

    def words(self) -> list[str]:
        """The pcs command that makes it."""
        words = ["resource", "create", self.name, self.agent, *_options(self.parameters)]
        for operation in self.operations:
            words += ["op", *operation.words()]
        if self.meta:
            words += ["meta", *_options(self.meta)]
        return words if self.advised else [*words, "--no-default-ops"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A VIP's two halves and the services that follow it, all on one node.

    `in_os` and the services are the cluster's group: started in this order, stopped in the other. `in_ec2` is
    beside it.
    """

    name: str
    in_ec2: Resource
    in_os: Resource
    services: tuple[Resource, ...] = ()

    @property
    def members(self) -> tuple[Resource, ...]:
        """The group's, in their order."""
        return (self.in_os, *self.services)


def groups(spec: NodeSpec) -> tuple[Group, ...]:
    """A group for each VIP: they start side by side and fail each for itself. Services are in the first one's."""
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
    """The two halves of a VIP: the address in EC2, and the address in the node's system, which is the group's.

    They are on one node, and nothing orders one after the other: EC2 alone decides who gets the VIP's packets, so
    the system's half may come first or go first, and its time passes while EC2 is asked. As two members of one
    group they cost a planned move 0.54 s in the lab, EC2 answering at once, and in this way 0.22 s. Services wait
    for both. allow-migrate makes a planned move, and a node's shutdown, one call to EC2: the agent's docstring
    has how.

    For the same reason a stop of either half that fails is passed over (`ignore`): what it leaves is moved by
    the next start, or gets no packet, as EC2 delivers the VIP elsewhere. With the original's `block` it
    would stay dark until a person comes, as after a fork bomb of 25 s, when no stop could run.

    IPaddr2 gets no `nic`: it then takes the interface that has the subnet's route, on each node its own,
    whatever that node calls it. The bootstrap names one only where several interfaces are in the subnet.
    One gratuitous ARP in the background is enough, for a VPC does not listen to any. The prefix is /32: with
    the subnet's the kernel takes the VIP for a secondary of the node's own address; it goes with that, or takes
    its place as the source of the node's connections, when that is renewed (`netplan apply`).

    A start that fails moves the group on (`restart`). With the original's `stop` Pacemaker keeps it stopped on
    both nodes until the failure has expired: in the lab, where one node's start failed while the other was in
    standby, the VIP came back a second after the end of the standby with `restart`, and 57 s after it with `stop`.
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
    """A service under the cluster. Where its stop fails the group stays as it is: nobody knows what still runs.

    An OCF agent advises every operation; one that is given takes the advised one's place as a whole.
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

    Few commands, for each pcs costs a node of the small kinds up to a second. The words are those that pcs
    0.11 and 0.12 both take: 0.12 turns `--group` of `resource create` into `group`, so the group is a command
    of its own.
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
        # What the group follows has the preference: the group itself has no choice.
        *(_with(group, group.in_ec2.name, made[0].name, TOGETHER, "influence=false") for group in made[1:]),
    ]


def _bind(group: Group) -> list[list[str]]:
    """The group is where its address in EC2 is, and its services are after that, as they are after its own."""
    name, in_ec2 = group.name, group.in_ec2.name
    order = ["constraint", "order", in_ec2, "then"]
    waits = [[*order, service.name, f"id={name}-after-{in_ec2}"] for service in group.services[:1]]
    return [_with(group, name, in_ec2, "INFINITY"), *waits]


def _with(group: Group, what: str, other: str, score: str, *more: str) -> list[str]:
    words = ["constraint", "colocation", "add", what, "with", other]
    return [*words, f"score={score}", *more, f"id={group.name}-with-{other}"]


def _options(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]
