"""Images other than the usual one: a pair on Debian 13 from its public image, then rolled to a baked one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cloudinit.platforms import PLATFORMS, SsmAmi
from tests.cluster.conftest import command
from tests.cluster.formed import WHOLE_LIMIT_S
from tests.cluster.hollow import eventually
from tests.drill import console
from tests.drill.clouds import lab_pair
from tests.drill.pair import Pair
from tests.drill.trials import TRIALS, run_trial
from tests.lab import image
from tests.lab.amis import Image, ami_id
from tests.lab.lab import Lab

NAME = "image-tests"


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab whose pair runs Debian 13, made by the user's own command."""
    lab = Lab(NAME)
    lab.down()
    try:
        made = up(PLATFORM="debian13")
        assert made == "", made
        yield lab
    finally:
        lab.down()


def up(**words: str) -> str:
    """Run `up` with these variables; return its output if it failed, else an empty string."""
    with pytest.MonkeyPatch.context() as environment:
        for key, value in words.items():
            environment.setitem(os.environ, key, value)
        made = command("up", lab=NAME)
    return "" if made.returncode == 0 else f"{made.stdout}\n{made.stderr}"


@pytest.fixture
def pair(lab: Lab) -> Pair:
    pair = lab_pair(lab)
    pair.wait_until_whole(WHOLE_LIMIT_S)
    return pair


def images(lab: Lab, pair: Pair) -> set[str]:
    found = lab.client().describe_instances(InstanceIds=pair.node_ids)["Reservations"]
    return {item["ImageId"] for each in found for item in each["Instances"]}


def release(lab: Lab, instance_id: str) -> str:
    return str(
        lab.run_in(instance_id, ["sh", "-c", '. /etc/os-release; echo "$ID $VERSION_ID"']).stdout.strip()
    )


def bootstrap_log(lab: Lab, instance_id: str) -> str:
    return str(lab.run_in(instance_id, ["cat", "/var/log/ec2vip-bootstrap.log"]).stdout)


def test_debian_13_is_what_the_nodes_run_and_they_installed_the_stack_themselves(
    lab: Lab, pair: Pair
) -> None:
    assert images(lab, pair) == {ami_id("debian13", "public")}
    for instance_id in pair.node_ids:
        assert release(lab, instance_id) == "debian 13"
        assert "Setting up pacemaker" in bootstrap_log(lab, instance_id)


@pytest.mark.parametrize("name", ["reboot", "power-loss"])
def test_a_pair_on_debian_13_keeps_the_vip_when(name: str, pair: Pair) -> None:
    (trial,) = [trial for trial in TRIALS if trial.name == name]
    result = run_trial(trial, pair, progress=print)
    assert result.passed, result.detail
    assert result.holder_after != result.holder_before


def test_a_baked_pair_forms_with_nothing_to_install(lab: Lab, pair: Pair) -> None:
    """It replaces the pair before: `pulumi up` changes the image."""
    said = up(AMI="baked")
    assert said == "", said
    baked = lab_pair(lab)
    assert not set(baked.node_ids) & set(pair.node_ids)
    assert images(lab, baked) == {ami_id("debian13", "baked")}
    for instance_id in baked.node_ids:
        assert release(lab, instance_id) == "debian 13"
        assert "Setting up" not in bootstrap_log(lab, instance_id)


def test_a_lab_has_machines_of_several_images_at_once(lab: Lab, pair: Pair) -> None:
    """A machine with Debian 12, made after the lab's start, runs beside the pair on Debian 13."""
    image.ensure([Image("debian12")])
    other = launch(lab, pair, ami_id("debian12", "public"))
    eventually(lambda: lab.try_in(other, ["true"]) is not None)
    assert release(lab, other) == "debian 12"
    assert release(lab, pair.node_ids[0]) == "debian 13"
    lab.client().terminate_instances(InstanceIds=[other])


def test_an_image_that_the_lab_has_not_is_named_on_the_console(lab: Lab, pair: Pair) -> None:
    parameter = PLATFORMS["ubuntu2404"].ami["x86_64"]
    assert isinstance(parameter, SsmAmi)
    ubuntu = lab.client("ssm").get_parameter(Name=parameter.parameter)["Parameter"]["Value"]
    other = launch(lab, pair, ubuntu)
    eventually(lambda: f"nothing to boot for {ubuntu}" in console.text(pair.cloud.ec2(), other))
    lab.client().terminate_instances(InstanceIds=[other])


def launch(lab: Lab, pair: Pair, ami: str) -> str:
    """Launch a machine of this image beside the pair, in its subnet."""
    ec2 = lab.client()
    (node,) = ec2.describe_instances(InstanceIds=pair.node_ids[:1])["Reservations"][0]["Instances"]
    made = ec2.run_instances(
        ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=node["SubnetId"]
    )
    return str(made["Instances"][0]["InstanceId"])
