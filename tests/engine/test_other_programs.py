"""Programs other than the project's own: two pairs in one stack, and an application that uses the VIP."""

from __future__ import annotations

from pathlib import Path

from tests.lab.pulumi_stack import PulumiStack

from .cloud import ROOT, Cloud

HERE = Path(__file__).parent


def test_two_pairs_live_in_one_stack_and_one_subnet(fresh_cloud: Cloud) -> None:
    stack = fresh_cloud.stack(
        "test",
        {"aws:region": "us-east-1"},
        project=HERE / "two_pairs",
        env={"PYTHONPATH": str(ROOT)},  # instead of an installed package
    )
    stack.up("--skip-preview")
    assert {name: node["PrivateIpAddress"] for name, node in fresh_cloud.instances().items()} == {
        "billing-a": "10.0.8.11",
        "billing-b": "10.0.8.12",
        "search-a": "10.0.8.21",
        "search-b": "10.0.8.22",
    }
    fresh_cloud.move("10.0.8.10", "billing-b")
    fresh_cloud.move("10.0.8.20", "search-a")
    assert set(stack.refresh()) == {"same"}
    assert stack.preview() == []
    assert stack.outputs() == {"billing": "10.0.8.10", "search": "10.0.8.20"}
    _every_resource_has_a_parent(stack)
    stack.destroy()
    assert fresh_cloud.leftovers() == {}


def test_an_application_in_another_stack_reaches_the_vip(fresh_cloud: Cloud) -> None:
    pair = fresh_cloud.stack()
    pair.up("--skip-preview")
    application = fresh_cloud.stack(
        "production",
        {"aws:region": "us-east-1", "pair": pair.full_name},
        project=HERE / "application",
    )
    application.up("--skip-preview")
    assert application.outputs()["databaseHost"] == "10.0.250.185"
    instance = fresh_cloud.instances()["application"]
    offered = pair.outputs()
    assert [g["GroupId"] for g in instance["SecurityGroups"]] == [offered["clientSecurityGroupId"]]
    assert instance["SubnetId"] == offered["subnetId"]
    (seen,) = [i for i in fresh_cloud.emulator.instances() if i.name == "application"]
    assert b"DATABASE_HOST=10.0.250.185" in seen.user_data
    application.destroy()
    pair.destroy()
    assert fresh_cloud.leftovers() == {}


def _every_resource_has_a_parent(stack: PulumiStack) -> None:
    for resource in stack.resources():
        if resource["type"].startswith(("pulumi:pulumi:Stack", "pulumi:providers:")):
            continue
        assert resource.get("parent"), resource["urn"]
