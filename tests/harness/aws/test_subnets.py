"""Who owns a subnet, and which of its addresses are reserved."""

from __future__ import annotations

import pytest

from .conftest import NODE_A, VIP, Cloud, allow, error_of

OWNER = "210987654321"


def test_a_shared_subnet_is_its_owners_and_what_is_made_in_it_the_callers(cloud: Cloud) -> None:
    cloud.emulator.share_subnet(cloud.subnet_id, OWNER)
    (subnet,) = cloud.ec2.describe_subnets(SubnetIds=[cloud.subnet_id])["Subnets"]
    assert subnet["OwnerId"] == OWNER
    assert subnet["SubnetArn"] == f"arn:aws:ec2:us-east-1:{OWNER}:subnet/{cloud.subnet_id}"
    (vpc,) = cloud.ec2.describe_vpcs(VpcIds=[cloud.vpc_id])["Vpcs"]
    assert vpc["OwnerId"] == OWNER
    eni = cloud.eni(cloud.launch(NODE_A))
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"]
    assert found["OwnerId"] == cloud.emulator.account_id
    with pytest.raises(KeyError):
        cloud.emulator.share_subnet("subnet-0123456789abcdef0", OWNER)


def test_policies_name_a_shared_subnet_by_its_owners_account(cloud: Cloud) -> None:
    cloud.emulator.share_subnet(cloud.subnet_id, OWNER)
    action = "ec2:AssignPrivateIpAddresses"
    any_interface = cloud.arn("network-interface", "*")
    own = allow(action, any_interface, ArnEquals={"ec2:Subnet": cloud.arn("subnet", cloud.subnet_id)})
    owners = f"arn:aws:ec2:us-east-1:{OWNER}:subnet/{cloud.subnet_id}"
    shared = allow(action, any_interface, ArnEquals={"ec2:Subnet": owners})
    eni = cloud.eni(cloud.launch(NODE_A))
    given = {"NetworkInterfaceId": eni, "PrivateIpAddresses": [VIP]}
    wrong = cloud.client("ec2", **cloud.user("wrong", own))
    assert error_of(wrong.assign_private_ip_addresses, **given)[0] == "UnauthorizedOperation"
    cloud.client("ec2", **cloud.user("right", shared)).assign_private_ip_addresses(**given)


@pytest.mark.parametrize("kind", ["explicit", "prefix"])
@pytest.mark.parametrize("cidr", ["127.0.250.185/32", "127.0.250.128/25"])
def test_a_reservation_cannot_overlap_another(cloud: Cloud, kind: str, cidr: str) -> None:
    reserve = cloud.ec2.create_subnet_cidr_reservation
    made = reserve(
        SubnetId=cloud.subnet_id,
        ReservationType=kind,
        Cidr="127.0.250.176/28",
        Description="the pair: its addresses",
        TagSpecifications=[
            {"ResourceType": "subnet-cidr-reservation", "Tags": [{"Key": "Name", "Value": "n"}]}
        ],
    )["SubnetCidrReservation"]
    shown = cloud.ec2.get_subnet_cidr_reservations(SubnetId=cloud.subnet_id)["SubnetIpv4CidrReservations"]
    assert [(each["Description"], each["ReservationType"], each["Tags"]) for each in shown] == [
        ("the pair: its addresses", kind, [{"Key": "Name", "Value": "n"}])
    ]
    assert error_of(reserve, SubnetId=cloud.subnet_id, ReservationType="explicit", Cidr=cidr) == (
        "InvalidParameterValue",
        f"Reservation CIDR {cidr} has overlap with existing reserved CIDR block",
        400,
    )
    cloud.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=made["SubnetCidrReservationId"])
    reserve(SubnetId=cloud.subnet_id, ReservationType="explicit", Cidr=cidr)
