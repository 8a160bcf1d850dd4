"""The servers: TLS, sockets from the caller, records, and emulators that are independent of each other."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from tests.aws.emulator import Emulator

from .conftest import NODE_A, VIP, Cloud, allow, error_of


def test_two_emulators_do_not_see_each_other(new_cloud: Callable[..., Cloud]) -> None:
    one, two = new_cloud(), new_cloud()
    one.launch(NODE_A)
    one.role("node")
    one.client("ssm").put_parameter(Name="/mine", Value="x", Type="String")
    assert two.emulator.instances() == []
    assert two.client("iam").list_roles()["Roles"] == []
    assert error_of(two.client("ssm").get_parameter, Name="/mine")[0] == "ParameterNotFound"
    two.launch(NODE_A)


def test_a_closed_emulator_leaves_nothing_to_the_next(new_cloud: Callable[..., Cloud]) -> None:
    first = new_cloud(account_id="210987654321")
    first.launch(NODE_A)
    first.emulator.close()
    second = new_cloud(account_id="210987654321")
    assert second.emulator.instances() == []
    second.launch(NODE_A)


def test_the_api_speaks_tls_on_a_socket_made_by_the_caller(cloud: Cloud) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = cloud.emulator.serve("127.0.0.1", sock=listening, ssl_context=context)
    assert server.url == f"https://127.0.0.1:{listening.getsockname()[1]}"
    # A client that never finishes its handshake must not delay other clients.
    with socket.create_connection(("127.0.0.1", server.port)), authority.cert_pem.tempfile() as bundle:
        ec2 = cloud.client("ec2", endpoint_url=server.url, verify=bundle)
        assert ec2.describe_vpcs()["Vpcs"]


def test_a_signed_call_over_tls_is_verified(cloud: Cloud) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = cloud.emulator.serve("127.0.0.1", ssl_context=context)
    cloud.role("node", allow("ec2:Describe*"))
    found = cloud.credentials(cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"}))
    with authority.cert_pem.tempfile() as bundle:
        key = (found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
        ec2 = cloud.client("ec2", *key, endpoint_url=server.url, verify=bundle)
        assert ec2.describe_network_interfaces()["NetworkInterfaces"]


def test_every_call_is_recorded_without_its_secrets(cloud: Cloud) -> None:
    cloud.role("node", allow("ec2:Assign*"))
    instance_id = cloud.launch(NODE_A, UserData=b"top secret", IamInstanceProfile={"Name": "node"})
    node, eni = cloud.node(instance_id), cloud.eni(instance_id)
    node.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[VIP])
    error_of(node.describe_network_interfaces)
    (assigned,) = cloud.calls("AssignPrivateIpAddresses")
    assert assigned["parameters"] == {"NetworkInterfaceId": eni, "PrivateIpAddress.1": VIP}
    assert (assigned["code"], assigned["status"], assigned["service"]) == ("OK", 200, "ec2")
    assert (assigned["role"], assigned["instance_id"], assigned["ip"]) == ("node", instance_id, "127.0.0.1")
    assert assigned["caller"].endswith(f":assumed-role/node/{instance_id}")
    assert assigned["t"] >= assigned["began"] > 0
    assert assigned["latency_s"] >= 0
    assert cloud.calls("DescribeNetworkInterfaces")[0]["code"] == "UnauthorizedOperation"
    assert "top secret" not in str(cloud.events)
    assert "dG9wIHNlY3JldA" not in str(cloud.events)
    (launched,) = cloud.calls("RunInstances")
    assert launched["caller"] == f"arn:aws:iam::{cloud.emulator.account_id}:root"
    (routed,) = [event for event in cloud.events if event["kind"] == "route"]
    assert (routed["address"], routed["eni_id"]) == (VIP, eni)


def test_a_record_that_fails_does_not_fail_the_call() -> None:
    def fails(event: object) -> None:
        raise OSError("no space left on device")

    cloud = Cloud(record=fails)
    try:
        cloud.launch(NODE_A)
    finally:
        cloud.emulator.close()


def test_an_emulator_ends_with_its_block() -> None:
    with Emulator() as emulator:
        port = emulator.serve("127.0.0.1").port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 403), ("localhost", 403), ("rebound.example", 421)]
)
def test_the_api_on_loopback_answers_to_its_own_name_only(cloud: Cloud, host: str, status: int) -> None:
    """The API answers the unsigned request with 403; 421 stops other names that resolve to loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.api.port, timeout=20)
    connection.request("GET", "/?Action=DescribeVpcs", headers={"Host": f"{host}:{cloud.api.port}"})
    assert connection.getresponse().status == status
    connection.close()
