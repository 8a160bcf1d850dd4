"""The trials: each breaks the pair in one way and measures what its client sees.

Each starts and ends with a whole pair, and says how long the client was without the VIP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.lab.ending import ENDING
from tests.lab.errors import LabError

MOVE_LIMIT_S = 60.0
SETTLE_S = 5.0
"""How long we watch a trial that must not move the VIP."""


@dataclass(frozen=True)
class Trial:
    """One way to break the pair.

    `fault` breaks the holder, and `heal` brings back what does not come back by itself. `by_hand` says how a
    person does that, with `{node}` for the instance.
    """

    name: str
    purpose: str
    moves: bool
    fault: Callable[[Pair, str], None]
    heal: Callable[[Pair, str], None]
    needs_shell: bool = False
    by_hand: str = ""


@dataclass(frozen=True)
class Result:
    """One trial's outcome; times in seconds, None if nobody measured them.

    `outage_s` is what the client saw. `recovered_s` is the time from the fault until EC2 showed the new
    holder (0 if the VIP must not move). `passed` is None for a skipped trial, and `detail` says why.
    """

    name: str
    passed: bool | None
    outage_s: float | None
    recovered_s: float | None
    holder_before: str
    holder_after: str
    detail: str


def _command(*argv: str) -> Callable[[Pair, str], None]:
    def act(pair: Pair, holder: str) -> None:
        if pair.cloud.run_on(holder, argv) is None:
            raise LabError(f"`{' '.join(argv)}` failed on {holder}", "see the node's journal")

    return act


def _nothing(pair: Pair, holder: str) -> None:
    """Do nothing: what was broken mends itself."""


def _reboot(pair: Pair, holder: str) -> None:
    pair.cloud.ec2().reboot_instances(InstanceIds=[holder])


def _power_loss(pair: Pair, holder: str) -> None:
    pair.cloud.cut_power(holder)


def _power_on(pair: Pair, holder: str) -> None:
    pair.cloud.restore_power(holder)


TRIALS = (
    Trial("reboot", "the holder reboots", True, _reboot, _nothing),
    Trial(
        "stop-pacemaker",
        "Pacemaker is stopped on the holder",
        True,
        _command("systemctl", "stop", "pacemaker"),
        _command("systemctl", "start", "pacemaker"),
        needs_shell=True,
        by_hand="`systemctl start pacemaker` on {node}",
    ),
    Trial(
        "kill-pacemakerd",
        "Pacemaker's first process is killed on the holder; the VIP must stay",
        False,
        _command("systemctl", "kill", "--kill-who=main", "--signal=KILL", "pacemaker"),
        _nothing,
        needs_shell=True,
    ),
    Trial(
        "stop-corosync",
        "Corosync is stopped on the holder",
        True,
        _command("systemctl", "stop", "corosync"),
        _command("systemctl", "start", "corosync", "pacemaker"),
        needs_shell=True,
        by_hand="`systemctl start corosync pacemaker` on {node}",
    ),
    Trial(
        "power-loss",
        "the holder loses power",
        True,
        _power_loss,
        _power_on,
        by_hand="`aws ec2 start-instances --instance-ids {node}` once it is stopped",
    ),
)


def run_trial(trial: Trial, pair: Pair, progress: Callable[[str], None]) -> Result:
    """Break, watch, heal, check; return the result. A failure is a result, not an exception.

    We heal what we broke in any case, also if a signal ends the trial. If nobody can ping the VIP, the outage
    of a trial that moves it is the time until EC2 shows the move. The detail then says so.
    """
    reach = pair.cloud.reach
    if trial.needs_shell and reach.no_shell:
        return Result(trial.name, None, None, None, "", "", f"skipped: {reach.no_shell}")
    before = after = ""
    outage_s = recovered_s = None
    broken = False
    try:
        pair.wait_until_whole(reach.whole_limit_s, progress)
        before = pair.holder() or ""
        with _probe(pair) as probe, ThreadPoolExecutor(1) as pool:
            if probe:
                probe.wait_for_answers(10)
            started = time.monotonic()
            broken = True
            # In the background: a command such as `systemctl stop` may go on long after the VIP has moved.
            fault = pool.submit(trial.fault, pair, before)
            if trial.moves:
                after = pair.wait_for_holder_other_than(before, MOVE_LIMIT_S, lambda: _raise_failure(fault))
                recovered_s = round(time.monotonic() - started, 3)
                if probe:
                    probe.wait_for_answers(MOVE_LIMIT_S)
            else:
                recovered_s = 0.0
                time.sleep(SETTLE_S)
                after = pair.holder() or ""
            fault.result()
            # The way back must not hurt the client either, so the probe goes on until the pair is whole.
            trial.heal(pair, before)
            broken = False
            time.sleep(reach.settle_s if trial.moves else 0)
            pair.wait_until_whole(reach.whole_limit_s, progress)
            after = pair.holder() or ""
            outage = probe.outage() if probe else None
        if outage:
            outage_s, detail = outage.seconds, f"{outage.lost} pings lost"
        elif trial.moves:
            outage_s = recovered_s
            detail = f"API-visible move time, exact to {reach.poll_s:g} s and one call; no client was asked"
        else:
            detail = "stayed in EC2; no client was asked"
        if trial.moves and after == before:
            raise LabError(f"the VIP went back to {before}", "a node that returns must not take the VIP")
        if not trial.moves and after != before:
            raise LabError(f"the VIP moved from {before} to {after}", "this fault must not move it")
        return Result(trial.name, True, outage_s, recovered_s, before, after, detail)
    except (LabError, BotoCoreError, ClientError) as error:
        return Result(trial.name, False, outage_s, recovered_s, before, after, str(error))
    finally:
        if broken:
            _heal(trial, pair, before, progress)


def _probe(pair: Pair) -> AbstractContextManager[Probe | None]:
    prefix = pair.cloud.client_prefix()
    return nullcontext() if prefix is None else Probe(prefix, pair.vip)


def _raise_failure(fault: Future[None]) -> None:
    """Raise the fault's own error, if any: then there is no move to wait for."""
    if fault.done():
        fault.result()


def _heal(trial: Trial, pair: Pair, holder: str, progress: Callable[[str], None]) -> None:
    """Bring back what an unfinished trial broke, or say what is left to do by hand."""
    if trial.heal is _nothing:
        return
    by_hand = trial.by_hand.format(node=holder)
    with ENDING.held():
        progress(f"bringing {holder} back (if that fails: {by_hand})")
        try:
            trial.heal(pair, holder)
        except (LabError, BotoCoreError, ClientError) as error:
            progress(f"{holder} is still broken: {error}; by hand: {by_hand}")


def report(stack: str, cloud: str, started: datetime, results: Sequence[Result]) -> dict[str, Any]:
    """The report as JSON; times in seconds. The run passed if some trial passed and none failed."""
    return {
        "stack": stack,
        "cloud": cloud,
        "started": started.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "passed": passed(results),
        "trials": [asdict(result) for result in results],
    }


def passed(results: Sequence[Result]) -> bool:
    """Whether some trial passed and none failed; a skipped one is neither."""
    verdicts = {result.passed for result in results}
    return True in verdicts and False not in verdicts
