from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.drill import pair as pair_module
from tests.drill.pair import Pair, Reach, cluster_states
from tests.lab.errors import LabError

VIP, SECOND = "10.0.250.185", "10.0.250.190"
CRM_MON = """<pacemaker-result><nodes>
<node name="ec2vip-a" id="1" online="true" standby="false" pending="false" unclean="false"/>
<node name="ec2vip-b" id="2" online="{online}" standby="false" pending="{pending}" unclean="false"/>
</nodes></pacemaker-result>"""


class Cloud:
    """A pair as EC2 and two shells describe it."""

    name = "fake"
    reach = Reach()

    def __init__(
        self, ec2: str = "i-a", system: Sequence[str] = ("i-a",), online: str = "true", pending: str = "false"
    ):
        self.in_ec2, self.in_system = ec2, system
        self.mon = CRM_MON.format(online=online, pending=pending)
        self.states = {"i-a": "running", "i-b": "running"}
        self.check = "ok"
        self.console: str | None = ""

    def ec2(self) -> Any:
        return self

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        def item(key: str) -> dict[str, Any]:
            own = {"i-a": "10.0.250.186", "i-b": "10.0.250.187"}[key]
            listed = [{"PrivateIpAddress": VIP, "Primary": False}] if self.in_ec2 == key else []
            listed.append({"PrivateIpAddress": own, "Primary": True})
            return {
                "InstanceId": key,
                "PrivateIpAddress": own,
                "State": {"Name": self.states[key]},
                "Tags": [{"Key": "Name", "Value": key.replace("i-", "ec2vip-")}],
                "NetworkInterfaces": [{"PrivateIpAddresses": listed}],
            }

        return {"Reservations": [{"Instances": [item(key)]} for key in InstanceIds]}

    def describe_network_interfaces(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        (wanted,) = Filters
        assert wanted["Name"] == "attachment.instance-id"
        found = self.describe_instances(wanted["Values"])["Reservations"]
        return {
            "NetworkInterfaces": [
                {**card, "Attachment": {"InstanceId": item["InstanceId"]}}
                for reservation in found
                for item in reservation["Instances"]
                for card in item["NetworkInterfaces"]
            ]
        }

    def describe_instance_status(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        ok = {"Status": "ok"}
        return {
            "InstanceStatuses": [
                {"InstanceId": key, "SystemStatus": ok, "InstanceStatus": {"Status": self.check}}
                for key in InstanceIds
            ]
        }

    def get_console_output(self, InstanceId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        if self.console is None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "GetConsoleOutput")
        return {"Output": self.console if InstanceId == "i-b" else "ec2vip: bootstrap done (9 s)\r\n"}

    def client_prefix(self) -> Sequence[str] | None:
        return []

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        if argv[0] == "crm_mon":
            return self.mon
        # .18 and .1850 are there to be mistaken for the VIP.
        has = f" {VIP}/24" if instance_id in self.in_system else ""
        return f"lo UNKNOWN 127.0.0.1/8\nens5@if3 UP 10.0.250.18/24 110.0.250.185/24{has}\n"

    def cut_power(self, instance_id: str) -> None:
        raise NotImplementedError

    def restore_power(self, instance_id: str) -> None:
        raise NotImplementedError


class Outside(Cloud):
    """A pair without shells on its nodes and without a client to ping the VIP."""

    reach = Reach(no_shell="SSM is off")

    def client_prefix(self) -> Sequence[str] | None:
        return None

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        return None


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_module, "answers", lambda prefix, address: True)


def flaws(cloud: Cloud) -> str:
    return "; ".join(Pair(cloud, VIP, ["i-a", "i-b"]).flaws())


def test_the_holder_is_who_has_the_vip_as_a_secondary_address() -> None:
    assert Pair(Cloud(ec2="i-b"), VIP, ["i-a", "i-b"]).holder() == "i-b"
    assert Pair(Cloud(ec2="nobody"), VIP, ["i-a", "i-b"]).holder() is None


@pytest.mark.usefixtures("answering")
def test_a_whole_pair_has_no_flaws() -> None:
    assert flaws(Cloud()) == ""


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (Cloud(ec2="i-a", system=["i-b"]), "['ec2vip-a'] in EC2 and with ['ec2vip-b']"),
        (Cloud(ec2="i-a", system=["i-a", "i-b"]), "with ['ec2vip-a', 'ec2vip-b'] in the nodes' systems"),
        (Cloud(ec2="i-a", system=[]), "with nobody in the nodes' systems"),
        (Cloud(ec2="nobody", system=["i-a"]), "with nobody in EC2"),
        (Cloud(online="false"), "ec2vip-b is offline"),
        (Cloud(pending="true"), "ec2vip-b is pending"),
    ],
)
def test_a_flaw_is_named(cloud: Cloud, words: str) -> None:
    assert words in flaws(cloud)


