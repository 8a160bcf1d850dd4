"""The agent's OCF interface (OCF Resource Agent API 1.1): actions, parameters, meta-data, exit codes."""

from __future__ import annotations

import sys

from agent.metadata import ADDRESS, Metadata, is_ipv4
from agent.outcome import ERR_CONFIGURED, ERR_UNIMPLEMENTED, SUCCESS, AgentError, Deadline, log
from agent.record import Record
from agent.rules import BOUND, Agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.ec2 import Ec2

FOLDER = "/run/resource-agents"  # resource-agents' own, on a tmpfs, for root only
META_DATA = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="ec2vip" version="1.0">
<version>1.1</version>
<longdesc lang="en">Has EC2 deliver an address to this instance; IPaddr2 holds it in the OS.</longdesc>
<shortdesc lang="en">Floating private IPv4 address on EC2</shortdesc>
<parameters>
<parameter name="ec2_vip" required="1" unique="1">
<longdesc lang="en">An unused address of the subnet</longdesc>
<shortdesc lang="en">An unused address of the subnet</shortdesc>
<content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/>
<action name="stop" timeout="60s"/>
<action name="monitor" timeout="60s" interval="10s" depth="0"/>
<action name="migrate_to" timeout="20s"/>
<action name="migrate_from" timeout="60s"/>
<action name="validate-all" timeout="20s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>"""


def vip_of(environ: Mapping[str, str]) -> str:
    """The parameter `ec2_vip`. If it is not an address, raises AgentError with value, rule and remedy."""
    vip = environ.get("OCF_RESKEY_ec2_vip", "")
    if not is_ipv4(vip):
        reason = f"ec2_vip {vip!r} is not an IPv4 address such as 10.0.0.10; set it to one"
        raise AgentError(reason, ERR_CONFIGURED)
    return vip


def run(action: str, environ: Mapping[str, str], imds: tuple[str, int], endpoint: str, folder: str) -> int:
    """Carry out an action on this node; return its OCF code. Raises AgentError."""
    vip = vip_of(environ)
    until = Deadline(BOUND[action])
    name = environ.get("OCF_RESOURCE_INSTANCE", "default").replace("/", "_")
    record = Record(f"{folder}/ec2vip-{name}", vip)

    def connect(until: Deadline) -> Ec2:
        from agent.ec2 import Ec2

        return Ec2(record, until, endpoint)

    # Before Pacemaker starts anything on a node it asks what the node has: a monitor without an interval.
    probe = environ.get("OCF_RESKEY_CRM_meta_interval", "0") == "0"
    agent = Agent(vip, Metadata(until, imds, record.mac), connect, record, until, probe)
    code = agent.act(action)
    if action in ("start", "migrate_from"):
        from agent.cluster import prefer

        prefer(environ)
    return code


def main(
    arguments: list[str],
    environ: Mapping[str, str],
    imds: tuple[str, int] = ADDRESS,
    endpoint: str = "",
    folder: str = FOLDER,
) -> int:
    """Carry out the named action; return the exit code. The reason of a failure goes to stderr.

    Only tests set `imds`, `endpoint` (EC2's host; by default the Region's) and the record's `folder`.
    """
    action = arguments[0] if len(arguments) == 1 else ""
    if action == "meta-data":
        print(META_DATA)
        return SUCCESS
    if action not in BOUND:
        print("usage: ec2vip", "|".join([*BOUND, "meta-data"]), file=sys.stderr)
        return ERR_UNIMPLEMENTED
    try:
        return run(action, environ, imds, endpoint, folder)
    except AgentError as error:
        log("ERR", f"{action}: {error}")
        if action == "stop":
            return SUCCESS  # a failed stop may block the VIP; see Agent.stop
        print(f"ocf-exit-reason:{error}", file=sys.stderr)
        return error.code
