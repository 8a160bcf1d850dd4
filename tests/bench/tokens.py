"""Measures what several tokens cost and forgive, by a crash, stalls of the holder, packet loss and load.

The pair's Corosync gets each token while it runs, and its own back at the end and on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from cloudinit.corosync import Timing
from cloudinit.spec import MAX_TOKEN_MS, MIN_TOKEN_MS
from tests.bench.failovers import measure
from tests.bench.subjects.stage import COROSYNC, revive
from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.drill.scene import places
from tests.lab.errors import LabError
from tests.lab.faults import Fault, Faults
from tests.lab.faults.core import eni_of
from tests.lab.lab import Lab
from tests.lab.snapshot import end_faults

TOKENS_MS = (200, 300, 500, 1000, 3000)

FACTORS = (0.3, 0.6, 0.9, 1.2, 3.0)
"""How long a stall lasts, in tokens."""
FORGIVEN = 0.6
"""A stall of this share of the token, or less, must not move the VIP."""

LOSSES_PERCENT = (1, 5)
WEATHER_S = 10.0
"""How long packets get lost, or the processors are loaded."""
LOAD = 0.9
STARVED_CPUS = 0.05

CONVERGED_S = 2.0
"""A pair must be whole within this time after the disturbance ends."""
QUIET_S = 3.0
"""A pair that stays whole for this time has converged: it is longer than any of Pacemaker's own pauses."""
CONVERGE_LIMIT_S = 120.0

BUSY = (
    "import time,sys\nend=time.monotonic()+float(sys.argv[1])\nwhile time.monotonic()<end:\n"
    " t=time.monotonic()\n while time.monotonic()<t+0.1*float(sys.argv[2]): pass\n"
    " time.sleep(0.1*(1-float(sys.argv[2])))\n"
)
"""A program that keeps a processor busy for argv[1] seconds, for the share argv[2] (0 to 1) of the time."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """A disturbance: `kind` is of KINDS; `size` is a stall's tokens, a loss's percent or a load's share."""

    kind: str
    size: float

    @property
    def name(self) -> str:
        """Its name, such as `stall 0.6`, which is also its key in the report."""
        return f"{self.kind} {self.size:g}"

    @property
    def stall(self) -> bool:
        """Whether `size` is in tokens."""
        return self.kind in STALLS

    def seconds(self, token_ms: int) -> float:
        """How long it lasts at this token."""
        return self.size * token_ms / 1000 if self.stall else WEATHER_S


STALLS = {
    "stall": "its processes stand still: to Corosync the machine hangs, and the length is exact to the "
    "millisecond",
    "starved": "its processes have a twentieth of a processor; Corosync, which is real-time, has its own",
}
WEATHER = {
    "loss": "that percentage of the packets gets lost",
    "load": "its processors are busy for that share of the time",
}
KINDS = {**STALLS, **WEATHER}

CASES = (
    *(Case(kind, factor) for kind in STALLS for factor in FACTORS),
    *(Case("loss", percent) for percent in LOSSES_PERCENT),
    Case("load", LOAD),
)


@dataclass(frozen=True)
class Outcome:
    """What a disturbance did: moves of the VIP in EC2, the client's longest outage (s), and how long after the
    disturbance's end the pair was whole for good (s; we poll for that, so it is rather too long).
    """

    moves: int
    outage_s: float
    converged_s: float
    lasted_s: float = 0.0
    """How long the disturbance really lasted, at most: a busy machine ends it late."""


def breaches(case: Case, outcome: Outcome, token_ms: int) -> list[str]:
    """The goals that were missed; empty if none was."""
    missed = []
    if case.stall and max(case.size, outcome.lasted_s * 1000 / token_ms) <= FORGIVEN and outcome.moves:
        missed.append(f"moved at a stall of {case.size:g} token; stalls up to {FORGIVEN:g} must cost no move")
    if not case.stall and outcome.moves:
        missed.append(f"moved {outcome.moves} times though no node was lost")
    if outcome.moves > 1:
        missed.append(f"moved {outcome.moves} times: ping-pong")
    if outcome.converged_s > CONVERGED_S:
        missed.append(f"whole after {outcome.converged_s:.1f} s; the goal is {CONVERGED_S:g} s")
    return missed


def tokens_of(text: str) -> list[int]:
    """Tokens in ms from words such as `300 1000`. Raises LabError if one is not in the allowed range."""
    words = text.replace(",", " ").split()
    for word in words:
        if not word.isdecimal() or not MIN_TOKEN_MS <= int(word) <= MAX_TOKEN_MS:
            raise LabError(
                f"{word!r} is not a token from {MIN_TOKEN_MS} to {MAX_TOKEN_MS} ms", "set TOKENS='300 1000'"
            )
    return [int(word) for word in words]


