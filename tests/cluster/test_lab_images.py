"""Images other than the usual one: a pair on Debian 13 from its public image, then rolled to a baked one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudinit.platforms import PLATFORMS, SsmAmi
from tests.cluster.conftest import command
from tests.cluster.hollow import eventually
from tests.cluster.labs import BOTH_WAYS, launch_beside, on, own_lab, passes, whole_pair
from tests.drill import console
from tests.drill.clouds import lab_pair
from tests.drill.pair import Pair
from tests.drill.trials import Trial
from tests.lab import image
from tests.lab.amis import Image, ami_id
from tests.lab.faults.core import described
from tests.lab.lab import Lab

NAME = "image-tests"


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab whose pair runs Debian 13, made by the user's own command."""
    with own_lab(NAME) as lab:
        made = command("up", lab=NAME, PLATFORM="debian13")
        assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
        yield lab


@pytest.fixture
def pair(lab: Lab) -> Pair:
    return whole_pair(lab)


def images(lab: Lab, pair: Pair) -> set[str]:
    return {described(lab, instance_id)["ImageId"] for instance_id in pair.node_ids}


def release(lab: Lab, instance_id: str) -> str:
    return on(lab, instance_id, "sh", "-c", '. /etc/os-release; echo "$ID $VERSION_ID"').strip()


def bootstrap_log(lab: Lab, instance_id: str) -> str:
    return on(lab, instance_id, "cat", "/var/log/ec2vip-bootstrap.log")


def test_debian_13_is_what_the_nodes_run_and_they_installed_the_stack_themselves(
    lab: Lab, pair: Pair
) -> None:
    assert images(lab, pair) == {ami_id("debian13", "public")}
    for instance_id in pair.node_ids:
        assert release(lab, instance_id) == "debian 13"
        assert "Setting up pacemaker" in bootstrap_log(lab, instance_id)


@pytest.mark.parametrize("trial", BOTH_WAYS, ids=lambda trial: trial.name)
def test_a_pair_on_debian_13_keeps_the_vip_when(trial: Trial, pair: Pair) -> None:
    passes(trial, pair)


def test_a_baked_pair_forms_with_nothing_to_install(lab: Lab, pair: Pair) -> None:
    """It replaces the pair before: `pulumi up` changes the image."""
    made = command("up", lab=NAME, AMI="baked")
    assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
    baked = lab_pair(lab)
    assert not set(baked.node_ids) & set(pair.node_ids)
    assert images(lab, baked) == {ami_id("debian13", "baked")}
    for instance_id in baked.node_ids:
        assert release(lab, instance_id) == "debian 13"
        assert "Setting up" not in bootstrap_log(lab, instance_id)


def test_a_lab_has_machines_of_several_images_at_once(lab: Lab, pair: Pair) -> None:
    """A machine with Debian 12, made after the lab's start, runs beside the pair on Debian 13."""
    image.ensure([Image("debian12")])
    other = launch_beside(lab, ami_id("debian12", "public"))
    eventually(lambda: lab.try_in(other, ["true"]) is not None)
    assert release(lab, other) == "debian 12"
    assert release(lab, pair.node_ids[0]) == "debian 13"
    lab.client().terminate_instances(InstanceIds=[other])


def test_an_image_that_the_lab_has_not_is_named_on_the_console(lab: Lab, pair: Pair) -> None:
    parameter = PLATFORMS["ubuntu2404"].ami["x86_64"]
    assert isinstance(parameter, SsmAmi)
    ubuntu = lab.client("ssm").get_parameter(Name=parameter.parameter)["Parameter"]["Value"]
    other = launch_beside(lab, ubuntu)
    eventually(lambda: f"nothing to boot for {ubuntu}" in console.text(pair.cloud.ec2(), other))
    lab.client().terminate_instances(InstanceIds=[other])
