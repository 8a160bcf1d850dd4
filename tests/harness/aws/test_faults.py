"""Faults of the API and of the metadata service, and what ends them."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, HTTPClientError

from tests.aws.emulator import Settings

from .conftest import DEADLINE_S, NODE_A, NODE_B, Cloud, Metadata, allow, error_of


@pytest.fixture
def pair(cloud: Cloud) -> tuple[str, str]:
    cloud.role("node", allow("ec2:Describe*"))
    a, b = (cloud.launch(address, IamInstanceProfile={"Name": "node"}) for address in (NODE_A, NODE_B))
    return a, b


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run the call in a thread; the list gets its answer or its error at the end."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def test_an_api_that_is_down_closes_the_connection_of_its_node_alone(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    a, b = cloud.node(pair[0]), cloud.node(pair[1])
    with cloud.emulator.faults.api(pair[0], "down"):
        with pytest.raises(ConnectionClosedError):
            a.describe_network_interfaces()
        b.describe_network_interfaces()
        cloud.described(cloud.eni(pair[0]))
    a.describe_network_interfaces()
    assert cloud.calls("DescribeNetworkInterfaces")[0]["code"] == "NoAnswer"


def test_a_node_known_by_its_address_is_refused_before_it_says_a_word(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    def connect() -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(
            "127.0.0.1", cloud.api.port, timeout=20, source_address=(NODE_A, 0)
        )
        connection.request("POST", "/", body=b"Action=DescribeVpcs&Version=2016-11-15")
        return connection.getresponse()

    with cloud.emulator.faults.api(pair[0], "down"), pytest.raises(OSError, match=r"reset|pipe|closed"):
        connect()
    assert not cloud.calls("DescribeVpcs")
    assert connect().status == 403, "unsigned, but heard"


def test_a_hanging_api_answers_nobody_until_the_fault_ends(cloud: Cloud, pair: tuple[str, str]) -> None:
    node = cloud.node(pair[0])
    fault = cloud.emulator.faults.api(pair[0], "hang")
    thread, result = in_background(node.describe_network_interfaces)
    thread.join(0.3)
    assert thread.is_alive()
    assert result == []
    fault.undo()
    thread.join(20)
    assert isinstance(result[0], (BotoCoreError, HTTPClientError)), "the request was lost, not late"
    node.describe_network_interfaces()


def test_a_slow_api_answers_after_its_seconds(cloud: Cloud, pair: tuple[str, str]) -> None:
    node = cloud.node(pair[0])
    with cloud.emulator.faults.api(None, "slow", seconds=0.3):
        node.describe_network_interfaces()
    assert cloud.calls("DescribeNetworkInterfaces")[0]["latency_s"] >= 0.3


def test_undoing_a_slow_fault_lets_go_of_who_waits(cloud: Cloud, pair: tuple[str, str]) -> None:
    node = cloud.node(pair[0])
    fault = cloud.emulator.faults.api(pair[0], "slow", seconds=3600)
    thread, result = in_background(node.describe_network_interfaces)
    thread.join(0.2)
    fault.undo()
    thread.join(20)
    assert result[0]["NetworkInterfaces"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttled", ("RequestLimitExceeded", 503)),
        ("denied", ("UnauthorizedOperation", 403)),
        ("expired", ("RequestExpired", 400)),
    ],
)
def test_throttled_and_denied_are_awss_errors(
    cloud: Cloud, pair: tuple[str, str], kind: str, expected: tuple[str, int]
) -> None:
    a, b = cloud.node(pair[0]), cloud.node(pair[1])
    with cloud.emulator.faults.api(None, kind):
        for node in (a, b):
            code, _, status = error_of(node.describe_network_interfaces)
            assert (code, status) == expected
        cloud.described(cloud.eni(pair[0]))
    a.describe_network_interfaces()


def test_metadata_that_are_down_reset_the_connection(cloud: Cloud, pair: tuple[str, str]) -> None:
    a, b = cloud.metadata(pair[0]), cloud.metadata(pair[1])
    with cloud.emulator.faults.imds(pair[0], "down"):
        with pytest.raises((OSError, http.client.HTTPException)):
            a.token()
        b.token()
    a.token()


@pytest.mark.parametrize("status", ["401", "404", "503"])
def test_metadata_can_answer_with_an_error(cloud: Cloud, pair: tuple[str, str], status: str) -> None:
    metadata = cloud.metadata(pair[0])
    token = metadata.token()
    with cloud.emulator.faults.imds(None, status):
        found = metadata.ask("/latest/meta-data/mac", X_aws_ec2_metadata_token=token)
        assert found[0] == int(status)
        asked = metadata.ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
        assert asked[0] == int(status)
    assert metadata.ask("/latest/meta-data/mac", X_aws_ec2_metadata_token=token)[0] == 200


def test_metadata_can_be_slow_and_can_hang(cloud: Cloud, pair: tuple[str, str]) -> None:
    metadata = cloud.metadata(pair[0])
    with cloud.emulator.faults.imds(pair[0], "slow", seconds=0.3):
        began = time.monotonic()
        metadata.token()
        assert time.monotonic() - began >= 0.3
    fault = cloud.emulator.faults.imds(pair[0], "hang")
    thread, result = in_background(metadata.token)
    thread.join(0.3)
    assert thread.is_alive()
    fault.undo()
    thread.join(20)
    assert isinstance(result[0], (OSError, http.client.HTTPException))
    metadata.token()


def seen_by(cloud: Cloud, instance_id: str) -> dict[str, float]:
    """How far the times that the instance sees are ahead of this machine's clock, in seconds, by source."""
    metadata = cloud.metadata(instance_id)
    credentials, info = cloud.credentials(instance_id), metadata.get("meta-data/iam/info")
    document = json.loads(metadata.get("dynamic/instance-identity/document"))
    said: dict[str, Any] = {
        "begin": credentials["LastUpdated"],
        "end": credentials["Expiration"],
        "info": json.loads(info)["LastUpdated"],
        "launch": document["pendingTime"],
    }
    shown = {name: datetime.fromisoformat(text.replace("Z", "+00:00")) for name, text in said.items()}
    shown["metadata"] = parsedate_to_datetime(metadata.ask("/latest/meta-data/mac")[2]["Date"])
    try:
        answer = cloud.node(instance_id).describe_network_interfaces()
    except ClientError as error:
        answer = error.response
    shown["api"] = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return {name: moment.timestamp() - time.time() for name, moment in shown.items()}


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_to_a_clock_that_is_ahead_the_whole_world_is_behind(
    cloud: Cloud, pair: tuple[str, str], ahead: float
) -> None:
    """All nodes share one clock, so the fault shifts the times that this one node sees."""
    right = seen_by(cloud, pair[0])
    with cloud.emulator.faults.clock(pair[0], seconds=ahead):
        wrong = seen_by(cloud, pair[0])
        assert {name: right[name] - wrong[name] for name in right} == {
            name: pytest.approx(ahead, abs=DEADLINE_S) for name in right
        }
        code, _, status = error_of(cloud.node(pair[0]).describe_network_interfaces)
        assert (code, status) == ("RequestExpired", 400)
        cloud.node(pair[1]).describe_network_interfaces()
    assert seen_by(cloud, pair[0]) == {name: pytest.approx(right[name], abs=DEADLINE_S) for name in right}
    cloud.node(pair[0]).describe_network_interfaces()