def retimed(conf: str, token_ms: int) -> str:
    """corosync.conf with another token and the times that follow from it.

    Raises LabError if the file does not have each of these times exactly once.
    """
    timing = Timing.from_token(token_ms)
    values = {
        "token": timing.token,
        "consensus": timing.consensus,
        "join": timing.join,
        "knet_ping_interval": timing.ping_interval,
        "knet_ping_timeout": timing.ping_timeout,
    }
    for key, value in values.items():
        conf, found = re.subn(rf"(?m)^(\s*{key}:) \d+$", rf"\1 {value}", conf)
        if found != 1:
            raise LabError(f"corosync.conf has {key} {found} times", "the pair must run this project's own")
    return conf


class Tokens:
    """The pair, and which token it runs with."""

    def __init__(self, lab: Lab, pair: Pair, progress: Progress) -> None:
        self.lab, self.pair, self.progress = lab, pair, progress
        self._kept = lab.folder / "corosync.conf"

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Give the pair its own token back after the block. First undo what a killed run has left.

        Raises LabError if another run is at work on this lab.
        """
        with (self.lab.folder / "tokens.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError("another `make tokens` is at work on this lab", "wait for its end") from None
            with self._own_again():
                yield

    @contextlib.contextmanager
    def _own_again(self) -> Iterator[None]:
        if self._kept.exists():
            self.progress("undoing what an earlier run left")
            end_faults(self.lab, self.pair.node_ids)
            self._put_back()
        own = self.lab.run_in(self.pair.node_ids[0], ["cat", COROSYNC]).stdout
        self._kept.write_text(own)
        try:
            yield
        finally:
            self._put_back()

    def _put_back(self) -> None:
        revive(self.lab, self.pair)
        self._configure(self._kept.read_text())
        self.pair.wait_until_whole(self.pair.cloud.reach.whole_limit_s)
        self._kept.unlink()

    def give(self, token_ms: int) -> None:
        """Have both nodes run with this token. Corosync adopts it without a pause."""
        self._configure(retimed(self._kept.read_text(), token_ms))
        self.pair.wait_until_whole(self.pair.cloud.reach.whole_limit_s)

    def _configure(self, conf: str) -> None:
        found = re.search(r"(?m)^\s*token: (\d+)$", conf)
        token = found[1] if found else ""
        for node in self.pair.node_ids:
            self.lab.run_in(node, ["tee", COROSYNC], input=conf)
            # A crash may come before the node's system has written this to its disk.
            self.lab.run_in(node, ["sync"])
        # One command makes every member read its own file.
        self.lab.run_in(self.pair.node_ids[0], ["corosync-cfgtool", "-R"], timeout_s=60)
        for node in self.pair.node_ids:
            self._await_token(node, token)

    def _await_token(self, node: str, token: str) -> None:
        asked = ["corosync-cmapctl", "-g", "runtime.config.totem.token"]
        deadline = time.monotonic() + 20
        while not (said := self.lab.try_in(node, asked) or "").strip().endswith(f" = {token}"):
            if time.monotonic() > deadline:
                raise LabError(
                    f"{node} runs with {said.strip() or 'no token'}, not {token}", "see its journal"
                )
            time.sleep(0.2)

    def crash(self) -> dict[str, Any]:
        """Cut the holder's power. Returns the client's outage (s), its phases (s), and who was the DC."""
        self._forget()
        holder = self.pair.holder() or ""
        name = next(view.name for view in self.pair.nodes() if view.instance_id == holder)
        dc = self.lab.run_in(holder, ["crmadmin", "--dc_lookup"]).stdout.split()[-1]
        measured = measure("crash", self.lab, self.pair, ("ec2vip", "vip"))
        return {
            "outage_s": measured.outage_s,
            "dc": "holder" if dc == name else "survivor",
            "phases_s": dict(measured.failover.phases),
        }

    def disturb(self, case: Case, token_ms: int) -> Outcome:
        """Disturb the holder of a whole pair, and return what comes of it.

        Raises LabError if the pair is not whole again in CONVERGE_LIMIT_S.
        """
        self._forget()
        holder = self.pair.holder() or ""
        eni = eni_of(self.lab, holder)
        with Probe(self.lab.in_client(), self.pair.vip) as probe:
            probe.wait_for_answers(10)
            began = time.monotonic()
            with _disturbance(self.lab, holder, case):
                time.sleep(max(0.0, case.seconds(token_ms) - (time.monotonic() - began)))
            healed = time.monotonic()
            converged = self._converged(healed)
            probe.wait_for_answers(10)
            outage = probe.outage().seconds
        visited = places(self.lab.timeline.read("route", since=began), self.pair.vip, eni)
        return Outcome(len(visited) - 1, outage, round(converged - healed, 2), round(healed - began, 3))

    def _forget(self) -> None:
        """Clear a whole pair's failures: a holder that woke up and saw its loss is banned for a minute."""
        self.pair.wait_until_whole(self.pair.cloud.reach.whole_limit_s)
        self.lab.run_in(self.pair.node_ids[0], ["crm_resource", "--cleanup"], timeout_s=60)
        self.pair.wait_until_whole(self.pair.cloud.reach.whole_limit_s)

    def _converged(self, healed: float) -> float:
        """When the pair was whole for good (monotonic): the end of the first look in QUIET_S without flaws.

        Raises LabError if there still are flaws after CONVERGE_LIMIT_S.
        """
        whole_since: float | None = None
        while whole_since is None or time.monotonic() - whole_since < QUIET_S:
            flaws = self.pair.flaws()
            now = time.monotonic()
            if flaws:
                whole_since = None
                if now - healed > CONVERGE_LIMIT_S:
                    raise LabError(
                        f"after {CONVERGE_LIMIT_S:.0f} s: {'; '.join(flaws)}", self.pair.cloud.reach.remedy
                    )
            elif whole_since is None:
                whole_since = now
            time.sleep(0.05)
        return whole_since


