"""Debian's own tools put EC2's addresses on interfaces. On both nodes, they must leave the VIP alone.

The package, its units and systemd-networkd, which the lab's image otherwise masks, are real. A stand-in
replaces DHCP: a .network file with the node's address, where the tools look for their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.hollow import eventually
from tests.cluster.scenario import Node, Scenario
from tests.cluster.test_settings import bootstrap
from tests.drill.probe import Probe

PACKAGE = "amazon-ec2-net-utils"
LINK = "ens5"
# An hour's worth: the package's timer fires every minute.
FIRINGS = 60
UNITS = (
    f"refresh-policy-routes@{LINK}.timer refresh-policy-routes@{LINK}.service policy-routes@{LINK}.service"
)
NETWORK = f"/run/systemd/network/70-{LINK}.network"
# The program waits for the interface in /sys, but a node's /sys shows another network. So we mount a new one.
BY_HAND = f"unshare --mount sh -ec 'mount -t sysfs sysfs /sys; timeout 60 setup-policy-routes {LINK} start'"
LEASE = f"""\
[Match]
Name={LINK}
[Network]
Address={{address}}/24
Gateway=10.0.250.1
"""


def shell(node: Node, script: str) -> str:
    return node.run("sh", "-ec", script)


def addresses(node: Node) -> list[str]:
    """The interface's addresses with their prefixes, as the node's system has them."""
    (link,) = json.loads(node.run("ip", "-4", "-json", "address", "show", "dev", LINK))
    return [f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"]]


@contextmanager
def tools_on(node: Node) -> Iterator[None]:
    """Run networkd and the tools on a node that does not hold the VIP, and then the bootstrap."""
    (own,) = addresses(node)
    lease = LEASE.format(address=own.split("/")[0])
    shell(
        node,
        f"mkdir -p /run/systemd/network; printf '%s' '{lease}' >{NETWORK};"
        "systemctl unmask systemd-networkd.service systemd-networkd.socket; systemctl start systemd-networkd;"
        f"apt-get install --yes --no-install-recommends {PACKAGE} >/dev/null",
    )
    bootstrap(node)
    try:
        yield
    finally:
        shell(
            node,
            "systemctl stop systemd-networkd.socket systemd-networkd.service;"
            "systemctl mask systemd-networkd.service systemd-networkd.socket;"
            f"rm -rf {NETWORK}* /etc/systemd/network/70-{LINK}.network.d;"
            f"apt-get purge --yes {PACKAGE} >/dev/null",
        )


def move(scenario: Scenario) -> None:
    """Have the other node take the VIP."""
    old = scenario.holder
    old.run("crm_standby", "--update", "on")
    scenario.client.sees(scenario.vip, within_s=30)
    old.run("crm_standby", "--delete")
    scenario.becomes_whole()
    assert scenario.holder != old


def fire(node: Node) -> None:
    """Run an hour of the timer, udev's rules for a new interface, and what an upgrade does to networkd."""
    shell(
        node,
        f"for i in $(seq {FIRINGS}); do systemctl start {UNITS} || true; done 2>/dev/null;"
        f"systemctl enable --now {UNITS} 2>/dev/null || true;"
        "networkctl reload; systemctl restart systemd-networkd; networkctl reload",
    )


def test_an_hour_of_the_tools_leaves_the_vip_with_the_holder_alone(scenario: Scenario) -> None:
    with tools_on(scenario.other):
        move(scenario)
        with tools_on(scenario.other):
            holder, other = scenario.holder, scenario.other
            before = {node.instance_id: addresses(node) for node in scenario.nodes}
            assert before[holder.instance_id][1:] == [f"{scenario.vip}/32"]
            with Probe(scenario.lab.in_client(), scenario.vip) as probe:
                probe.wait_for_answers(10)
                fire(holder)
                fire(other)
            print(f"an hour's worth of the tools' timers: outage {probe.outage().seconds:.3f} s")
            assert {node.instance_id: addresses(node) for node in scenario.nodes} == before
            assert scenario.holder == holder
            # Unmasked tools would have changed the addresses. Run by hand, the same program gives the VIP to
            # networkd too. networkd takes the VIP away with its settings, and would bring it back on a
            # standby.
            shell(holder, BY_HAND)
            eventually(lambda: holder.tries("grep", "-rq", scenario.vip, f"{NETWORK}.d") is not None)
            shell(holder, f"rm -r {NETWORK}.d; networkctl reload")
            scenario.becomes_whole()
            assert scenario.holder == holder
        move(scenario)
