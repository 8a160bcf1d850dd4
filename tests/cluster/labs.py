"""A lab of a test file's own, its pair, and a machine beside the pair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.drill.clouds import lab_pair
from tests.drill.pair import Pair
from tests.drill.trials import TRIALS, Trial, run_trial
from tests.lab.faults.core import described
from tests.lab.lab import Lab

WHOLE_LIMIT_S = 180.0
BOTH_WAYS = [trial for trial in TRIALS if trial.name in ("reboot", "power-loss")]
"""A holder that hands the VIP on, and one that can't."""


@contextmanager
def own_lab(name: str) -> Iterator[Lab]:
    """A lab of that name that does not run yet, whatever an earlier run has left; at the end it is down."""
    lab = Lab(name)
    lab.down()
    try:
        yield lab
    finally:
        lab.down()


def whole_pair(lab: Lab) -> Pair:
    """The lab's pair, once it is whole."""
    pair = lab_pair(lab)
    pair.wait_until_whole(WHOLE_LIMIT_S)
    return pair


def passes(trial: Trial, pair: Pair) -> None:
    """Check that the client keeps the VIP in the trial, which moves the VIP or does not, as it says."""
    result = run_trial(trial, pair, progress=print)
    assert result.passed, result.detail
    assert (result.holder_after != result.holder_before) == trial.moves


def launch_beside(lab: Lab, ami: str, **more: Any) -> str:
    """Launch a machine of this image in the pair's subnet and security groups; the result is its id."""
    node = described(lab, lab_pair(lab).node_ids[0])
    made = lab.client().run_instances(
        ImageId=ami,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        SubnetId=node["SubnetId"],
        SecurityGroupIds=[group["GroupId"] for group in node["SecurityGroups"]],
        **more,
    )
    return str(made["Instances"][0]["InstanceId"])


def on(lab: Lab, instance_id: str, *argv: str) -> str:
    """The output of a command in the node. Raises CommandError if it fails."""
    return lab.run_in(instance_id, argv).stdout
