"""Catalogue rows for what the agent alone must get right, on an uninformed standby and on a busy holder."""

from __future__ import annotations

from tests.drill.acts import Act, holder
from tests.drill.row import AT_ONCE, FORGOTTEN, MAY, NEXT_MONITOR, Row, unmoved
from tests.drill.scene import Scene
from tests.lab.errors import LabError
from tests.lab.faults.addresses import has_address, steal_again
from tests.lab.waiting import wait_for

NOTHING_S = 0.9
"""How long a client may miss an untouched holder (s): a few pings, and less than any stop and start of the
VIP."""
MONITOR_AND_CALL_S = 20.0
"""A monitor's interval (10 s), a stop, a start, and two calls to EC2 on a busy machine."""
PROBED_S = 60.0
"""A node's boot, its cluster's start, and a probe: 12 s and the time it takes to load."""
THEFTS = 5
STRAY_S = 90.0
"""The guard looks every 20 s and removes a stray VIP at the third look. It may be late on a busy machine."""

_API = {"down": "is down", "hang": "does not answer", "throttled": "throttles", "denied": "denies all calls"}


def _boots_without_the_api(kind: str, how: str) -> Row:
    """A row in which the EC2 API fails for the standby from before its boot on."""

    def act(scene: Scene) -> None:
        # Not a reboot: the standby would leave in order, which is not the case to test.
        power = scene.faults.power_loss(scene.other)
        scene.faults.api(scene.other, kind)
        power.undo()
        wait_for("the standby's Corosync", lambda: _runs_corosync(scene, scene.other), PROBED_S)

    return _standby_boots(f"api-{kind}", f"the EC2 API {how}", act)


def _without_metadata(scene: Scene) -> None:
    """Take the metadata away once the cluster has started: at boot, cloud-init waits minutes for them."""
    power = scene.faults.power_loss(scene.other)
    scene.faults.api(scene.other, "down")
    power.undo()
    wait_for("the standby's Corosync", lambda: _runs_corosync(scene, scene.other), PROBED_S)
    scene.faults.imds(scene.other, "down")


def _runs_corosync(scene: Scene, node: str) -> bool:
    try:
        return bool(scene.lab.try_in(node, ["pidof", "corosync"]))
    except LabError:
        return False  # it has no power yet


def _standby_boots(name: str, words: str, act: Act) -> Row:
    return unmoved(
        name=f"standby-boots-{name}",
        does=f"the standby loses power and boots again while {words} for it",
        reason="a standby that can't find out whether it has the VIP says no, and the holder serves on "
        "undisturbed",
        act=act,
        within_s=NOTHING_S,
        lasts_s=30,
    )


def _stolen_again_and_again(scene: Scene) -> None:
    """Have the same interface steal the VIP each time, from whichever node has it."""
    vip = scene.pair.vip
    scene.faults.vip_stolen(vip)
    for count in range(1, THEFTS + 1):
        wait_for(f"{vip} back from its thief", lambda: scene.pair.holder() is not None, MONITOR_AND_CALL_S)
        scene.progress(f"theft {count} of {THEFTS}: the VIP is back")
        if count < THEFTS:
            scene.pair.wait_until_whole(MONITOR_AND_CALL_S)
            steal_again(scene.lab, vip)


def _leave_without_processes(scene: Scene) -> None:
    """Make the holder hand the VIP over just when it cannot start a process."""
    fault = scene.faults.no_processes(scene.holder)
    nodes = {n.instance_id: n.name for n in scene.pair.nodes()}
    scene.later(lambda: scene.command(scene.other, "crm_standby", "--delete", "--node", nodes[scene.holder]))
    scene.command(scene.other, "crm_standby", "--update", "on", "--node", nodes[scene.holder])
    scene.later(fault.undo)


def _own_address_renewed(scene: Scene) -> None:
    """Remove the node's own address and add it again, as `netplan apply` and a lapsed lease do."""
    own = next(n.address for n in scene.pair.nodes() if n.instance_id == scene.holder)
    scene.lab.run_in(scene.holder, ["sh", "-euc", _RENEW, "sh", own])


