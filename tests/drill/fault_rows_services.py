"""Catalogue rows for faults of EC2's services and permissions, and for others who touch the VIP."""

from __future__ import annotations

import time

from cloudinit.cib import IN_OS_META
from tests.drill.acts import Act, crash_during, holder, standby
from tests.drill.row import AT_ONCE, FORGOTTEN, MAY, NEXT_MONITOR, PATIENT, ROUND, Row, unmoved
from tests.drill.scene import Scene
from tests.lab.faults.addresses import delete_address, has_address
from tests.lab.waiting import wait_for

KNOWING = "an unknown state is not 'not running'"
AGAIN = "afterwards the cluster retries the failed start when its failure has expired"
SIX_MONITORS = 300.0
"""Six monitors in a row without an answer: one every 10 s, and each waits up to 12 s."""

_API = {  # what EC2 does, why nobody gets the VIP, and the bound from the fault's end on
    "down": ("is down", f"no node can move the VIP without it; {PATIENT}", AT_ONCE),
    "hang": ("does not answer", f"no node can move the VIP without it; {PATIENT}", AT_ONCE),
    "throttled": (
        "throttles",
        f"EC2 refuses every call while the account is over its limit; {PATIENT}",
        AT_ONCE,
    ),
    "denied": ("denies all calls", f"the pair does not survive the loss of a permission; {AGAIN}", FORGOTTEN),
    "expired": (
        "refuses all time stamps",
        f"EC2 refuses every call whose time is minutes off; {AGAIN}",
        FORGOTTEN,
    ),
}


def _api_at_crash(kind: str) -> Row:
    how, why, within_s = _API[kind]
    return Row(
        name=f"api-{kind}-at-crash",
        does=f"the holder loses power while the EC2 API {how} for the other, for {ROUND:.0f} s",
        reason=why,
        act=crash_during(lambda scene, node: scene.faults.api(node, kind)),
        lasts_s=ROUND,
        within_s=within_s,
        survived=False,
    )


def _api_and_imds(kind: str) -> Act:
    def act(scene: Scene) -> None:
        scene.faults.imds(scene.holder, "down")
        scene.faults.api(scene.holder, kind)

    return act


def _steal(scene: Scene) -> None:
    scene.faults.vip_stolen(scene.pair.vip)


def _delete(scene: Scene) -> None:
    delete_address(scene.lab, scene.holder, scene.pair.vip)


def _refreshed(scene: Scene) -> None:
    """Do as tools that copy addresses to the interface by timer, from metadata that may lag behind."""
    for _ in range(5):
        fault = scene.faults.os_address_added(scene.other, scene.pair.vip)
        time.sleep(2)
        fault.undo()
        time.sleep(1)


def _unfit_each(scene: Scene) -> None:
    """Make the holder fail, then its successor, while the first one's failures still count."""
    _unfit(scene, scene.holder)
    scene.pair.wait_for_holder_other_than(scene.holder, NEXT_MONITOR)
    _unfit(scene, scene.other)


def _unfit(scene: Scene, node: str) -> None:
    """Delete the VIP from the node's system until the cluster gives the node up for a while."""
    lab, vip = scene.lab, scene.pair.vip
    for _ in range(int(IN_OS_META["migration-threshold"])):
        wait_for(f"{vip} in the system of {node}", lambda: has_address(lab, node, vip), NEXT_MONITOR)
        delete_address(lab, node, vip)


