"""Measures in an account what no public source says of EC2's times: moves, forced stops, the console, stalls."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator

from tests.drill import console
from tests.drill.prove.ground import OTHER_SUBNET, SAME_SUBNET, Ground
from tests.drill.prove.moves import measure_moves
from tests.drill.prove.report import MEASURES, Measure
from tests.lab.errors import LabError

__all__ = [
    "OTHER_SUBNET",
    "SAME_SUBNET",
    "Ground",
    "measure_all",
    "measure_console",
    "measure_moves",
    "measure_stalls",
    "measure_stops",
]

STOP, STOP_HUNG, CONSOLE, STALL, STEAL = MEASURES[7:]

POLL_S = 0.5
"""Time between two looks at an instance's state (s)."""
STOP_LIMIT_S = 900.0
"""How long an instance may take to stop. A stop takes from seconds to minutes."""
HANG = (
    "sh",
    "-c",
    "sysctl -w kernel.panic=0 && echo 1 >/proc/sys/kernel/sysrq &&"
    " { (sleep 2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 & }",
)
"""Crashes the kernel in two seconds; with kernel.panic=0 it then stands still and does not boot again.

Source: the Linux kernel's administrator's guide, "Linux Magic System Request Key Hacks" (c) and
"Documentation for /proc/sys/kernel/" (panic).
"""
HANG_S = 5.0
"""After this long, a kernel that was told to crash has done so."""
CONSOLE_POLL_S = 1.0
CONSOLE_LIMIT_S = 300.0
"""How long a line may take to the console (assumed)."""
WRITE = ("sh", "-c", 'echo "prove $1 at $(date +%s.%N)" >/dev/console', "sh")
PAUSES = ("sh", "-c", 'all=$(corosync-cmapctl -m stats) && { echo "$all" | grep -F .schedmiss. || true; }')
DELAY = re.compile(r"^stats\.schedmiss\.\d+\.delay \(\w+\) = (\d+(?:\.\d+)?)$", re.MULTILINE)


def measure_all(ground: Ground, times: int, say: Callable[[str], None]) -> Iterator[Measure]:
    """All MEASURES, each taken `times` times where that makes sense. Raises what the four groups raise.

    The stops are last, for Corosync counts its pauses anew when it starts.
    """
    yield from measure_moves(ground, times, say)
    yield from measure_console(ground, times, say)
    yield from measure_stalls(ground)
    yield from measure_stops(ground, times, say)


def measure_stops(ground: Ground, times: int, say: Callable[[str], None]) -> Iterator[Measure]:
    """Stop the standby by force, `times` times while it runs and once while its kernel hangs; then start it.

    Raises LabError if it does not stop, or if the pair is not whole again; ClientError if EC2 refuses.
    """
    how = f"in the user's clock, from the call until Describe says `stopped`; looked each {POLL_S} s"
    values = []
    for _ in range(times):
        standby = ground.standby()
        say(f"stopping {standby} by force, and starting it")
        values.append(_stop(ground, standby))
    yield Measure(STOP, values, note=how)
    standby = ground.standby()
    say(f"crashing the kernel of {standby}, then stopping it by force, and starting it")
    if why := _why_not_hung(ground, standby):
        yield Measure(STOP_HUNG, (), note=f"not measured: {why}")
    else:
        yield Measure(STOP_HUNG, (_stop(ground, standby),), note=f"the kernel had crashed before; {how}")


def _why_not_hung(ground: Ground, node: str) -> str:
    """Crash the node's kernel; why it goes on, or empty if it hangs."""
    if ground.commands.run(node, HANG) is None:
        return f"{node} may not crash its kernel, as in a lab"
    time.sleep(HANG_S)
    # SSM gives up on a node that hangs after DELIVERY_S. A kernel that boots after a crash answers by then.
    answers = ground.commands.run(node, ["true"]) is not None
    return f"{node} still answers after its kernel was told to crash" if answers else ""


