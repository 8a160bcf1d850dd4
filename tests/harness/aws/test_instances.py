"""Instances: launch, the states and what changes them, and the requests to the machines."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import NODE_A, NODE_B, VIP, Cloud, error_of, eventually


class Recorder:
    """Machines that record their requests and report nothing on their own."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.fails = False

    def launch(self, instance_id: str) -> None:
        self.asked.append(("launch", instance_id))
        if self.fails:
            raise RuntimeError("no such disk")

    def reboot(self, instance_id: str) -> None:
        self.asked.append(("reboot", instance_id))

    def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
        self.asked.append(("stop", instance_id, force, skip_os_shutdown))

    def start(self, instance_id: str) -> None:
        self.asked.append(("start", instance_id))

    def terminate(self, instance_id: str) -> None:
        self.asked.append(("terminate", instance_id))

    def console_output(self, instance_id: str) -> str:
        return "x" * 70_000 + f"the end of {instance_id}"


def described(cloud: Cloud, instance_id: str) -> dict[str, Any]:
    """The instance according to DescribeInstances."""
    (found,) = cloud.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    return dict(found)


def state(cloud: Cloud, instance_id: str) -> str:
    return str(described(cloud, instance_id)["State"]["Name"])


def test_a_launch_is_pending_until_the_machine_runs(new_cloud: Callable[..., Cloud]) -> None:
    machines = Recorder()
    cloud = new_cloud(machines=machines)
    instance_id = cloud.launch(NODE_A)
    eventually(lambda: list(machines.asked), lambda asked: asked == [("launch", instance_id)])
    assert state(cloud, instance_id) == "pending"
    cloud.emulator.set_instance_state(instance_id, "running")
    assert state(cloud, instance_id) == "running"


def test_stopping_lasts_until_the_machine_is_off(new_cloud: Callable[..., Cloud]) -> None:
    machines = Recorder()
    cloud = new_cloud(machines=machines)
    instance_id = cloud.launch()
    cloud.emulator.set_instance_state(instance_id, "running")
    change = cloud.ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
    assert state(cloud, instance_id) == "stopping"
    eventually(lambda: machines.asked[-1], lambda asked: asked == ("stop", instance_id, False, False))
    cloud.emulator.set_instance_state(instance_id, "stopped")
    assert state(cloud, instance_id) == "stopped"


def test_force_and_skip_os_shutdown_reach_the_machine_even_while_stopping(
    new_cloud: Callable[..., Cloud],
) -> None:
    machines = Recorder()
    cloud = new_cloud(machines=machines)
    instance_id = cloud.launch()
    cloud.emulator.set_instance_state(instance_id, "running")
    cloud.ec2.stop_instances(InstanceIds=[instance_id])
    cloud.ec2.stop_instances(InstanceIds=[instance_id], Force=True, SkipOsShutdown=True)
    eventually(lambda: machines.asked[-1], lambda asked: asked == ("stop", instance_id, True, True))


def test_termination_frees_the_address_only_when_the_machine_is_gone(
    new_cloud: Callable[..., Cloud],
) -> None:
    cloud = new_cloud(machines=Recorder())
    instance_id = cloud.launch(NODE_A)
    cloud.emulator.set_instance_state(instance_id, "running")
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    assert state(cloud, instance_id) == "shutting-down"
    assert error_of(cloud.launch, NODE_A) == ("InvalidIPAddress.InUse", f"Address {NODE_A} is in use.", 400)
    cloud.emulator.set_instance_state(instance_id, "terminated")
    assert state(cloud, instance_id) == "terminated"
    assert cloud.emulator.interfaces() == []
    cloud.launch(NODE_A)