def test_to_a_clock_that_is_ahead_credentials_live_as_long_as_to_any(new_cloud: Callable[..., Cloud]) -> None:
    """A skewed clock shows another time, but it runs at the same speed."""
    now = [1_800_000_000.0]
    cloud = new_cloud(Settings(credential_lifetime_s=600, clock_skew_s=1e12), clock=lambda: now[0])
    cloud.role("node", allow("ec2:Describe*"))
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    with cloud.emulator.faults.clock(instance_id, seconds=3600):
        node = cloud.node(instance_id)
        now[0] += 599
        node.describe_network_interfaces()
        now[0] += 1
        assert error_of(node.describe_network_interfaces)[0] == "RequestExpired"


def test_faults_add_up_and_each_ends_by_itself(cloud: Cloud, pair: tuple[str, str]) -> None:
    node = cloud.node(pair[0])
    first, second = (
        cloud.emulator.faults.api(pair[0], "throttled"),
        cloud.emulator.faults.api(None, "throttled"),
    )
    first.undo()
    first.undo()
    assert error_of(node.describe_network_interfaces)[0] == "RequestLimitExceeded"
    assert cloud.emulator.faults.active() == [second]
    cloud.emulator.faults.clear()
    node.describe_network_interfaces()


def test_beginning_and_end_of_a_fault_are_recorded(cloud: Cloud) -> None:
    with cloud.emulator.faults.imds("i-1", "down"):
        pass
    told = [event["what"] for event in cloud.events if event["kind"] == "fault"]
    assert told == ["begins", "ends"]


def test_an_unknown_fault_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ValueError, match="'broken' is no fault of the api; use one of down"):
        cloud.emulator.faults.api(None, "broken")
    with pytest.raises(ValueError, match="'denied' is no fault of the imds"):
        cloud.emulator.faults.imds(None, "denied")


def test_a_detached_role_leaves_the_metadata_and_its_old_credentials_run_out(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    node, metadata = cloud.node(pair[0]), cloud.metadata(pair[0])
    tied = cloud.ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [pair[0]]}]
    )["IamInstanceProfileAssociations"][0]["AssociationId"]
    cloud.ec2.disassociate_iam_instance_profile(AssociationId=tied)
    assert metadata.status("meta-data/iam/security-credentials/") == 404
    node.describe_network_interfaces()


def test_closing_the_emulator_lets_go_of_everybody(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud()
    cloud.role("node", allow("ec2:*"))
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    node, metadata = cloud.node(instance_id), Metadata(cloud.imds.port, NODE_A)
    cloud.emulator.faults.api(None, "hang")
    cloud.emulator.faults.imds(None, "slow", seconds=3600)
    waiting = [in_background(node.describe_network_interfaces)[0], in_background(metadata.token)[0]]
    time.sleep(0.1)
    cloud.emulator.close()
    for thread in waiting:
        thread.join(20)
        assert not thread.is_alive()
    listeners = {f"emulator-{cloud.api.port}", f"emulator-{cloud.imds.port}"}
    assert not listeners & {thread.name for thread in threading.enumerate()}
