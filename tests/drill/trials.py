"""The trials: break the pair in one way, and see what its client sees.

Each starts from a whole pair, ends with a whole pair, and says how long the client was without the VIP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.lab.errors import LabError

WHOLE_LIMIT_S = 180.0
"""A node that reboots is back in some 15 s in the lab, in one to two minutes on EC2."""
MOVE_LIMIT_S = 60.0
SETTLE_S = 5.0
"""How long a trial that must not move the VIP goes on looking."""


@dataclass(frozen=True)
class Trial:
    """`fault` breaks the holder, `heal` brings back what does not come back by itself."""

    name: str
    purpose: str
    moves: bool
    fault: Callable[[Pair, str], None]
    heal: Callable[[Pair, str], None]


@dataclass(frozen=True)
class Result:
    """One trial's outcome. Times in seconds: `outage_s` as the client saw it, `recovered_s` from the fault until
    EC2 showed the new holder (0 where it must not move)."""

    name: str
    passed: bool
    outage_s: float
    recovered_s: float
    holder_before: str
    holder_after: str
    detail: str


def _command(*argv: str) -> Callable[[Pair, str], None]:
    def act(pair: Pair, holder: str) -> None:
        if pair.cloud.run_on(holder, argv) is None:
            raise LabError(f"`{' '.join(argv)}` failed on {holder}", "see the node's journal")

    return act


def _nothing(pair: Pair, holder: str) -> None:
    """What was broken mends itself."""


def _reboot(pair: Pair, holder: str) -> None:
    pair.cloud.ec2().reboot_instances(InstanceIds=[holder])


def _power_loss(pair: Pair, holder: str) -> None:
    pair.cloud.cut_power(holder)


def _power_on(pair: Pair, holder: str) -> None:
    """As an operator does with a host that died: stop by force, then start."""
    ec2 = pair.cloud.ec2()
    ec2.stop_instances(InstanceIds=[holder], Force=True)
    ec2.get_waiter("instance_stopped").wait(
        InstanceIds=[holder], WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    ec2.start_instances(InstanceIds=[holder])


TRIALS = (
    Trial("reboot", "the holder reboots", True, _reboot, _nothing),
    Trial(
        "stop-pacemaker",
        "Pacemaker is stopped on the holder",
        True,
        _command("systemctl", "stop", "pacemaker"),
        _command("systemctl", "start", "pacemaker"),
    ),
    Trial(
        "kill-pacemakerd",
        "Pacemaker's first process is killed on the holder; the VIP must stay",
        False,
        _command("systemctl", "kill", "--kill-who=main", "--signal=KILL", "pacemaker"),
        _nothing,
    ),
    Trial(
        "stop-corosync",
        "Corosync is stopped on the holder",
        True,
        _command("systemctl", "stop", "corosync"),
        _command("systemctl", "start", "corosync", "pacemaker"),
    ),
    Trial("power-loss", "the holder loses power", True, _power_loss, _power_on),
)


def run_trial(trial: Trial, pair: Pair, progress: Callable[[str], None]) -> Result:
    """Break, watch, heal, check. A failure is a result, not an exception."""
    before = after = ""
    outage_s = recovered_s = 0.0
    try:
        pair.wait_until_whole(WHOLE_LIMIT_S, progress)
        before = pair.holder() or ""
        with Probe(pair.cloud.client_prefix(), pair.vip) as probe, ThreadPoolExecutor(1) as pool:
            probe.wait_for_answers(10)
            started = time.monotonic()
            # Aside, for a command such as `systemctl stop` may go on long after the VIP has moved.
            fault = pool.submit(trial.fault, pair, before)
            if trial.moves:
                after = pair.wait_for_holder_other_than(before, MOVE_LIMIT_S)
                recovered_s = round(time.monotonic() - started, 3)
                probe.wait_for_answers(MOVE_LIMIT_S)
            else:
                time.sleep(SETTLE_S)
                after = pair.holder() or ""
            fault.result()
            # The way back must not hurt the client either, so the probe goes on until the pair is whole.
            trial.heal(pair, before)
            pair.wait_until_whole(WHOLE_LIMIT_S, progress)
            after = pair.holder() or ""
            outage = probe.outage()
        outage_s = outage.seconds
        if trial.moves and after == before:
            raise LabError(f"the VIP went back to {before}", "a node that returns must not take the VIP")
        if not trial.moves and after != before:
            raise LabError(f"the VIP moved from {before} to {after}", "this fault must not move it")
        detail = f"{outage.lost} pings lost"
        return Result(trial.name, True, outage_s, recovered_s, before, after, detail)
    except LabError as error:
        return Result(trial.name, False, outage_s, recovered_s, before, after, str(error))


def report(stack: str, cloud: str, started: datetime, results: list[Result]) -> dict[str, Any]:
    """The report as JSON; the trials' times in seconds."""
    return {
        "stack": stack,
        "cloud": cloud,
        "started": started.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "passed": bool(results) and all(result.passed for result in results),
        "trials": [asdict(result) for result in results],
    }