def test_a_machine_gets_its_calls_in_order_and_one_at_a_time(new_cloud: Callable[..., Cloud]) -> None:
    go, order = threading.Event(), []

    class Slow(Recorder):
        def launch(self, instance_id: str) -> None:
            go.wait(20)
            order.append("launch")

        def stop(self, instance_id: str, *, force: bool, skip_os_shutdown: bool) -> None:
            order.append("stop")

    cloud = new_cloud(machines=Slow())
    instance_id = cloud.launch()
    cloud.ec2.stop_instances(InstanceIds=[instance_id], Force=True)
    assert order == [], "the API does not wait for the machine, and the machine's stop waits for its launch"
    go.set()
    eventually(lambda: list(order), lambda asked: asked == ["launch", "stop"])


def test_a_machine_that_cannot_launch_ends_terminated(new_cloud: Callable[..., Cloud]) -> None:
    machines = Recorder()
    machines.fails = True
    cloud = new_cloud(machines=machines)
    instance_id = cloud.launch()
    eventually(lambda: state(cloud, instance_id), lambda found: found == "terminated")
    assert any(event["kind"] == "machine-error" for event in cloud.events)


def test_a_guest_that_powers_itself_off_is_stopped_or_terminated_as_it_was_launched_for(cloud: Cloud) -> None:
    stays = cloud.launch()
    goes = cloud.launch(InstanceInitiatedShutdownBehavior="terminate")
    for instance_id in (stays, goes):
        cloud.emulator.set_instance_state(instance_id, "stopped")
    assert (state(cloud, stays), state(cloud, goes)) == ("stopped", "terminated")


def test_a_reboot_leaves_state_and_addresses(new_cloud: Callable[..., Cloud]) -> None:
    machines = Recorder()
    cloud = new_cloud(machines=machines)
    instance_id = cloud.launch(NODE_A)
    cloud.emulator.set_instance_state(instance_id, "running")
    cloud.assign(cloud.eni(instance_id), VIP)
    cloud.ec2.reboot_instances(InstanceIds=[instance_id])
    eventually(lambda: machines.asked[-1], lambda asked: asked == ("reboot", instance_id))
    assert state(cloud, instance_id) == "running"
    assert cloud.interface(instance_id).addresses == (NODE_A, VIP)


def test_a_stopped_instance_cannot_be_rebooted_but_started(cloud: Cloud) -> None:
    instance_id = cloud.launch(NODE_A)
    cloud.ec2.stop_instances(InstanceIds=[instance_id])
    code, message, status = error_of(cloud.ec2.reboot_instances, InstanceIds=[instance_id])
    assert (code, status) == ("IncorrectInstanceState", 400)
    assert instance_id in message
    assert state(cloud, instance_id) == "stopped"
    cloud.ec2.start_instances(InstanceIds=[instance_id])
    assert state(cloud, instance_id) == "running"


def test_a_terminated_instance_can_be_neither_started_nor_stopped_and_is_passed_over_by_reboot(
    cloud: Cloud,
) -> None:
    instance_id = cloud.launch()
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    assert error_of(cloud.ec2.start_instances, InstanceIds=[instance_id])[0] == "IncorrectInstanceState"
    assert error_of(cloud.ec2.stop_instances, InstanceIds=[instance_id])[0] == "IncorrectInstanceState"
    cloud.ec2.reboot_instances(InstanceIds=[instance_id])
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    assert state(cloud, instance_id) == "terminated"


def test_an_unknown_instance_is_an_error(cloud: Cloud) -> None:
    code, message, _ = error_of(cloud.ec2.stop_instances, InstanceIds=["i-0123456789abcdef0"])
    assert code == "InvalidInstanceID.NotFound"
    assert "i-0123456789abcdef0" in message
    with pytest.raises(KeyError):
        cloud.emulator.instance("i-0123456789abcdef0")


def test_the_launch_interface_goes_with_its_instance_unless_told_to_stay(cloud: Cloud) -> None:
    goes = cloud.launch()
    spec = {"DeviceIndex": 0, "SubnetId": cloud.subnet_id, "PrivateIpAddress": NODE_A}
    request = {
        "ImageId": cloud.image(),
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [{**spec, "DeleteOnTermination": False}],
    }
    stays = cloud.ec2.run_instances(**request)["Instances"][0]["InstanceId"]
    cloud.ec2.terminate_instances(InstanceIds=[goes, stays])
    (left,) = cloud.emulator.interfaces()
    assert (left.primary, left.instance_id) == (NODE_A, None)
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"][0]["Status"] == "available"


