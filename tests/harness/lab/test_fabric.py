from __future__ import annotations

from tests.aws.emulator import GroupRule, Interface
from tests.lab.fabric import gateway, link_name, ruleset


def interface(number: int, *secondaries: str, groups: tuple[str, ...] = ("sg-1",)) -> Interface:
    return Interface(
        eni_id=f"eni-0123456789abcdef{number}",
        mac=f"02:00:00:00:00:0{number}",
        instance_id=f"i-{number}",
        device_index=0,
        subnet_id="subnet-1",
        subnet_cidr="10.0.250.0/24",
        vpc_id="vpc-1",
        vpc_cidr="10.0.0.0/16",
        primary=f"10.0.250.18{5 + number}",
        secondaries=secondaries,
        security_group_ids=groups,
        source_dest_check=True,
        public_ip=None,
    )


def rule(
    protocol: str = "udp", port: int = 5405, *, cidr: str | None = None, group: str | None = None
) -> GroupRule:
    return GroupRule("sg-1", "ingress", protocol, port, port, cidr, group)


def chain(text: str, name: str) -> list[str]:
    """The lines of one chain."""
    body = text.split(f"chain {name} {{\n")[1].split("\n  }")[0]
    return [line.strip() for line in body.splitlines()]


def test_a_link_name_fits_the_kernel_and_tells_interfaces_apart() -> None:
    names = {link_name(interface(1)), link_name(interface(2))}
    assert len(names) == 2
    assert all(len(name) <= 15 for name in names)


def test_the_gateway_is_the_first_address_of_the_subnet() -> None:
    assert gateway("10.0.250.0/24") == "10.0.250.1"


def test_without_rules_nothing_may_pass() -> None:
    text = ruleset([interface(1)], [])
    assert chain(text, f"ingress_{link_name(interface(1))}") == ["drop"]
    assert chain(text, f"egress_{link_name(interface(1))}") == ["drop"]
    assert "policy drop" in text


def test_a_rule_that_names_a_group_lets_in_its_members_with_all_their_addresses() -> None:
    nodes = [interface(1, "10.0.250.185"), interface(2)]
    lines = chain(ruleset(nodes, [rule(group="sg-1")]), f"ingress_{link_name(nodes[1])}")
    assert lines[0] == "ip saddr { 10.0.250.186, 10.0.250.185, 10.0.250.187 } udp dport 5405-5405 accept"


def test_a_rule_that_names_a_group_without_members_lets_nobody_in() -> None:
    node = interface(1)
    assert chain(ruleset([node], [rule(group="sg-other")]), f"ingress_{link_name(node)}") == ["drop"]


def test_a_rule_of_another_group_does_not_concern_the_interface() -> None:
    node = interface(1, groups=("sg-2",))
    assert chain(ruleset([node], [rule(cidr="0.0.0.0/0")]), f"ingress_{link_name(node)}") == ["drop"]


def test_ping_is_icmp_type_8() -> None:
    node = interface(1)
    lines = chain(ruleset([node], [rule("icmp", 8, cidr="10.0.0.0/16")]), f"ingress_{link_name(node)}")
    assert lines[0] == "ip saddr { 10.0.0.0/16 } icmp type 8 accept"