class Second(Cloud):
    """A pair whose second VIP is on the given nodes, in EC2 and in their systems."""

    def __init__(self, ec2: str, system: Sequence[str]) -> None:
        super().__init__()
        self.second_in_ec2, self.second_in_system = ec2, system

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803
        found = super().describe_instances(InstanceIds)
        for reservation in found["Reservations"]:
            for item in reservation["Instances"]:
                if item["InstanceId"] == self.second_in_ec2:
                    listed = item["NetworkInterfaces"][0]["PrivateIpAddresses"]
                    listed.append({"PrivateIpAddress": SECOND, "Primary": False})
        return found

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        said = super().run_on(instance_id, argv)
        return (
            f"{said}ens5 {SECOND}/24\n" if argv[0] == "ip" and instance_id in self.second_in_system else said
        )


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(
    ("ec2", "system", "words"),
    [
        ("i-a", ["i-a"], ""),
        # Each VIP is judged on its own: it may be on the other node, but not in two places.
        ("i-b", ["i-b"], ""),
        ("i-b", ["i-a"], f"the VIP {SECOND} is with ['ec2vip-b'] in EC2 and with ['ec2vip-a']"),
        ("nobody", [], f"the VIP {SECOND} is with nobody in EC2"),
    ],
)
def test_each_of_several_vips_must_have_one_owner(ec2: str, system: list[str], words: str) -> None:
    pair = Pair(Second(ec2, system), VIP, ["i-a", "i-b"], [VIP, SECOND])
    found = "; ".join(pair.flaws())
    assert words in found if words else found == ""
    assert pair.holder(SECOND) == (ec2 if ec2 in pair.node_ids else None)
    assert pair.holder() == "i-a"


def test_a_second_vip_that_does_not_answer_is_a_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_module, "answers", lambda prefix, address: address != SECOND)
    pair = Pair(Second("i-a", ["i-a"]), VIP, ["i-a", "i-b"], [VIP, SECOND])
    assert pair.flaws() == [f"the VIP {SECOND} does not answer the client though ec2vip-a has it"]
    assert not pair.answers()


def test_a_vip_that_does_not_answer_is_a_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_module, "answers", lambda prefix, address: False)
    assert "does not answer the client" in flaws(Cloud())


@pytest.mark.usefixtures("answering")
def test_waiting_for_a_broken_pair_ends_with_what_is_wrong() -> None:
    with pytest.raises(LabError, match="ec2vip-b is offline"):
        Pair(Cloud(online="false"), VIP, ["i-a", "i-b"]).wait_until_whole(0)