_RENEW = """
had=$(ip -4 -o address show to "$1/32" | sed -E 's/.* inet ([^ ]+) .*/\\1/')
link=$(ip -4 -o address show to "$1/32" | cut -d' ' -f2)
ip -4 route save dev "$link" >/run/ec2vip-routes
ip address delete "$had" dev "$link"
sleep 0.1
ip address add "$had" brd + dev "$link"
ip route restore </run/ec2vip-routes 2>/dev/null || true
"""


def _stray(scene: Scene) -> None:
    """Add the VIP to the standby's system, as a network tool or a stop that could not run leaves it there."""
    vip, node = scene.pair.vip, scene.other
    scene.faults.os_address_added(node, vip)
    wait_for(f"{vip} gone from the standby's system", lambda: not has_address(scene.lab, node, vip), STRAY_S)


def _kill_its_start(scene: Scene) -> None:
    """Kill the other node's start of the VIP while it takes over from a dead holder.

    EC2's answer takes 3 s, which leaves enough time for the kill.
    """
    slow = scene.faults.api(scene.other, "slow")
    scene.faults.power_loss(scene.holder)
    wait_for("a start of ec2vip, to be killed", lambda: _killed_start(scene), AT_ONCE)
    slow.undo()


def _killed_start(scene: Scene) -> bool:
    return scene.lab.try_in(scene.other, ["sh", "-c", _KILL_START]) is not None


# Kills the agent and its child process that talks to EC2, once the call is under way.
_KILL_START = """
found=$(pgrep -f '^[^ ]*python3 .*/heartbeat/ec2vip start$')
[ "$(echo "$found" | wc -w)" -gt 1 ] || exit 1
sleep 0.3
kill -KILL $found
"""


AGENT_ROWS = (
    *(_boots_without_the_api(kind, how) for kind, how in _API.items()),
    _standby_boots("imds-down", "neither metadata nor API answer", _without_metadata),
    Row(
        name="vip-stolen-5-times",
        does=f"a third interface takes the VIP in EC2, {THEFTS} times, as soon as it is back",
        reason="an interface that belongs to no member is a thief's, and the VIP comes back from a thief however "
        "often",
        act=_stolen_again_and_again,
        move=MAY,
        moves=THEFTS,
        within_s=MONITOR_AND_CALL_S,
        by_itself=True,
    ),
    Row(
        name="no-processes",
        does="the holder can start no process for 25 s, as under a fork bomb",
        reason="a monitor that can't run is a failure, and the cluster ignores a stop that can't run: the other "
        "serves",
        act=holder(lambda scene, node: scene.faults.no_processes(node), 25),
        move=MAY,
        moves=2,
        within_s=NEXT_MONITOR,
        by_itself=True,
    ),
    Row(
        name="no-processes-at-stop",
        does="the holder is put in standby while it can start no process",
        reason="the cluster ignores a stop that can't run, because EC2 alone decides who gets the VIP's packets",
        act=_leave_without_processes,
        within_s=NEXT_MONITOR,
        lasts_s=5,
    ),
    Row(
        name="start-killed-on-the-only-node",
        does="the holder loses power, and the other's start of the VIP is killed in the middle",
        reason="no other node is there: the cluster retries the failed start when its failure has expired",
        act=_kill_its_start,
        within_s=FORGOTTEN,
    ),
    unmoved(
        name="own-address-renewed",
        does="the holder's own address goes and comes back within a tenth of a second, as in `netplan apply`",
        reason="the VIP is not a secondary of the node's own address, so it does not go with that",
        act=_own_address_renewed,
        within_s=NOTHING_S,
        lasts_s=15,
    ),
    unmoved(
        name="stray-vip-on-standby",
        does="the standby's system has the VIP too, and nobody takes it off again",
        reason="its guard takes it off, or the standby would reach itself under the VIP for ever; the holder's "
        "stays",
        act=_stray,
        within_s=NOTHING_S,
    ),
)