SERVICE_ROWS = (
    *(_api_at_crash(kind) for kind in _API),
    Row(
        name="api-slow-at-crash",
        does="the holder loses power while every answer of the EC2 API takes the other 3 s",
        reason="a failover takes only one call, and the agent waits 5 s for it",
        act=crash_during(lambda scene, node: scene.faults.api(node, "slow"), fatal=False),
    ),
    Row(
        name="imds-down-at-crash",
        does=f"the holder loses power while the metadata service is down for the other, for {ROUND:.0f} s",
        reason=f"a node that never held the VIP gets its credentials only from there; {PATIENT}",
        act=crash_during(lambda scene, node: scene.faults.imds(node, "down")),
        lasts_s=ROUND,
        survived=False,
    ),
    Row(
        name="role-detached-at-crash",
        does=f"the holder loses power while the other has no role; after {ROUND:.0f} s it is given back",
        reason=f"without a role EC2 refuses every call; {AGAIN}",
        act=crash_during(lambda scene, node: scene.faults.role_detached(node)),
        lasts_s=ROUND,
        within_s=FORGOTTEN,
        survived=False,
    ),
    unmoved(
        name="role-detached-from-holder",
        does="the holder has no role for a while",
        reason="a holder needs no credentials to keep the VIP",
        act=holder(lambda scene, node: scene.faults.role_detached(node)),
    ),
    unmoved(
        name="api-down-for-holder",
        does="the EC2 API is down for the holder",
        reason="nothing in the steady state calls it",
        act=holder(lambda scene, node: scene.faults.api(node, "down")),
    ),
    *(
        unmoved(
            name=f"imds-{kind}-on-holder",
            does=f"the metadata service {how} the holder",
            reason=f"{KNOWING}: if the metadata service fails, the agent asks the EC2 API, which says that all "
            "is well",
            act=holder(lambda scene, node, kind=kind: scene.faults.imds(node, kind)),  # type: ignore[misc]
        )
        for kind, how in (("down", "is down for"), ("hang", "never answers"), ("401", "answers 401 to"))
    ),
    unmoved(
        name="imds-down-on-standby",
        does="the metadata service is down for the standby",
        reason="a node that does not serve asks nothing",
        act=standby(lambda scene, node: scene.faults.imds(node, "down")),
    ),
    *(
        unmoved(
            name=f"imds-down-and-api-{kind}",
            does=f"for 45 s the holder has no metadata, and the EC2 API {how}",
            reason=f"{KNOWING}: six monitors in a row may go without an answer, a minute at least",
            act=_api_and_imds(kind),
            lasts_s=45,
        )
        for kind, how in (("down", "is down too"), ("throttled", "throttles it"))
    ),
    Row(
        name="services-gone-for-good",
        does="the holder has neither metadata nor API until the VIP has moved",
        reason="a holder that learns nothing for six monitors fails: the other may know more; clients are served"
        " until then, and while it stops",
        act=_api_and_imds("down"),
        moved_within_s=SIX_MONITORS,
    ),
    Row(
        name="vip-stolen",
        does="a third interface takes the VIP in EC2",
        reason="the holder's monitor finds it gone, and the cluster's next start takes it back from whichever "
        "interface has it",
        act=_steal,
        move=MAY,
        within_s=NEXT_MONITOR,
        lasts_s=15,
        by_itself=True,
    ),
    Row(
        name="os-address-deleted",
        does="the holder's system loses the VIP",
        reason="IPaddr2's monitor finds it gone, and the cluster puts it back where it was",
        act=_delete,
        move=MAY,
        within_s=NEXT_MONITOR,
        lasts_s=15,
        by_itself=True,
    ),
    unmoved(
        name="os-address-on-the-wrong-node",
        does="the standby's system has the VIP too, until it is taken off again",
        reason="EC2 delivers only to the holder: clients notice nothing, and the cluster has no reason to move it",
        act=standby(lambda scene, node: scene.faults.os_address_added(node, scene.pair.vip)),
    ),
    unmoved(
        name="os-address-refreshed",
        does="a network tool puts the VIP into the standby's system and takes it off again, five times in 15 s",
        reason="EC2 delivers only to the holder; besides, the bootstrap keeps the platforms' own tools off "
        "the interface",
        act=_refreshed,
        lasts_s=0.0,
    ),
    Row(
        name="os-address-on-the-survivor",
        does="the holder loses power while the other's system has the VIP already",
        reason="a start succeeds if the system has the VIP in the end, whoever put it there",
        act=crash_during(
            lambda scene, node: scene.faults.os_address_added(node, scene.pair.vip), fatal=False
        ),
    ),
    Row(
        name="failures-on-each",
        does="the holder's system loses the VIP until it is given up, and then the other's, which has taken over",
        reason="failures ban a node for a minute, not for ever: the first one's expire first",
        act=_unfit_each,
        move=MAY,
        moves=2,
        within_s=FORGOTTEN,
        by_itself=True,
    ),
)
