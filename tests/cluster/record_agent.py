"""Record what Pacemaker hands the agent: `python -m tests.cluster.record_agent LAB` on a running lab.

For each action, we record the arguments, the environment, the open files and the working directory of the
agent's process, and the program that started it. The result is tests/unit/agent/recorded/PLATFORM.json. Every
agent test runs in what it describes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.drill.clouds import Choice, lab_pair
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.paths import PROJECT

AGENT = "/usr/lib/ocf/resource.d/heartbeat/ec2vip"
ASIDE = "/root/ec2vip-recorded-agent"
KEPT = "/run/ec2vip-recorded"
RECORDED = PROJECT / "tests" / "unit" / "agent" / "recorded"

# Reads /proc instead of os.environ, because Python adds LC_CTYPE to its own environment (PEP 538).
RECORDER = f"""#!/usr/bin/python3 -I
import json, os, sys, time
here = "/proc/self/"
links = {{}}
for name in sorted(os.listdir(here + "fd"), key=int):
    try:
        links[name] = os.readlink(here + "fd/" + name)
    except OSError:
        pass  # the folder's own
words = open(here + "environ", "rb").read().decode().split("\\0")
record = {{
    "words": sys.argv[1:],
    "environment": dict(word.split("=", 1) for word in words if word),
    "files": links,
    "folder": os.getcwd(),
    "by": os.path.basename(os.readlink("/proc/%d/exe" % os.getppid())),
}}
os.makedirs("{KEPT}", exist_ok=True)
with open("{KEPT}/%d-%d" % (time.time_ns(), os.getpid()), "w") as file:
    json.dump(record, file)
os.execv("{ASIDE}", ["{ASIDE}", *sys.argv[1:]])
"""

WANTED = ("probe", "start", "stop", "monitor", "migrate_to", "migrate_from", "validate-all", "meta-data")
LIMIT_S = 60.0


def kind(record: dict[str, Any]) -> str:
    """The recorded action; a monitor without an interval is a probe."""
    (action,) = record["words"]
    recurring = "OCF_RESKEY_CRM_meta_interval" in record["environment"]
    return "probe" if action == "monitor" and not recurring else str(action)


def record(lab: Lab) -> dict[str, dict[str, Any]]:
    """Have Pacemaker run every action on the lab's pair; return what each was given, by `kind`.

    Raises LabError if an action does not come within LIMIT_S seconds.
    """
    pair = lab_pair(lab)
    nodes = pair.node_ids
    pair.wait_until_whole(LIMIT_S)
    for node in nodes:
        lab.run_in(node, ["cp", "-a", AGENT, ASIDE])
        lab.run_in(node, ["sh", "-c", f'printf %s "$1" >{AGENT}', "sh", RECORDER])
    try:
        # One after another, all from the first node.
        for words in (
            ["crm_resource", "--refresh", "--resource", "ec2vip"],
            ["pcs", "resource", "disable", "ec2vip", "--wait=60"],
            ["pcs", "resource", "enable", "ec2vip", "--wait=60"],
            ["crm_resource", "--move", "--resource", "ec2vip"],
            ["crm_resource", "--wait", "--timeout=60s"],
            ["crm_resource", "--clear", "--resource", "ec2vip"],
            ["crm_resource", "--validate", "--resource", "ec2vip"],
            ["crm_resource", "--show-metadata", "ocf:heartbeat:ec2vip"],
        ):
            lab.run_in(nodes[0], words, timeout_s=90)
        deadline = time.monotonic() + LIMIT_S
        while missing := set(WANTED) - set(found := _found(lab, nodes)):
            if time.monotonic() > deadline:
                raise LabError(f"Pacemaker did not run {', '.join(sorted(missing))}")
            time.sleep(1)
    finally:
        for node in nodes:
            lab.run_in(node, ["mv", "-f", ASIDE, AGENT])
    return {name: found[name] for name in WANTED}


def _found(lab: Lab, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """The first record of each kind; we prefer one by Pacemaker's executor to one by a tool."""
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        said = lab.run_in(node, ["sh", "-c", f"cat {KEPT}/* | sed 's/}}{{/}}\\n{{/g'"]).stdout
        for line in said.splitlines():
            one = json.loads(line)
            known = found.get(kind(one))
            if known is None or (known["by"] != one["by"] == "pacemaker-execd"):
                found[kind(one)] = one
    return found


def main(name: str) -> None:
    """Write the recording of the lab's platform."""
    lab = Lab(name)
    path: Path = RECORDED / f"{Choice.of(lab).platform}.json"
    version = lab.run_in(lab_pair(lab).node_ids[0], ["pacemakerd", "--version"]).stdout.splitlines()[0]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"from": version, **record(lab)}, indent=1, sort_keys=True) + "\n")
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
