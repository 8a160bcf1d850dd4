"""What the bench compares: agents with their cluster's settings, all of them for the same two nodes."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.errors import LabError

HEARTBEAT = "/usr/lib/ocf/resource.d/heartbeat"
GROUP = "vip-group"

ORIGINAL_AGENT = Path(__file__).with_name("original_agent.sh")
ORIGINAL_TOKEN_MS = 1000
"""Corosync's default in 2015; since October 2020 it is 3000 (corosync/corosync#600)."""

AWSVIP_MONITOR_S = 20
"""The interval that awsvip's own metadata advises."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An agent and its cluster.

    `resources` are the group's members, EC2's side first. `cib` has the cluster's settings, and `corosync` is
    its configuration, the same for both members. `files` are what else the nodes get, `packages` what they
    install for it, and `actions` what their role must also allow.
    """

    name: str
    purpose: str
    resources: tuple[str, str]
    agent: str
    parameters: Mapping[str, str]
    cib: str
    corosync: str
    files: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def detection_s(self) -> float:
        """How long Corosync takes to give a dead peer up (s): token and consensus."""
        token = _milliseconds(self.corosync, "token")
        return (token + _milliseconds(self.corosync, "consensus", token * 12 // 10)) / 1000


def subjects(
    cib: str, corosync: str, vip: str, addresses: tuple[str, str], names: tuple[str, str]
) -> list[Subject]:
    """The three subjects, made from the pair's CIB (XML), its corosync.conf, its VIP, and its members."""
    aws_config = {"/root/.aws/config": "[default]\nca_bundle = /etc/ssl/certs/ca-certificates.crt\n"}
    clis = ("awscli", "curl")
    return [
        Subject(
            name="ec2vip",
            purpose="this project, as it is",
            resources=("ec2vip", "vip"),
            agent=f"{HEARTBEAT}/ec2vip",
            parameters={"ec2_vip": vip},
            cib=cib,
            corosync=corosync,
        ),
        Subject(
            name="awsvip",
            purpose="awsvip of resource-agents and the AWS CLI of the distribution, in the same cluster",
            resources=("awsvip", "vip"),
            agent=f"{HEARTBEAT}/awsvip",
            parameters={"secondary_private_ip": vip},
            cib=_with_awsvip(cib, vip),
            corosync=corosync,
            files={path: f"{text}region = us-east-1\n" for path, text in aws_config.items()},
            packages=clis,
            actions=("ec2:DescribeInstances",),
        ),
        Subject(
            name="original",
            purpose="the settings of 2015, with an agent written to their description",
            resources=("ec2vip", "vip"),
            agent=f"{HEARTBEAT}/ec2vip-original",
            parameters={"ec2_vip": vip},
            cib=_original_cib(cib, vip),
            corosync=_original_corosync(addresses, names),
            files={**aws_config, f"{HEARTBEAT}/ec2vip-original": ORIGINAL_AGENT.read_text()},
            packages=clis,
        ),
    ]


def configuration(cib: str) -> str:
    """A CIB's settings alone, without history and states of nodes; its version is lower than any other."""
    root = ElementTree.fromstring(cib)
    for name in list(root.attrib):
        if name not in ("validate-with", "crm_feature_set"):
            del root.attrib[name]
    root.attrib.update(admin_epoch="0", epoch="0", num_updates="0")
    status = root.find("status")
    if status is not None:
        status.clear()
    for constraint in root.findall("./configuration/constraints/*"):
        if constraint.get("id", "").startswith("cli-") or constraint.get("id", "").endswith("-taker"):
            root.find("./configuration/constraints").remove(constraint)  # type: ignore[union-attr]
    ElementTree.indent(root)  # closes the gaps that removed elements leave
    return ElementTree.tostring(root, encoding="unicode")


def _with_awsvip(cib: str, vip: str) -> str:
    """The same cluster with awsvip for the EC2 side, before IPaddr2 in the group, as its users have it."""
    root = ElementTree.fromstring(configuration(cib))
    primitive = _find(root, ".//primitive[@id='ec2vip']")
    renamed = ElementTree.tostring(primitive, encoding="unicode").replace('"ec2vip', '"awsvip')
    group = _find(root, f".//group[@id='{GROUP}']")
    replacement = ElementTree.fromstring(renamed)
    replacement.set("type", "awsvip")
    given = _find(replacement, "instance_attributes")
    for pair in list(given):
        given.remove(pair)
    ElementTree.SubElement(given, "nvpair", id="awsvip-address", name="secondary_private_ip", value=vip)
    # awsvip's migrate_to gives the address up, so migrating it gains nothing.
    for meta in replacement.findall("meta_attributes"):
        replacement.remove(meta)
    for operation in replacement.findall("operations/op[@name='monitor']"):
        operation.set("interval", f"{AWSVIP_MONITOR_S}s")
    for operation in replacement.findall("operations/op"):
        if operation.get("name", "").startswith("migrate"):
            _find(replacement, "operations").remove(operation)
    for parent in list(root.iter()):
        for child in list(parent):
            if child is primitive or "ec2vip" in (child.get("rsc"), child.get("with-rsc")):
                parent.remove(child)
    group.insert(0, replacement)
    return ElementTree.tostring(root, encoding="unicode")


def _original_cib(cib: str, vip: str) -> str:
    """The cluster of 2015, with the pair's members and the network's prefix length from `cib`."""
    root = ElementTree.fromstring(configuration(cib))
    netmask = _find(root, ".//nvpair[@name='cidr_netmask']").get("value", "24")
    new = _find(root, "configuration")
    nodes = copy.deepcopy(new.find("nodes"))
    for child in list(new):
        new.remove(child)
    properties = {
        "no-quorum-policy": "ignore",
        "stonith-enabled": "false",
        "transition-delay": "0s",  # then called crmd-transition-delay
    }
    defaults = {"resource-stickiness": "INFINITY", "migration-threshold": "1"}
    ElementTree.SubElement(new, "crm_config").append(
        _set("cib-bootstrap-options", "cluster_property_set", properties)
    )
    if nodes is not None:
        new.append(nodes)
    group = ElementTree.SubElement(ElementTree.SubElement(new, "resources"), "group", id=GROUP)
    address = {"ip": vip, "nic": "ens5", "cidr_netmask": netmask}
    group.append(_primitive("ec2vip", "ec2vip-original", {"ec2_vip": vip}, "60s", "stop"))
    group.append(_primitive("vip", "IPaddr2", address, "20s", "restart"))
    ElementTree.SubElement(new, "constraints")
    ElementTree.SubElement(new, "rsc_defaults").append(_set("rsc-options", "meta_attributes", defaults))
    return ElementTree.tostring(root, encoding="unicode")


def _primitive(
    name: str, agent: str, parameters: Mapping[str, str], timeout: str, failed_start: str
) -> ElementTree.Element:
    """A resource whose operations have this time-out; `failed_start` is what follows if it does not start."""
    element = ElementTree.Element(
        "primitive", id=name, attrib={"class": "ocf", "provider": "heartbeat", "type": agent}
    )
    element.append(_set(f"{name}-parameters", "instance_attributes", parameters))
    listed = ElementTree.SubElement(element, "operations")
    for operation, interval, on_fail in (
        ("start", "0s", failed_start),
        ("monitor", "10s", "restart"),
        ("stop", "0s", "block"),
    ):
        attributes = {"name": operation, "interval": interval, "timeout": timeout, "on-fail": on_fail}
        ElementTree.SubElement(listed, "op", id=f"{name}-{operation}", attrib=attributes)
    return element


def _set(name: str, kind: str, values: Mapping[str, str]) -> ElementTree.Element:
    element = ElementTree.Element(kind, id=name)
    for key, value in values.items():
        ElementTree.SubElement(element, "nvpair", id=f"{name}-{key}", name=key, value=value)
    return element


def _original_corosync(addresses: tuple[str, str], names: tuple[str, str]) -> str:
    nodes = "".join(
        f"  node {{\n    nodeid: {number}\n    name: {name}\n    ring0_addr: {address}\n  }}\n"
        for number, (address, name) in enumerate(zip(addresses, names, strict=True), start=1)
    )
    return f"""\
totem {{
  version: 2
  cluster_name: ec2vip
  transport: udpu
  crypto_cipher: none
  crypto_hash: none
  token: {ORIGINAL_TOKEN_MS}
  interface {{
    ringnumber: 0
    mcastport: 5405
  }}
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  expected_votes: 2
}}
logging {{
  to_syslog: yes
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: on
}}
"""


def _milliseconds(corosync: str, key: str, default: int = 0) -> int:
    for line in corosync.splitlines():
        name, _, value = line.strip().partition(":")
        if name == key:
            return int(value)
    return default


def _find(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    if found is None:
        raise LabError(f"the cluster's settings have no {path}", "`make down`, then `make up`")
    return found
