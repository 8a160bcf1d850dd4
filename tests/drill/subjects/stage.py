"""Gives the running pair one subject after another, and in the end its own cluster back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from tests.drill.pair import Pair
from tests.drill.subjects.subject import Subject, configuration, subjects
from tests.drill.trials import WHOLE_LIMIT_S
from tests.lab.lab import Lab

COROSYNC = "/etc/corosync/corosync.conf"
CIB = "/var/lib/pacemaker/cib"
POLICY = "bench"
"""The inline policy that the nodes' role has while subjects run that ask EC2 for more than ours."""


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
        """The nodes have what all subjects need; after the block they run the pair's own cluster again."""
        self._install(sorted({package for subject in self.subjects for package in subject.packages}))
        self._allow(sorted({action for subject in self.subjects for action in subject.actions}))
        try:
            yield
        finally:
            try:
                self.give(self.subjects[0])
            finally:
                self._disallow()

    def give(self, subject: Subject) -> None:
        """Stop the cluster on both nodes, put the subject's in place, start it, and wait until it is whole."""
        if subject is self.current:
            return
        for instance_id in self.pair.node_ids:
            # One after the other: the VIP moves once more, and the last one gives it back to EC2.
            self._run(instance_id, "systemctl", "stop", "pacemaker", "corosync")
        for instance_id in self.pair.node_ids:
            self._run(instance_id, "sh", "-c", f"rm -f {CIB}/cib*")
            for path, text in {**subject.files, COROSYNC: subject.corosync}.items():
                self._write(instance_id, path, text)
            self._write(instance_id, f"{CIB}/cib.xml", subject.cib)
            self._run(instance_id, "chown", "hacluster:haclient", f"{CIB}/cib.xml")
            self._run(instance_id, "chmod", "600", f"{CIB}/cib.xml")
        for instance_id in self.pair.node_ids:
            self._run(instance_id, "systemctl", "start", "--no-block", "corosync", "pacemaker")
        self.current = subject
        self.pair.wait_until_whole(WHOLE_LIMIT_S)

    def api_calls(self, since: float, until: float) -> int:
        """How many EC2 calls the nodes made between two times (s since 1970)."""
        events = map(json.loads, (self.lab.folder / "timeline.jsonl").read_text().splitlines())
        return sum(
            event.get("kind") == "api" and bool(event["instance_id"]) and since < event["wall"] <= until
            for event in events
        )

    def idle_calls_per_hour(self, seconds: float) -> float:
        """EC2 calls an hour while nothing happens, from those of `seconds`."""
        since = time.time()
        time.sleep(seconds)
        return self.api_calls(since, time.time()) * 3600 / seconds

    def _install(self, packages: Sequence[str]) -> None:
        for instance_id in self.pair.node_ids:
            words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "--yes"]
            words += ["--no-install-recommends", "install", *packages]
            self.lab.run_in(instance_id, words, timeout_s=300)

    def _role(self) -> str:
        found = self.lab.client().describe_instances(InstanceIds=[self.pair.node_ids[0]])
        profile = found["Reservations"][0]["Instances"][0]["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        answer = self.lab.client("iam").get_instance_profile(InstanceProfileName=profile)
        return str(answer["InstanceProfile"]["Roles"][0]["RoleName"])

    def _allow(self, actions: Sequence[str]) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.lab.client("iam").put_role_policy(
            RoleName=self._role(), PolicyName=POLICY, PolicyDocument=document
        )

    def _disallow(self) -> None:
        self.lab.client("iam").delete_role_policy(RoleName=self._role(), PolicyName=POLICY)

    def _write(self, instance_id: str, path: str, text: str) -> None:
        folder = str(PurePosixPath(path).parent)
        self._run(instance_id, "mkdir", "-p", folder)
        self.lab.run_in(instance_id, ["tee", path], input=text)
        if text.startswith("#!"):
            self._run(instance_id, "chmod", "755", path)

    def _run(self, instance_id: str, *words: str) -> None:
        self.lab.run_in(instance_id, words, timeout_s=120)