def test_an_interface_that_was_there_before_stays_after_its_instance(cloud: Cloud) -> None:
    made = cloud.ec2.create_network_interface(SubnetId=cloud.subnet_id, PrivateIpAddress=NODE_A)
    eni = made["NetworkInterface"]["NetworkInterfaceId"]
    instance_id = cloud.ec2.run_instances(
        ImageId=cloud.image(),
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
    )["Instances"][0]["InstanceId"]
    assert cloud.eni(instance_id) == eni
    assert error_of(cloud.ec2.delete_network_interface, NetworkInterfaceId=eni)[0] == "InvalidParameterValue"
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])
    cloud.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert cloud.emulator.interfaces() == []


def test_a_floating_address_goes_with_a_terminated_holder(cloud: Cloud) -> None:
    first, second = cloud.launch(NODE_A), cloud.launch(NODE_B)
    cloud.assign(cloud.eni(first), VIP)
    cloud.ec2.terminate_instances(InstanceIds=[first])
    cloud.assign(cloud.eni(second), VIP)
    assert cloud.interface(second).secondaries == (VIP,)


def test_a_launch_cannot_take_an_address_that_floats(cloud: Cloud) -> None:
    cloud.assign(cloud.eni(cloud.launch(NODE_A)), VIP)
    assert error_of(cloud.launch, VIP)[0] == "InvalidIPAddress.InUse"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.9.1", "does not fall within the subnet's address range"),
        ("127.0.250.2", "is in subnet's reserved range."),
    ],
)
def test_a_launch_cannot_take_an_address_that_is_none_of_the_subnets(
    cloud: Cloud, address: str, message: str
) -> None:
    code, text, _ = error_of(cloud.launch, address)
    assert code == "InvalidParameterValue"
    assert text.endswith(message)


def test_launches_without_an_address_get_ones_that_are_free(cloud: Cloud) -> None:
    cloud.ec2.create_subnet_cidr_reservation(
        SubnetId=cloud.subnet_id, Cidr="127.0.250.4/31", ReservationType="explicit"
    )
    cloud.assign(cloud.eni(cloud.launch(NODE_A)), "127.0.250.6")
    given = [cloud.interface(cloud.launch()).primary for _ in range(3)]
    assert given == ["127.0.250.7", "127.0.250.8", "127.0.250.9"]


def test_user_data_reach_the_machine_byte_for_byte(cloud: Cloud) -> None:
    raw = bytes(range(256)) * 64
    assert len(raw) == 16 * 1024
    instance_id = cloud.launch(UserData=raw)
    assert cloud.instance(instance_id).user_data == raw


def test_user_data_beyond_16_kib_are_refused(cloud: Cloud) -> None:
    assert error_of(cloud.launch, UserData=b"x" * (16 * 1024 + 1))[:2] == (
        "InvalidParameterValue",
        "User data is limited to 16384 bytes",
    )
    assert cloud.emulator.instances() == []


def test_user_data_change_only_while_stopped(cloud: Cloud) -> None:
    instance_id = cloud.launch(UserData=b"old")
    change = {"InstanceId": instance_id, "UserData": {"Value": b"new"}}
    assert error_of(cloud.ec2.modify_instance_attribute, **change)[:2] == (
        "IncorrectInstanceState",
        f"The instance '{instance_id}' is not in the 'stopped' state.",
    )
    cloud.ec2.stop_instances(InstanceIds=[instance_id])
    cloud.ec2.modify_instance_attribute(**change)
    assert cloud.instance(instance_id).user_data == b"new"
    shown = cloud.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert base64.b64decode(shown["UserData"]["Value"]) == b"new"


