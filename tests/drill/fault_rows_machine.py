"""Catalogue rows for faults of the machines and their processes."""

from __future__ import annotations

import time

from tests.drill.acts import both, crash_during, holder, standby
from tests.drill.clouds import lab_pair, lab_stack
from tests.drill.row import AT_ONCE, BOOTED, MAY, MUST, NEXT_MONITOR, ROUND, STAYS, Row, unmoved
from tests.drill.scene import Scene
from tests.drill.trials import TRIALS, Trial
from tests.lab.faults.machine import DAEMONS
from tests.lab.waiting import wait_for

TOKEN_S = 1.0
"""Corosync's token in the stack's default settings."""

MONITOR_STAND_INS = {
    "pacemaker-controld": "the controller comes back and finds the resources where they are, or the peer, which"
    " saw it gone, has taken them",
    "pacemaker-execd": "the controller can't go on without its executor and restarts; the peer may have taken "
    "the resources by then",
    "pacemaker-based": "all of Pacemaker on the node depends on its configuration and restarts with it; the "
    "peer may have taken the resources by then",
}


def _trial(trial: Trial) -> Row:
    """A trial of `make verify` as a row."""

    def act(scene: Scene) -> None:
        scene.later(lambda: trial.heal(scene.pair, scene.holder))
        scene.aside(lambda: trial.fault(scene.pair, scene.holder))

    return Row(
        name=trial.name,
        does=trial.purpose,
        reason=_TRIAL_REASONS[trial.name],
        act=act,
        move=MUST if trial.moves else STAYS,
        moves=1 if trial.moves else 0,
        lasts_s=0 if trial.moves else ROUND,
    )


_TRIAL_REASONS = {
    "reboot": "a node that shuts down hands its resources on; one that comes back takes nothing",
    "stop-pacemaker": "a node that leaves the cluster hands its resources on first",
    "kill-pacemakerd": "systemd starts it again, and it adopts the daemons and resources that go on running",
    "stop-corosync": "a stop of Corosync stops Pacemaker too, which hands the resources on",
    "power-loss": "a node silent for token and consensus counts as dead, and the other takes the VIP in EC2",
}


def _kill(daemon: str) -> Row:
    corosync = daemon == "corosync"
    return Row(
        name=f"kill-{daemon.removeprefix('pacemaker-')}",
        does=f"{daemon} is killed on the holder",
        reason="a node without it leaves the cluster, so the other takes over; systemd brings both daemons back"
        if corosync
        else MONITOR_STAND_INS.get(daemon, "pacemakerd starts it again, and no resource depends on it"),
        act=holder(lambda scene, node: scene.faults.kill(node, daemon, restore=False)),
        move=MUST if corosync else MAY if daemon in MONITOR_STAND_INS else STAYS,
        moves=1 if corosync or daemon in MONITOR_STAND_INS else 0,
        lasts_s=0 if corosync else ROUND,
        within_s=NEXT_MONITOR if corosync else AT_ONCE,
        by_itself=True,
    )


def _one_comes_back(scene: Scene) -> None:
    """Cut the power of both nodes; `cure()` gives it back only to the one that did not hold the VIP."""
    scene.faults.power_loss(scene.holder)
    scene.cause(scene.faults.power_loss(scene.other))


def _failover_in_failover(scene: Scene) -> None:
    """Cut the survivor's power during its call to EC2, just as the first node boots."""
    slow = scene.faults.api(scene.other, "slow")
    first = scene.faults.power_loss(scene.holder)
    since = time.monotonic()
    wait_for("the survivor's membership of one", lambda: _alone(scene, since), AT_ONCE)
    first.undo()
    scene.faults.power_loss(scene.other)
    slow.undo()


def _alone(scene: Scene, since: float) -> bool:
    seen = scene.lab.timeline.read("membership", since=since)
    return any(len(event["members"]) == 1 and event["instance_id"] == scene.other for event in seen)


REPEATS = 10


def _ten_in_a_row(scene: Scene) -> None:
    """Reboot the current holder ten times, each time as soon as the pair is whole again."""
    for count in range(1, REPEATS + 1):
        old = scene.pair.holder() or scene.holder
        reboot = scene.faults.reboot(old)
        new = scene.pair.wait_for_holder_other_than(old, AT_ONCE)
        reboot.undo()
        scene.pair.wait_until_whole(BOOTED)
        scene.progress(f"failover {count} of {REPEATS}: the VIP is with {new}")


def _first_holds(scene: Scene) -> None:
    """Move the VIP to node 1 by rebooting the other node, unless node 1 has it already."""
    scene.look()
    first = scene.pair.node_ids[0]
    if scene.holder != first:
        with scene.faults.reboot(scene.holder):
            scene.pair.wait_for_holder_other_than(scene.holder, AT_ONCE)
        scene.wait_until_steady(BOOTED)