GAVE_UP = "[   12.3] ec2vip: bootstrap failed: packages: no such package"


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(
    ("console", "words"),
    [
        (f"boot\r\n{GAVE_UP}\r\nlogin:", ["ec2vip-b: ec2vip: bootstrap failed: packages: no such package"]),
        (f"{GAVE_UP}\r\nec2vip: bootstrap of ec2vip-b begins\r\n", []),
        ("", []),
        (None, []),
    ],
    ids=["gave up", "begun again", "silent", "not allowed"],
)
def test_a_node_that_is_missing_is_asked_for_its_last_words(console: str | None, words: list[str]) -> None:
    cloud = Cloud(online="false")
    cloud.console = console
    pair = Pair(cloud, VIP, ["i-a", "i-b"])
    assert pair.failures() == words
    with pytest.raises(LabError, match="; ".join(["ec2vip-b is offline in the cluster", *words])):
        pair.wait_until_whole(0)


def test_a_pending_node_is_not_online_yet() -> None:
    assert cluster_states(CRM_MON.format(online="true", pending="true"))["ec2vip-b"] == "pending"


def test_a_node_that_shuts_down_is_not_online_any_more() -> None:
    leaving = CRM_MON.format(online="true", pending="false").replace('id="2"', 'id="2" shutdown="true"')
    assert cluster_states(leaving) == {"ec2vip-a": "online", "ec2vip-b": "shutdown"}


def test_what_nobody_can_see_is_no_flaw() -> None:
    pair = Pair(Outside(), VIP, ["i-a", "i-b"])
    assert pair.flaws() == []
    assert [(node.cluster, node.holds_in_os) for node in pair.nodes()] == [("unknown", None)] * 2


def test_a_node_that_is_silent_though_it_has_a_shell_is_a_flaw() -> None:
    class Silent(Outside):
        reach = Reach()

    assert "ec2vip-a is unknown in the cluster" in flaws(Silent())


def test_without_a_shell_ec2s_own_checks_count() -> None:
    cloud = Outside()
    cloud.check = "initializing"
    assert flaws(cloud).startswith("EC2's instance check of i-a says initializing")


def test_without_a_shell_a_vip_that_nobody_has_is_a_flaw() -> None:
    assert flaws(Outside(ec2="nobody")) == "the VIP is with nobody in EC2"


#: The output of crm_mon 2.1.5 for a stop that could not be executed (on-fail=block), shortened.
BLOCKED = """<pacemaker-result><nodes>
<node name="ec2vip-a" id="1" online="true"/><node name="ec2vip-b" id="2" online="true"/></nodes>
<resources>
<resource id="ec2vip" resource_agent="ocf:heartbeat:ec2vip" role="Started" active="true" blocked="{blocked}"/>
<group id="vip-group"><resource id="vip" role="Started" active="true" blocked="false"/></group>
</resources>
<failures><failure op_key="ec2vip_start_0" node="ec2vip-a" exitstatus="error" exitcode="1" status="complete"
 exitreason="eni-b took 10.0.250.185 and has it, not taking it back"/>
<failure op_key="ec2vip_stop_0" node="ec2vip-a" exitstatus="error" exitcode="1" status="Error" exitreason=""/>
</failures></pacemaker-result>"""


@pytest.mark.usefixtures("answering")
def test_a_resource_that_the_cluster_has_given_up_is_a_flaw_though_the_vip_answers() -> None:
    cloud = Cloud()
    cloud.mon = BLOCKED.format(blocked="true")
    assert flaws(cloud) == "ec2vip is blocked; `crm_resource --cleanup` clears that"
    cloud.mon = BLOCKED.format(blocked="false")
    assert flaws(cloud) == "", "what the pair has got over is no flaw"


@pytest.mark.usefixtures("answering")
def test_a_vip_that_is_nowhere_is_told_with_the_agents_reason() -> None:
    cloud = Cloud(ec2="", system=())
    cloud.mon = BLOCKED.format(blocked="false")
    where, why = flaws(cloud).split("; ", 1)
    assert where.startswith("the VIP is with nobody in EC2")
    assert why == "ec2vip_start failed on ec2vip-a: eni-b took 10.0.250.185 and has it, not taking it back"
