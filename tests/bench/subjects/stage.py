"""Gives the running pair one subject after another, and its own cluster back at the end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from tests.bench.subjects.subject import Subject, configuration, subjects
from tests.drill.pair import Pair
from tests.lab.errors import LabError
from tests.lab.faults.core import described
from tests.lab.lab import Lab

COROSYNC = "/etc/corosync/corosync.conf"
CIB = "/var/lib/pacemaker/cib"
OFF_FOR_GOOD_S = 3.0
"""A node that reboots is without power for less than this."""
BOOTED = ("SystemState=running", "SystemState=degraded")
POLICY = "bench"
"""The nodes' role has this inline policy while the bench runs, because others need more of EC2 than ours."""


class Stage:
    """The pair in a lab, and which subject it runs."""

    def __init__(self, lab: Lab, pair: Pair) -> None:
        self.lab, self.pair = lab, pair
        views = pair.nodes()
        cib = lab.run_in(views[0].instance_id, ["cibadmin", "--query"]).stdout
        self.subjects = subjects(
            configuration(cib),
            lab.run_in(views[0].instance_id, ["cat", COROSYNC]).stdout,
            pair.vip,
            (views[0].address, views[1].address),
            (views[0].name, views[1].name),
        )
        self.current = self.subjects[0]

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Give the nodes what all subjects need. After the block they run the pair's own cluster again."""
        self._install(sorted({package for subject in self.subjects for package in subject.packages}))
        self._allow(sorted({action for subject in self.subjects for action in subject.actions}))
        try:
            yield
        finally:
            try:
                if self.current is not self.subjects[0]:
                    revive(self.lab, self.pair)
                    self.give(self.subjects[0])
            finally:
                take_back_leave(self.lab)

    def give(self, subject: Subject) -> None:
        """Stop the cluster on both nodes, put the subject's in place, start it, and wait until it is whole."""
        if subject is self.current:
            return
        for instance_id in self.pair.node_ids:
            # One node after the other: the VIP moves once more, and the last node gives it back to EC2.
            self._run(instance_id, "systemctl", "stop", "pacemaker", "corosync")
        for instance_id in self.pair.node_ids:
            self._run(instance_id, "sh", "-c", f"rm -f {CIB}/cib*")
            for path, text in {**subject.files, COROSYNC: subject.corosync}.items():
                self._write(instance_id, path, text)
            self._write(instance_id, f"{CIB}/cib.xml", subject.cib)
            self._run(instance_id, "chown", "hacluster:haclient", f"{CIB}/cib.xml")
            self._run(instance_id, "chmod", "600", f"{CIB}/cib.xml")
            # A failover may cut the power before the node's system has written this to its disk.
            self._run(instance_id, "sync")
        for instance_id in self.pair.node_ids:
            self._run(instance_id, "systemctl", "start", "--no-block", "corosync", "pacemaker")
        self.current = subject
        self.pair.wait_until_whole(self.pair.cloud.reach.whole_limit_s)

    def idle_calls_per_hour(self, seconds: float) -> float:
        """The nodes' calls to EC2 in an hour while nothing happens, extrapolated from `seconds`."""
        since = time.monotonic()
        time.sleep(seconds)
        return len(self.lab.timeline.read("api", since=since)) * 3600 / seconds

    def _install(self, packages: Sequence[str]) -> None:
        for instance_id in self.pair.node_ids:
            apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "--yes"]
            # A baked image has no lists of the available packages.
            self.lab.run_in(instance_id, [*apt, "update"], timeout_s=300)
            words = [*apt, "--no-install-recommends", "install", *packages]
            self.lab.run_in(instance_id, words, timeout_s=300)

    def _role(self) -> str:
        found = described(self.lab, self.pair.node_ids[0])
        profile = found["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        answer = self.lab.client("iam").get_instance_profile(InstanceProfileName=profile)
        return str(answer["InstanceProfile"]["Roles"][0]["RoleName"])

    def _allow(self, actions: Sequence[str]) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.lab.client("iam").put_role_policy(
            RoleName=self._role(), PolicyName=POLICY, PolicyDocument=document
        )

    def _write(self, instance_id: str, path: str, text: str) -> None:
        folder = str(PurePosixPath(path).parent)
        self._run(instance_id, "mkdir", "-p", folder)
        self.lab.run_in(instance_id, ["tee", path], input=text)
        if text.startswith("#!"):
            self._run(instance_id, "chmod", "755", path)

    def _run(self, instance_id: str, *words: str) -> None:
        self.lab.run_in(instance_id, words, timeout_s=120)


def take_back_leave(lab: Lab) -> None:
    """Remove the bench's policy from every role of the lab: IAM does not delete a role that has one."""
    iam = lab.client("iam")
    for role in iam.list_roles()["Roles"]:
        if POLICY in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=POLICY)


def revive(lab: Lab, pair: Pair) -> None:
    """Give both nodes power, and wait until they take commands: an interruption may come amid a failover.

    Raises LabError if a node does not come back.
    """
    asked = ["systemctl", "show", "--property=SystemState"]
    for instance_id in pair.node_ids:
        began, off_since = time.monotonic(), time.monotonic()
        while (lab.try_in(instance_id, asked) or "").strip() not in BOOTED:
            now = time.monotonic()
            if lab.state()["nodes"].get(instance_id, {}).get("leader") is not None:
                off_since = now
            if now - off_since > OFF_FOR_GOOD_S:
                pair.cloud.restore_power(instance_id)
                off_since = now
            if now - began > pair.cloud.reach.whole_limit_s:
                raise LabError(f"{instance_id} does not come back", "`make down`, then `make up`")
            time.sleep(0.2)