def _first_is_gone(scene: Scene) -> None:
    """Terminate the holder, disk and all.

    We mend it as a person does: `pulumi refresh` finds the node gone, and `pulumi up` makes a new one.
    """

    ec2, gone = scene.pair.cloud.ec2(), scene.holder

    def up() -> None:
        # Its address is in use until it is terminated.
        ec2.get_waiter("instance_terminated").wait(
            InstanceIds=[gone], WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        stack = lab_stack(scene.lab)
        stack.refresh()
        stack.up()
        scene.pair.node_ids = lab_pair(scene.lab).node_ids

    scene.later(up)
    ec2.terminate_instances(InstanceIds=[gone])


MACHINE_ROWS = (
    *(_trial(trial) for trial in TRIALS),
    unmoved(
        name="standby-power-loss",
        does="the standby loses power",
        reason="the fault touches nothing that serves, and the standby rejoins without claiming the VIP",
        act=standby(lambda scene, node: scene.faults.power_loss(node)),
    ),
    Row(
        name="hang",
        does="the holder stands still for 10 s, network and all, and wakes up",
        reason="a silent node counts as dead; when it wakes, both hold the VIP, and Pacemaker restarts it on "
        "either one",
        act=holder(lambda scene, node: scene.faults.hang(node)),
        moves=2,
        lasts_s=10,
    ),
    unmoved(
        name="stall-shorter-than-token",
        does="the holder's processes stand still for half of Corosync's token",
        reason="Corosync forgives a silence shorter than its token",
        act=holder(lambda scene, node: scene.faults.stall(node), TOKEN_S / 2),
        lasts_s=5,
    ),
    Row(
        name="stall-longer-than-token",
        does="the holder's processes stand still for three times Corosync's token",
        reason="it counts as dead; its kernel goes on answering until EC2 moves the VIP; when it wakes, either may"
        " serve",
        act=holder(lambda scene, node: scene.faults.stall(node), TOKEN_S * 3),
        move=MAY,
        moves=2,
        lasts_s=10,
    ),
    *(_kill(daemon) for daemon in DAEMONS if daemon != "pacemakerd"),
    Row(
        name="both-reboot",
        does="both nodes reboot at once",
        reason="two nodes that boot can't serve; the first one up serves, without waiting for the other",
        act=both(lambda scene, node: scene.faults.reboot(node)),
        move=MAY,
        within_s=BOOTED,
        by_itself=True,
    ),
    Row(
        name="both-without-power",
        does="both nodes lose power, and get it back 5 s later",
        reason="no node is left to serve; when power is back, the first one up serves, without a person",
        act=both(lambda scene, node: scene.faults.power_loss(node)),
        move=MAY,
        within_s=BOOTED,
        lasts_s=5,
        survived=False,
    ),
    Row(
        name="both-without-power-one-comes-back",
        does="both nodes lose power, and only the one that did not hold the VIP gets it back",
        reason="no node is left to serve; a node that starts alone must not wait for one that may never come",
        act=_one_comes_back,
        within_s=BOOTED,
        lasts_s=5,
        survived=False,
    ),
    Row(
        name="failover-in-a-failover",
        does="the holder loses power; when the other is about to take the VIP, it loses power too, and the "
        "first is back",
        reason="an interrupted failover does not hinder the next; a boot lies in between",
        act=_failover_in_failover,
        move=MAY,
        moves=2,
        within_s=BOOTED,
        lasts_s=5,
    ),
    Row(
        name="ten-failovers",
        does="the holder of the moment reboots, ten times",
        reason="a failover leaves nothing behind that hinders the next one",
        act=_ten_in_a_row,
        move=MAY,
        moves=REPEATS,
    ),
    unmoved(
        name="disk-full",
        does="the holder's disk is full",
        reason="monitors write only to memory",
        act=holder(lambda scene, node: scene.faults.disk_full(node)),
    ),
    Row(
        name="disk-full-at-crash",
        does="the holder loses power while the other's disk is full",
        reason="the survivor must take over without its disk",
        act=crash_during(lambda scene, node: scene.faults.disk_full(node), fatal=False),
    ),
    unmoved(
        name="clock-step",
        does="the holder's clock is an hour ahead",
        reason="Corosync and Pacemaker's intervals use the monotonic clock, and a holder makes no call",
        act=holder(lambda scene, node: scene.faults.clock_step(node)),
    ),
    Row(
        name="clock-step-at-crash",
        does="the holder loses power while the other's clock is an hour ahead",
        reason="EC2 refuses a time stamp that is minutes off, and the agent signs again by the answer's Date",
        act=crash_during(lambda scene, node: scene.faults.clock_step(node)),
        lasts_s=ROUND,
    ),
    unmoved(
        name="cpu-starved-3-s",
        does="the holder has a twentieth of a processor for 3 s",
        reason="Corosync runs in real time, and operations have a minute",
        act=holder(lambda scene, node: scene.faults.cpu_starved(node), 3),
        lasts_s=5,
    ),
    unmoved(
        name="cpu-starved-30-s",
        does="the holder has a twentieth of a processor for 30 s",
        reason="Corosync runs in real time, and operations have a minute",
        act=holder(lambda scene, node: scene.faults.cpu_starved(node)),
        lasts_s=30,
    ),
    Row(
        name="memory-pressure",
        does="the holder has 8 MiB of memory to spare",
        reason="the out-of-memory killer ends what needs more; a daemon that it ends starts again, or the "
        "node counts as failed",
        act=holder(lambda scene, node: scene.faults.memory_pressure(node)),
        move=MAY,
        lasts_s=ROUND,
    ),
)

LAST_ROWS = (
    Row(
        name="node-1-gone",
        does="node 1, which holds the VIP, is terminated for good",
        reason="the survivor serves; a person makes a new node with `pulumi refresh` and `pulumi up`, and it "
        "joins by itself",
        act=_first_is_gone,
        prepare=_first_holds,
    ),
)
"""Rows that leave another pair behind, so they run last."""
