"""The life of a run's pair, phase by phase: up, up again, refresh, trials, a roll, a lost node, destroy.

A phase that fails says why and ends there; the next one goes on if it can. What Ctrl-C or a lost right leaves is
removed by `removal.py`, not here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.drill import console, rollout
from tests.drill.aws import CONFIG, AwsCloud
from tests.drill.pair import Pair
from tests.drill.probe import Probe
from tests.drill.prove import hosts, leftovers, removal
from tests.drill.prove.leftovers import TAG
from tests.drill.prove.measures import Ground, measure_all, measure_stops
from tests.drill.prove.questions import ASKED, ask_all
from tests.drill.prove.report import Phase, Report, answered
from tests.drill.prove.stack import RunStack
from tests.drill.run_command import Commands
from tests.drill.trials import TRIALS, Result, run_trial
from tests.lab.errors import LabError
from tests.lab.log import say, step
from tests.lab.pulumi_stack import CommandError

FAILURES = (LabError, ClientError, BotoCoreError)
BOOT_STEP = re.compile(r"ec2vip: ([\w ]+): done \((\d+) s\)")
BOOT_END = re.compile(r"ec2vip: bootstrap done \((\d+) s\)")
ROLL_TOKEN_MS = 1500
"""A token that is not the default, so that both nodes are replaced."""
EMPTY_WORDS = ("update failed", "1 error occurred:", "preview failed")
MOVE_LIMIT_S = 120.0


@dataclass
class Life:
    """One run: its account, its stack, and the report that it fills.

    `agent` says whether the image has an SSM agent; without one, EC2 alone is asked. `keep` saves the report.
    """

    session: boto3.Session
    stack: RunStack
    run: str
    agent: bool
    times: int
    report: Report
    keep: Callable[[], None]
    clients: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ec2: Any = self.session.client("ec2", config=CONFIG)
        self.commands = Commands(self.session.client("ssm", config=CONFIG))

    def live(self) -> None:
        """Go through all phases. Returns at the end of the life, or at once if there is no pair to go on with."""
        with self._phase("up: the pair is made", "2 to 20 min") as said:
            self.stack.up("--skip-preview")
            said.stages.update(self._boot_stages())
        if not self.report.phases[-1].passed:
            return
        with self._phase("a second up changes nothing"):
            self.stack.up("--skip-preview")
            _nothing_changes(self.stack.last_changes())
        with self._phase("a refresh changes nothing"):
            _nothing_changes(self.stack.refresh())
        with self._phase("two clients are made", "1 to 3 min") as said:
            said.detail = self._make_clients()
        with self._phase("EC2 is asked what no public source says"):
            self._ask()
        with self._phase("what AWS's own times are", "some minutes") as said:
            measures = measure_all if self.agent else measure_stops
            for measured in measures(self._ground(), self.times, _indented):
                self.report.measures.append(measured)
                self.keep()
        with self._phase("the holder is broken in every trial", "5 to 30 min"):
            self._try_all()
        with self._phase("a roll replaces both nodes", "5 to 40 min") as said:
            said.detail = self._roll()
        with self._phase("a node is terminated, and an up brings it back", "5 to 30 min") as said:
            said.detail = self._lose_a_node()
        with self._phase("destroy", "2 to 10 min"):
            self._remove_clients()
            self.stack.destroy()
        with self._phase("a search by tag finds nothing"):
            if left := leftovers.found(removal.clients_of(self.session), self.run):
                raise LabError(f"these were left: {removal.in_words(left)}")

    @contextmanager
    def _phase(self, name: str, expected: str = "") -> Iterator[Said]:
        said, began, failed = Said(), time.monotonic(), ""
        try:
            with step(name, expected=expected):
                yield said
        except CommandError as error:
            failed = _last_words(error)
        except FAILURES as error:
            failed = str(error)
        if failed:
            say(f"    FAILED: {failed}")
        self.report.phases.append(
            Phase(name, not failed, round(time.monotonic() - began, 1), failed or said.detail, said.stages)
        )
        self.keep()

    def _pair(self) -> Pair:
        outputs = self.stack.outputs()
        probe = next(iter(self.clients.values()), None)
        cloud = AwsCloud(self.session, outputs["nodeIds"], hosts.prefix(probe) if probe else None)
        return Pair(cloud, outputs["vip"], outputs["nodeIds"], outputs.get("vips", ()))

    def _whole(self) -> Pair:
        pair = self._pair()
        pair.wait_until_whole(pair.cloud.reach.whole_limit_s, _indented)
        return pair

    def _boot_stages(self) -> dict[str, float]:
        """How long each stage of a first boot took (s), by the nodes' consoles; empty if EC2 shows none yet."""
        found: dict[str, float] = {}
        for node, role in zip(self.stack.outputs()["nodeIds"], "ab", strict=True):
            text = console.text(self.ec2, node)
            found |= {f"{role}: {each[1]}": float(each[2]) for each in BOOT_STEP.finditer(text)}
            if done := BOOT_END.search(text):
                found[f"{role}: the whole bootstrap"] = float(done[1])
        return found

    def _make_clients(self) -> str:
        self.report.pinged = False
        if not self.agent:
            return "none: the nodes' image has no SSM agent, so no client can be asked"
        site = hosts.Site.of(self.stack.outputs())
        own_vpc = self.stack.has("vpcCidr")
        self.clients = hosts.launch(self.ec2, site, self.run, own_vpc=own_vpc)
        if silent := hosts.wait_until_online(self.commands, self.clients):
            self._remove_clients()
            return f"none: SSM did not reach {', '.join(silent)}. They need public addresses or a NAT gateway"
        self.report.pinged = True
        return "in " + " and in ".join(self.clients)

    def _remove_clients(self) -> None:
        hosts.end(self.ec2, self.clients)
        hosts.remove_subnet(self.ec2, self.run)
        self.clients = {}

    def _ask(self) -> None:
        ec2 = self.session.client("ec2", config=ASKED)
        tags = [{"Key": TAG, "Value": self.run}]
        for answer in ask_all(ec2, self.stack.outputs()["subnetId"], tags):
            self.report.answers.append(answered(answer))

    def _ground(self) -> Ground:
        pair, outputs = self._whole(), self.stack.outputs()
        return Ground(
            ec2=self.ec2,
            commands=self.commands,
            nodes=(pair.node_ids[0], pair.node_ids[1]),
            clients=self.clients,
            spare=hosts.spare_address(self.ec2, outputs["subnetId"], pair.vips),
            holder=pair.holder,
            wait_until_whole=lambda: pair.wait_until_whole(pair.cloud.reach.whole_limit_s, _indented),
        )

    def _try_all(self) -> None:
        pair = self._whole()
        failed: list[str] = []
        for trial in TRIALS:
            result = run_trial(trial, pair, _indented)
            self._add(result)
            if result.passed is False:
                failed.append(result.name)
        if failed:
            raise LabError(f"the pair did not survive {', '.join(failed)} as promised")

    def _add(self, result: Result) -> None:
        self.report.trials.append(asdict(result))
        self.keep()
        say(f"    {result.name}: {'-' if result.outage_s is None else f'{result.outage_s:.2f} s'}")

    def _roll(self) -> str:
        pair = self._whole()
        old, changed = set(pair.node_ids), ROLL_TOKEN_MS
        self.stack.configure({"tokenMs": changed})
        prefix = pair.cloud.client_prefix()
        if prefix is None:
            self.stack.up("--skip-preview")
            seen = "no client was asked"
        else:
            with Probe(prefix, pair.vip) as probe:
                probe.wait_for_answers(30)
                self.stack.up("--skip-preview")
            lost = rollout.gaps(probe.replies)
            longest = max((gap for _, gap in lost), default=0.0)
            seen = f"the client was {sum(gap for _, gap in lost):.2f} s without the VIP, {longest:.2f} s at a time"
        pair = self._whole()
        if kept := old & set(pair.node_ids):
            raise LabError(f"{', '.join(sorted(kept))} was not replaced")
        return seen

    def _lose_a_node(self) -> str:
        pair = self._whole()
        holder = pair.holder() or ""
        began = time.monotonic()
        self.ec2.terminate_instances(InstanceIds=[holder])
        new = pair.wait_for_holder_other_than(holder, MOVE_LIMIT_S)
        moved = time.monotonic() - began
        self.ec2.get_waiter("instance_terminated").wait(InstanceIds=[holder])
        self.stack.up("--skip-preview", "--refresh")
        pair = self._whole()
        if pair.holder() != new:
            raise LabError(
                f"the VIP went from {new} to {pair.holder()}", "a node that returns must not take it"
            )
        return f"EC2 showed the other holder after {moved:.1f} s; the new node left the VIP there"


@dataclass
class Said:
    """What a phase says of itself while it runs."""

    detail: str = ""
    stages: dict[str, float] = field(default_factory=dict)


def _indented(text: str) -> None:
    say(f"    {text}")


def _nothing_changes(changes: dict[str, int]) -> None:
    """Raise LabError if the last operation changed something."""
    if changed := {kind: count for kind, count in changes.items() if kind != "same"}:
        raise LabError(f"it changed {', '.join(f'{count} ({kind})' for kind, count in changed.items())}")


def _last_words(error: CommandError) -> str:
    """The reasons in Pulumi's diagnostics: what the providers and the program say, else its last lines."""
    lines = [line.strip() for line in (error.stdout + error.stderr).splitlines() if line.strip()]
    told = lines[lines.index("Diagnostics:") :] if "Diagnostics:" in lines else lines
    reasons = [line.removeprefix("error:").strip(" *\t") for line in told if line.startswith(("error:", "*"))]
    plain = [each for each in reasons if each and each not in EMPTY_WORDS]
    return "; ".join(dict.fromkeys(plain[:4] or lines[-3:])) or str(error)
