"""Catalogue rows for faults of the network."""

from __future__ import annotations

from functools import partial

from tests.drill.acts import Act, crash_during, holder, standby
from tests.drill.row import MAY, PATIENT, ROUND, STAYS, Row, unmoved
from tests.drill.scene import Scene
from tests.lab.faults import CLIENT

ONE_MOVE = (
    "two nodes that do not hear each other both claim the VIP, and EC2 gives it to the last that asks; the "
    "loser does not take it back from a taker in the same membership"
)


def _partition(*, protocol: str | None = None, one_way: bool = False, back: bool = False) -> Act:
    """An act that stops packets between the nodes.

    `one_way` stops only those from the holder to the other node; with `back`, only those to the holder.
    """

    def act(scene: Scene) -> None:
        one, other = (scene.other, scene.holder) if back else (scene.holder, scene.other)
        scene.faults.partition(one, other, protocol=protocol, one_way=one_way)

    return act


split = partial(Row, move=MAY, moves=2, lasts_s=40)
"""A row in which each node may take the other for dead, until the two meet again."""

NETWORK_ROWS = (
    split(
        name="partition",
        does="no packet passes between the nodes for 40 s: split brain, and healed",
        reason=ONE_MOVE,
        act=_partition(),
    ),
    split(
        name="partition-corosync",
        does="no packet of Corosync passes between the nodes for 40 s",
        reason=ONE_MOVE,
        act=_partition(protocol="corosync"),
    ),
    Row(
        name="partition-corosync-long",
        does="no packet of Corosync passes between the nodes for 150 s: failures expire and both look again",
        reason="however often the loser looks, it does not take the VIP back from a peer that it can't hear",
        act=_partition(protocol="corosync"),
        move=MAY,
        moves=1,
        lasts_s=150,
    ),
    split(
        name="partition-from-holder",
        does="no packet passes from the holder to the other node for 40 s",
        reason="a node that is not heard leaves the membership, whatever it hears itself; " + ONE_MOVE,
        act=_partition(one_way=True),
    ),
    split(
        name="partition-to-holder",
        does="no packet passes from the other node to the holder for 40 s",
        reason="a node that is not heard leaves the membership, whatever it hears itself; " + ONE_MOVE,
        act=_partition(one_way=True, back=True),
    ),
    Row(
        name="isolated-holder",
        does="no packet reaches or leaves the holder for 40 s, metadata and API included",
        reason="the other node hears nothing and takes the VIP; the loser can't even ask EC2, and gets no packets",
        act=holder(lambda scene, node: scene.faults.isolate(node)),
        moves=2,
        lasts_s=40,
    ),
    Row(
        name="isolated-standby",
        does="no packet reaches or leaves the standby for 40 s, metadata and API included",
        reason="a node that can't call EC2 takes nothing from one that serves; it seems to be alone, keeps "
        "trying for almost a minute, and may get the VIP just before the two meet again",
        act=standby(lambda scene, node: scene.faults.isolate(node)),
        move=STAYS,
        moves=1,
        lasts_s=40,
    ),
    unmoved(
        name="partition-client",
        does="no packet passes between the holder and one client for 15 s",
        reason="the cluster watches its nodes, not the paths to their clients; it may still serve other clients",
        act=lambda scene: scene.cause(scene.faults.partition(scene.holder, CLIENT)),
        lasts_s=15,
        survived=False,
    ),
    Row(
        name="packet-loss-5",
        does="5 % of the holder's packets get lost for 30 s",
        reason="Corosync resends lost packets four times within a token; on a busy machine that is sometimes "
        "not enough, which costs a move, and the reunion another",
        act=holder(lambda scene, node: scene.faults.packet_loss(node, 5)),
        move=MAY,
        moves=2,
        lasts_s=30,
    ),
    Row(
        name="packet-loss-20",
        does="20 % of the holder's packets get lost for 30 s",
        reason="about every ten seconds the token is lost five times in a row, and the peer with it; each "
        "time may cost a move, and the reunion another. The moves must end with the loss",
        act=holder(lambda scene, node: scene.faults.packet_loss(node, 20)),
        move=MAY,
        moves=2 * 30 // 10,
        lasts_s=30,
    ),
    Row(
        name="dns-down-at-crash",
        does="the holder loses power while no name service answers the other",
        reason="the agent knows the EC2 API by its name, and its addresses change: without names no node can "
        f"move the VIP; {PATIENT}",
        act=crash_during(lambda scene, node: scene.faults.dns_down(node)),
        lasts_s=ROUND,
        survived=False,
    ),
)