def test_console_output_comes_from_the_machine_and_is_its_last_64_kib(
    new_cloud: Callable[..., Cloud],
) -> None:
    cloud = new_cloud(machines=Recorder())
    instance_id = cloud.launch()
    output = cloud.ec2.get_console_output(InstanceId=instance_id)["Output"]
    assert output.endswith(f"the end of {instance_id}")
    assert len(output) == 64 * 1024


def test_a_repeated_launch_with_the_same_token_makes_no_second_instance(cloud: Cloud) -> None:
    assert cloud.launch(ClientToken="once") == cloud.launch(ClientToken="once")
    assert len(cloud.emulator.instances()) == 1


def test_an_unknown_image_is_refused(cloud: Cloud) -> None:
    assert error_of(cloud.launch, ImageId="ami-00000000000000000")[:2] == (
        "InvalidAMIID.NotFound",
        "The image id '[ami-00000000000000000]' does not exist",
    )


def test_protection_against_termination_holds(cloud: Cloud) -> None:
    instance_id = cloud.launch(DisableApiTermination=True)
    assert error_of(cloud.ec2.terminate_instances, InstanceIds=[instance_id])[0] == "OperationNotPermitted"
    cloud.ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    cloud.ec2.terminate_instances(InstanceIds=[instance_id])


def test_a_snapshot_of_an_instance_tells_what_it_was_launched_with(cloud: Cloud) -> None:
    cloud.role("node")
    instance_id = cloud.launch(
        NODE_A,
        UserData=b"#!/bin/sh\n",
        IamInstanceProfile={"Name": "node"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "a"}]}],
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
    )
    found = cloud.instance(instance_id)
    assert (found.type, found.image_id, found.state) == ("t3.micro", cloud.image(), "running")
    assert (found.profile, found.role, found.name, found.launch_index) == ("node", "node", "a", 0)
    assert (found.http_tokens, found.hop_limit, found.http_endpoint) == ("required", 3, True)
    assert found.interface == cloud.interface(instance_id)
    assert cloud.interface(instance_id).subnet_cidr == "127.0.250.0/24"


def test_an_image_made_for_version_2_asks_for_tokens_and_two_hops(cloud: Cloud) -> None:
    newest = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    image = cloud.client("ssm").get_parameter(Name=newest)["Parameter"]["Value"]
    found = cloud.instance(cloud.launch(ImageId=image))
    assert (found.http_tokens, found.hop_limit) == ("required", 2)
    given = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1}
    found = cloud.instance(cloud.launch(ImageId=image, MetadataOptions=given))
    assert (found.http_tokens, found.hop_limit) == ("optional", 1)


def test_unknown_states_are_refused(cloud: Cloud) -> None:
    instance_id = cloud.launch()
    with pytest.raises(ValueError, match="'off' is no state"):
        cloud.emulator.set_instance_state(instance_id, "off")


def test_an_instance_shows_the_id_of_its_profile_however_it_got_it(cloud: Cloud) -> None:
    ids = {}
    for name in ("node", "other"):
        made = cloud.client("iam").create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        ids[name] = {"Arn": made["Arn"], "Id": made["InstanceProfileId"]}
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})

    assert described(cloud, instance_id)["IamInstanceProfile"] == ids["node"]
    (association,) = cloud.ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    replaced = cloud.ec2.replace_iam_instance_profile_association(
        AssociationId=association["AssociationId"], IamInstanceProfile={"Name": "other"}
    )["IamInstanceProfileAssociation"]
    assert described(cloud, instance_id)["IamInstanceProfile"] == ids["other"]
    cloud.ec2.disassociate_iam_instance_profile(AssociationId=replaced["AssociationId"])
    cloud.ec2.associate_iam_instance_profile(InstanceId=instance_id, IamInstanceProfile={"Name": "node"})
    assert described(cloud, instance_id)["IamInstanceProfile"] == ids["node"]
