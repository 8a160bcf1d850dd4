"""The lab as the drill sees it, and the pair that Pulumi made there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.drill.pair import Pair, Reach
from tests.lab.amis import ami_id
from tests.lab.errors import LabError
from tests.lab.files import read_json, write_whole
from tests.lab.lab import Lab
from tests.lab.paths import PROJECT
from tests.lab.process import run
from tests.lab.pulumi_stack import PulumiStack

STACK = "local"
"""The stack with the settings for the lab."""
CHOICE = "choice.json"


class LabCloud:
    """The lab: every node has a shell, and its power can be cut."""

    name = "lab"
    reach = Reach()

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._ec2: Any = None

    def ec2(self) -> Any:
        if self._ec2 is None:
            self._ec2 = self.lab.client("ec2")
        return self._ec2

    def client_prefix(self) -> Sequence[str]:
        return self.lab.in_client()

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        return self.lab.try_in(instance_id, argv, timeout_s=90)

    def cut_power(self, instance_id: str) -> None:
        leader = self.lab.state()["nodes"].get(instance_id, {}).get("leader")
        if leader is None:
            raise LabError(f"{instance_id} already has no power", "see `make status`")
        run([*self.lab.enter(), "kill", "-KILL", str(leader)])

    def restore_power(self, instance_id: str) -> None:
        """Stop the instance by force, then start it, as an operator does after a host died."""
        ec2 = self.ec2()
        ec2.stop_instances(InstanceIds=[instance_id], Force=True)
        ec2.get_waiter("instance_stopped").wait(
            InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        ec2.start_instances(InstanceIds=[instance_id])


@dataclass(frozen=True)
class Choice:
    """What a lab's nodes run: a platform, and which of its images (`amis.KINDS`)."""

    platform: str = "debian12"
    ami: str = "public"

    @classmethod
    def of(cls, lab: Lab) -> Choice:
        """The choice of the lab's last `up`."""
        return cls(**read_json(lab.folder / CHOICE))

    def but(self, platform: str, ami: str) -> Choice:
        """A copy with those values that are not empty. Raises LabError for one that the lab does not know."""
        choice = Choice(platform or self.platform, ami or self.ami)
        ami_id(choice.platform, choice.ami)
        return choice

    @property
    def ami_id(self) -> str:
        return ami_id(self.platform, self.ami)

    def keep(self, lab: Lab) -> None:
        """Save it in the lab's folder, for every later command on this lab's stack."""
        write_whole(lab.folder / CHOICE, json.dumps(vars(self)))


def lab_stack(lab: Lab) -> PulumiStack:
    """The stack of the project's own program and settings, on the images chosen for the lab.

    Its state is in the lab's folder.
    """
    stack = PulumiStack(PROJECT, STACK, lab.folder / "pulumi", lab.environment())
    choice = Choice.of(lab)
    own = None if choice.ami == "public" else choice.ami_id
    stack.configure({"platform": choice.platform, "amiId": own})
    return stack


def lab_pair(lab: Lab) -> Pair:
    """The pair that `up` made. Raises LabError if there is none."""
    lab.require_running()
    outputs = lab_stack(lab).outputs()
    if "vip" not in outputs:
        raise LabError(f"lab {lab.name!r} runs, but holds no pair", "run `make up`")
    return Pair(LabCloud(lab), outputs["vip"], outputs["nodeIds"], outputs.get("vips", ()))
