"""What cloud-init did in the nodes, and that it got the same user data as on AWS."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from cloudinit import userdata
from cloudinit.corosync import conf
from cloudinit.platforms import PLATFORMS
from cloudinit.spec import Member, NodeSpec, Service
from cloudinit.userdata import render
from tests.cluster.labs import on
from tests.drill.pair import Pair
from tests.lab.lab import Lab

MEMBERS = (
    Member(name="ec2vip-a", address=IPv4Address("10.0.250.186")),
    Member(name="ec2vip-b", address=IPv4Address("10.0.250.187")),
)


def spec(index: int) -> NodeSpec:
    """The node of stack `local`, with the values of Pulumi.local.yaml written by hand."""
    return NodeSpec(
        cluster_name="ec2vip",
        name=MEMBERS[index].name,
        members=MEMBERS,
        vips=(IPv4Address("10.0.250.185"),),
        prefix_length=24,
        platform="debian12",
    )


@pytest.mark.parametrize("index", [0, 1], ids=["a", "b"])
def test_the_node_was_given_the_user_data_that_the_program_renders(lab: Lab, pair: Pair, index: int) -> None:
    """Byte for byte: the lab adds nothing."""
    code = "import base64,sys; sys.stdout.write(base64.b64encode(open(sys.argv[1],'rb').read()).decode())"
    given = base64.b64decode(
        on(lab, pair.node_ids[index], "python3", "-c", code, "/var/lib/cloud/instance/user-data.txt")
    )
    # cloud-init keeps the decompressed text.
    assert given in (render(spec(index)), gzip.decompress(render(spec(index))))


@pytest.mark.parametrize("index", [0, 1], ids=["a", "b"])
def test_cloud_init_came_to_its_end_without_an_error(lab: Lab, pair: Pair, index: int) -> None:
    result = json.loads(on(lab, pair.node_ids[index], "cat", "/run/cloud-init/result.json"))
    assert result["v1"]["errors"] == []
    assert "DataSourceEc2" in result["v1"]["datasource"]


def test_the_user_data_is_valid_to_cloud_init_itself(lab: Lab, pair: Pair) -> None:
    assert "Valid" in on(lab, pair.node_ids[0], "cloud-init", "schema", "--system")


EVERYTHING: dict[str, Any] = {
    "vips": (IPv4Address("10.0.250.185"), IPv4Address("10.0.250.190")),
    "services": (
        Service(name="data", agent="ocf:heartbeat:Filesystem", parameters={"directory": "/srv/my 'data'"}),
        Service(name="nginx", agent="systemd:nginx", packages=("nginx",)),
    ),
    "key_parameter": "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip/ec2vip/dev/ec2vip/corosync-key",
    "key_digest": "0123456789ab",
    "installer_parameter": "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip/ec2vip/dev/ec2vip/installer",
    "installer_digest": "0123456789abcdef" * 4,
}


def schema_says(lab: Lab, node: str, text: str) -> str | None:
    """What the node's cloud-init says of a cloud-config; None if it refuses it."""
    given = base64.b64encode(text.encode()).decode()
    script = f"echo {given} | base64 --decode >/tmp/config && cloud-init schema --config-file /tmp/config"
    return lab.try_in(node, ["sh", "-c", script])


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_every_platforms_user_data_is_valid_to_the_nodes_cloud_init(
    lab: Lab, pair: Pair, platform: str
) -> None:
    for index in (0, 1):
        full = dataclasses.replace(spec(index), platform=platform, **EVERYTHING)
        assert "Valid" in (schema_says(lab, pair.node_ids[0], userdata.text(full)) or "")


def test_the_nodes_cloud_init_refuses_what_is_not_valid(lab: Lab, pair: Pair) -> None:
    wrong = userdata.text(spec(0)).replace("preserve_hostname: false", "preserve_hostname: perhaps")
    assert schema_says(lab, pair.node_ids[0], wrong) is None


@pytest.mark.parametrize("index", [0, 1], ids=["a", "b"])
def test_corosync_runs_with_the_configuration_that_was_sent(lab: Lab, pair: Pair, index: int) -> None:
    assert on(lab, pair.node_ids[index], "cat", "/etc/corosync/corosync.conf") == conf(spec(index))


@pytest.mark.parametrize("index", [0, 1], ids=["a", "b"])
def test_corosync_and_pacemaker_start_at_boot(lab: Lab, pair: Pair, index: int) -> None:
    enabled = on(lab, pair.node_ids[index], "systemctl", "is-enabled", "corosync", "pacemaker")
    assert enabled.split() == ["enabled", "enabled"]


@pytest.mark.parametrize("index", [0, 1], ids=["a", "b"])
def test_nothing_but_corosync_listens_to_the_network(lab: Lab, pair: Pair, index: int) -> None:
    sockets = on(lab, pair.node_ids[index], "ss", "--no-header", "-lntu").splitlines()
    addresses = [line.split()[4] for line in sockets]
    open_to_others = [a for a in addresses if not a.startswith(("127.", "[::1]"))]
    assert all(address.endswith(":5405") for address in open_to_others), sockets