def _stop(ground: Ground, node: str) -> float:
    """Stop the node and start it again; the seconds that the stop took."""
    began = time.monotonic()
    ground.ec2.stop_instances(InstanceIds=[node], Force=True, SkipOsShutdown=True)
    while (state := _state(ground, node)) != "stopped":
        if time.monotonic() - began > STOP_LIMIT_S:
            raise LabError(f"{node} is {state} {STOP_LIMIT_S:.0f} s after a stop by force", "terminate it")
        time.sleep(POLL_S)
    took = time.monotonic() - began
    ground.ec2.start_instances(InstanceIds=[node])
    ground.wait_until_whole()
    return took


def _state(ground: Ground, node: str) -> str:
    (reservation,) = ground.ec2.describe_instances(InstanceIds=[node])["Reservations"]
    return str(reservation["Instances"][0]["State"]["Name"])


def measure_console(ground: Ground, times: int, say: Callable[[str], None]) -> Iterator[Measure]:
    """Write lines to the standby's console, and wait until EC2 shows each.

    Raises ClientError if EC2 refuses to say who the standby is, or fails to read the console.
    """
    standby = ground.standby()
    values, why = [], ""
    for _ in range(times):
        say(f"writing a line to the console of {standby}")
        mark = secrets.token_hex(8)
        if ground.commands.run(standby, [*WRITE, mark]) is None:
            why = f"not all written: {standby} could not write to its console"
            continue
        written = time.monotonic()
        while mark not in console.text(ground.ec2, standby):
            if time.monotonic() - written > CONSOLE_LIMIT_S:
                why = f"not all seen within {CONSOLE_LIMIT_S:.0f} s"
                break
            time.sleep(CONSOLE_POLL_S)
        else:
            values.append(time.monotonic() - written)
    note = (
        "in the user's clock, from the end of the command that wrote the line, which SSM tells one or two seconds "
        f"late (assumed); looked each {CONSOLE_POLL_S} s"
    )
    yield Measure(CONSOLE, values, note=f"{note}; {why}" if why else note)


def measure_stalls(ground: Ground) -> Iterator[Measure]:
    """How long Corosync was not scheduled, and how much of the processor's time the hypervisor took, per node."""
    pauses: list[float] = []
    steals: list[float] = []
    silent: dict[str, list[str]] = {STALL: [], STEAL: []}
    for node in ground.nodes:
        if (listed := ground.commands.run(node, PAUSES)) is None:
            silent[STALL].append(node)
        else:
            pauses += pauses_of(listed)
        if (counted := ground.commands.run(node, ["cat", "/proc/stat"])) is None:
            silent[STEAL].append(node)
        else:
            steals.append(steal_of(counted))
    why = {name: f"; {' and '.join(nodes)} did not tell" if nodes else "" for name, nodes in silent.items()}
    note = (
        "stats.schedmiss of Corosync (cmap_keys(8)) since it started, the last ten of each node; it lists a pause "
        "above 0.8 of the token (exec/main.c)"
    )
    if pauses:
        note += (
            f"; a machine that stands still for longer than the token costs one move of the VIP "
            f'(docs/measurements.md, "Which token?"), so these nodes need a tokenMs above {max(pauses) * 1000:.0f}'
        )
    elif not silent[STALL]:
        note += "; it lists none, so the nodes' tokenMs is long enough so far"
    yield Measure(STALL, pauses, note=note + why[STALL])
    yield Measure(
        STEAL,
        steals,
        unit="%",
        note="of the processors' time since the nodes' boot, from /proc/stat (proc_stat(5)); one value per node"
        + why[STEAL],
    )


def pauses_of(listed: str) -> list[float]:
    """The pauses (s) that `corosync-cmapctl -m stats` lists in milliseconds, the latest first."""
    return [float(delay) / 1000 for delay in DELAY.findall(listed)]


def steal_of(counted: str) -> float:
    """The stolen time, in percent of all, from the text of /proc/stat.

    The first line has user, nice, system, idle, iowait, irq, softirq, steal. What follows is in user and nice.
    """
    ticks = [int(word) for word in counted.splitlines()[0].split()[1:9]]
    return 100 * ticks[7] / sum(ticks)
