from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.bench.subjects.subject import Subject, configuration, subjects

CIB = """\
<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="7" num_updates="3" admin_epoch="1" dc-uuid="1">
  <configuration>
    <crm_config><cluster_property_set id="p">
      <nvpair id="p-d" name="transition-delay" value="50ms"/>
    </cluster_property_set></crm_config>
    <nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes>
    <resources>
      <primitive id="ec2vip" class="ocf" provider="heartbeat" type="ec2vip">
        <instance_attributes id="ec2vip-instance_attributes">
          <nvpair id="ec2vip-instance_attributes-ec2_vip" name="ec2_vip" value="10.0.0.9"/>
        </instance_attributes>
        <meta_attributes id="ec2vip-meta_attributes">
          <nvpair id="ec2vip-meta_attributes-allow-migrate" name="allow-migrate" value="true"/>
        </meta_attributes>
        <operations>
          <op id="ec2vip-start" name="start" interval="0s" timeout="60s" on-fail="stop"/>
          <op id="ec2vip-monitor" name="monitor" interval="10s" timeout="60s" on-fail="restart"/>
        </operations>
      </primitive>
      <group id="vip-group"><primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
        <instance_attributes id="vip-i">
          <nvpair id="vip-i-n" name="cidr_netmask" value="24"/>
        </instance_attributes>
      </primitive>
    </group></resources>
    <constraints>
      <rsc_location id="cli-ban-vip-group-on-a" rsc="vip-group"/>
      <rsc_colocation id="vip-group-with-ec2vip" rsc="vip-group" with-rsc="ec2vip" score="INFINITY"/>
    </constraints>
  </configuration>
  <status><node_state id="1"/></status>
</cib>
"""
COROSYNC = "totem {\n  version: 2\n  token: 1000\n  consensus: 100\n}\n"


@pytest.fixture
def three() -> dict[str, Subject]:
    found = subjects(configuration(CIB), COROSYNC, "10.0.0.9", ("10.0.0.1", "10.0.0.2"), ("a", "b"))
    return {subject.name: subject for subject in found}


def values(cib: str, name: str) -> list[str | None]:
    return [pair.get("value") for pair in ElementTree.fromstring(cib).iterfind(f".//nvpair[@name='{name}']")]


def test_a_configuration_has_no_history_no_state_and_nobody_s_ban() -> None:
    root = ElementTree.fromstring(configuration(CIB))
    assert [root.get(name) for name in ("admin_epoch", "epoch", "num_updates", "dc-uuid")] == [
        "0",
        "0",
        "0",
        None,
    ]
    assert list(root.iterfind("status/*")) == []
    kept = [constraint.get("id") for constraint in root.iterfind("configuration/constraints/*")]
    assert kept == ["vip-group-with-ec2vip"]


def test_ours_is_the_cluster_as_it_is(three: dict[str, Subject]) -> None:
    assert three["ec2vip"].cib == configuration(CIB)
    assert three["ec2vip"].corosync == COROSYNC
    assert three["ec2vip"].detection_s == pytest.approx(1.1)


def test_awsvip_runs_in_the_same_cluster_in_the_same_place(three: dict[str, Subject]) -> None:
    subject = three["awsvip"]
    assert subject.corosync == COROSYNC
    root = ElementTree.fromstring(subject.cib)
    members = root.findall(".//group/primitive")
    assert [(m.get("id"), m.get("type")) for m in members] == [("awsvip", "awsvip"), ("vip", "IPaddr2")]
    assert values(subject.cib, "secondary_private_ip") == ["10.0.0.9"]
    assert values(subject.cib, "ec2_vip") == []
    assert values(subject.cib, "transition-delay") == ["50ms"]
    start = root.find(".//primitive[@id='awsvip']/operations/op[@name='start']")
    assert start is not None
    assert (start.get("timeout"), start.get("on-fail")) == ("60s", "stop")


def test_awsvip_is_asked_as_often_as_its_own_metadata_advise(three: dict[str, Subject]) -> None:
    root = ElementTree.fromstring(three["awsvip"].cib)
    monitor = root.find(".//primitive[@id='awsvip']/operations/op[@name='monitor']")
    assert monitor is not None
    assert monitor.get("interval") == "20s"


def test_the_original_has_the_settings_of_2015(three: dict[str, Subject]) -> None:
    subject = three["original"]
    assert "transport: udpu" in subject.corosync
    assert "consensus" not in subject.corosync
    assert subject.detection_s == pytest.approx(2.2)
    for name, value in (
        ("no-quorum-policy", "ignore"),
        ("stonith-enabled", "false"),
        ("transition-delay", "0s"),
        ("resource-stickiness", "INFINITY"),
        ("migration-threshold", "1"),
    ):
        assert values(subject.cib, name) == [value], name
    assert values(subject.cib, "failure-timeout") == []
    operations = {
        (primitive.get("id"), op.get("name")): (op.get("timeout"), op.get("on-fail"), op.get("interval"))
        for primitive in ElementTree.fromstring(subject.cib).iter("primitive")
        for op in primitive.iter("op")
    }
    assert operations["ec2vip", "start"] == ("60s", "stop", "0s")
    assert operations["ec2vip", "monitor"] == ("60s", "restart", "10s")
    assert operations["ec2vip", "stop"] == ("60s", "block", "0s")
    assert operations["vip", "monitor"] == ("20s", "restart", "10s")


def test_every_subject_moves_the_same_group(three: dict[str, Subject]) -> None:
    for subject in three.values():
        root = ElementTree.fromstring(subject.cib)
        group = root.find(".//group")
        assert group is not None
        assert group.get("id") == "vip-group"
        bound = [colocation.get("with-rsc") for colocation in root.iter("rsc_colocation")]
        assert (*bound, *(member.get("id") for member in group)) == subject.resources
