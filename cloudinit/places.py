"""Where a node's programs are on the node, and where their sources are here."""

from __future__ import annotations

from pathlib import Path

AGENT_PATH = "/usr/lib/ocf/resource.d/heartbeat/ec2vip"
#: The folder of the agent's package, which other programs import too. Python keeps it compiled there.
LIBRARY_PATH = "/usr/lib/ocf/lib/ec2vip"
BOOTSTRAP_PATH = "/usr/local/sbin/ec2vip-bootstrap"
PARAMETER_PATH = "/usr/local/sbin/ec2vip-parameter"
REPORT_PATH = "/usr/local/sbin/ec2vip-report"
GUARD_PATH = "/usr/local/sbin/ec2vip-guard"
PROBE_PATH = "/usr/local/sbin/ec2vip-probe"

_HERE = Path(__file__).resolve().parent
_NODE = _HERE / "node"
#: The sources of the programs that a node gets.
AGENT_SOURCES = _HERE.parent / "agent"
AGENT_SOURCE = AGENT_SOURCES / "ec2vip.py"
BOOTSTRAP_SOURCE = _NODE / "bootstrap.sh"
PARAMETER_SOURCE = _NODE / "parameter.py"
REPORT_SOURCE = _NODE / "report.sh"
GUARD_SOURCE = _NODE / "guard.sh"
INSTALL_SOURCES = {"apt": _NODE / "install-apt.sh", "dnf": _NODE / "install-dnf.sh"}
REPOSITORY_SOURCE = _NODE / "repository.sh"
BUILD_SOURCE = _NODE / "build.sh"
PROBE_SOURCE = _NODE / "probe.sh"
FETCH_SOURCE = _NODE / "fetch.sh"