@contextlib.contextmanager
def _disturbance(lab: Lab, node: str, case: Case) -> Iterator[None]:
    faults = Faults(lab)
    if case.kind == "load":
        with _loaded(lab, node, case.size):
            yield
        return
    begin: Callable[[], Fault] = {
        "stall": partial(faults.stall, node),
        "starved": partial(faults.cpu_starved, node, STARVED_CPUS),
        "loss": partial(faults.packet_loss, node, case.size),
    }[case.kind]
    with begin():
        yield


@contextlib.contextmanager
def _loaded(lab: Lab, node: str, share: float) -> Iterator[None]:
    """Keep each of the node's processors busy for that share of the time; the programs end by themselves."""
    words = [*lab.in_node(node), "python3", "-c", BUSY, str(WEATHER_S), str(share)]
    count = int(lab.run_in(node, ["nproc"]).stdout)
    busy = [subprocess.Popen(words, stdin=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.wait(WEATHER_S + 30)


Results = dict[str, dict[str, Any]]
"""By token (ms, as text, for JSON): `crashes`, a list; `cases`, by name; `failed`, the steps that failed."""


def run_tokens(
    lab: Lab,
    pair: Pair,
    tokens_ms: Sequence[int],
    crashes: int,
    results: Results,
    progress: Progress,
    keep: Callable[[Results], None],
    cases: Sequence[Case] = CASES,
) -> Results:
    """Measure what `results` lacks; `keep` gets the results after every step, so a later run can resume."""
    tokens = Tokens(lab, pair, progress)
    with tokens.ready():
        for token_ms in tokens_ms:
            found = results.setdefault(str(token_ms), {"crashes": [], "cases": {}, "failed": []})
            found["failed"] = []
            if len(found["crashes"]) >= crashes and all(case.name in found["cases"] for case in cases):
                progress(f"token {token_ms} ms: measured already")
                continue
            progress(f"token {token_ms} ms: {crashes} losses of power, {len(cases)} disturbances")
            tokens.give(token_ms)
            while len(found["crashes"]) < crashes and len(found["failed"]) < crashes:
                _step(found, "crash", partial(_crash, found, tokens), progress)
                keep(results)
            for case in cases:
                if case.name not in found["cases"]:
                    _step(found, case.name, partial(_take, found, tokens, case, token_ms), progress)
                    keep(results)
    return results


def _crash(found: dict[str, Any], tokens: Tokens) -> None:
    found["crashes"].append(tokens.crash())


def _take(found: dict[str, Any], tokens: Tokens, case: Case, token_ms: int) -> None:
    found["cases"][case.name] = asdict(tokens.disturb(case, token_ms))


def _step(found: dict[str, Any], name: str, do: Callable[[], None], progress: Progress) -> None:
    try:
        do()
    except LabError as error:
        found["failed"].append(f"{name}: {error}")
        progress(f"    {name}: FAILED: {error}")
        return
    progress(f"    {name}: {_said(found, name)}")


def _said(found: Mapping[str, Any], name: str) -> str:
    if name == "crash":
        last = found["crashes"][-1]
        parts = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in last["phases_s"].items())
        return f"{last['outage_s']:.2f} s (DC on the {last['dc']}; {parts})"
    it = found["cases"][name]
    moved = {0: "stayed", 1: "moved once"}.get(it["moves"], f"moved {it['moves']} times")
    return f"{moved}, outage {it['outage_s']:.2f} s, whole {it['converged_s']:.1f} s after"


def missed(results: Results) -> list[str]:
    """Every goal that was missed, and every step that failed, with its token."""
    lines = []
    for token_ms, found in results.items():
        lines += [f"token {token_ms}: {words}" for words in found["failed"]]
        for case in CASES:
            if case.name in found["cases"]:
                outcome = Outcome(**found["cases"][case.name])
                lines += [
                    f"token {token_ms}: {case.name}: {words}"
                    for words in breaches(case, outcome, int(token_ms))
                ]
    return lines
