"""Launch a pair's two instances by hand, in any order, with the arguments that the program used.

pair = Launches(lab)
pair.clear()
pair.launch("b")
pair.hears("b", "bootstrap done")
pair.launch("a")
pair.become_whole()
"""

from __future__ import annotations

import base64
import difflib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.cluster import hollow
from tests.cluster.labs import whole_pair
from tests.cluster.scenario import Client, Node
from tests.drill.clouds import LabCloud
from tests.drill.pair import Pair
from tests.lab.faults import Fault, Faults
from tests.lab.faults.core import described, filtering, state_of
from tests.lab.lab import Lab
from tests.lab.log import say
from tests.lab.network_plan import MIRROR

LIMIT_S = 180.0
SETTLED_S = 10.0
"""How long a bootstrap that has said that it is done may still be at work on the settings."""
eventually = partial(hollow.eventually, within_s=LIMIT_S, pause_s=0.1)
SECTIONS = ("crm_config", "resources", "rsc_defaults", "op_defaults")
BEGINS = "ec2vip: bootstrap of"
FAILED = "failed stage init-local"
AFTER_OURS = "running 'modules:config'"
OWN = re.compile(r'name="(cluster-infrastructure|cluster-name|dc-version|have-watchdog)"')
"""Settings that Pacemaker itself writes."""


class Launches:
    """The lab's pair as its stack made it, and what stands in its place now.

    Node "a" puts the resources into the cluster; the other is "b". `wanted` are the cluster's settings as the
    first pair had them.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ec2 = lab, lab.client()
        made = whole_pair(lab)
        self.vip = made.vip
        self.client = Client(lab)
        self.ids: dict[str, str] = dict(zip("ab", made.node_ids, strict=True))
        self._asked = {letter: self._as_asked(instance_id) for letter, instance_id in self.ids.items()}
        self._marks = {
            letter: self._interface(instance_id)["TagSet"] for letter, instance_id in self.ids.items()
        }
        self.wanted = self.settings()

    def _as_asked(self, instance_id: str) -> dict[str, Any]:
        """The arguments with which RunInstances makes such an instance again."""
        found = described(self.lab, instance_id)
        (card,) = found["NetworkInterfaces"]
        user_data = self.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        options = found["MetadataOptions"]
        return {
            "ImageId": found["ImageId"],
            "InstanceType": found["InstanceType"],
            "IamInstanceProfile": {"Arn": found["IamInstanceProfile"]["Arn"]},
            "Placement": {"GroupName": found["Placement"]["GroupName"]},
            "UserData": base64.b64decode(user_data["UserData"]["Value"]),
            "MetadataOptions": {
                key: options[key] for key in ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit")
            },
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": card["SubnetId"],
                    "PrivateIpAddress": card["PrivateIpAddress"],
                    "Groups": [group["GroupId"] for group in card["Groups"]],
                    "AssociatePublicIpAddress": "Association" in card,
                }
            ],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": found["Tags"]}],
        }

    def _interface(self, instance_id: str) -> Any:
        """The instance's network interface, as DescribeNetworkInterfaces shows it."""
        asked = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
        (found,) = self.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
        return found

    # --- what happens to them ------------------------------------------------------------------------------

    def launch(self, *letters: str, **more: Any) -> None:
        """Launch new instances in these places; `more` are further arguments of RunInstances."""
        for letter in letters:
            assert letter not in self.ids, f"{letter} is there already"
            asked = {**self._asked[letter], **more}
            made = self.ec2.run_instances(MinCount=1, MaxCount=1, **asked)
            self.ids[letter] = made["Instances"][0]["InstanceId"]
            # The program does the same after a launch: a node may touch only interfaces with the pair's tag.
            card = self._interface(self.ids[letter])["NetworkInterfaceId"]
            self.ec2.create_tags(Resources=[card], Tags=self._marks[letter])

    def terminate(self, letter: str) -> None:
        """Terminate the instance; return when its address is free."""
        instance_id = self.ids.pop(letter)
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        eventually(lambda: state_of(self.lab, instance_id) == "terminated")

    def clear(self) -> None:
        """Terminate all instances."""
        for instance_id in self.ids.values():
            # Without power there is no shutdown to wait for.
            self.lab.ask("power-loss", instance_id=instance_id)
        for letter in list(self.ids):
            self.terminate(letter)

    def begins_again(self, letter: str) -> None:
        """Wait until the node's bootstrap begins after a power cut; launch it anew if cloud-init never gets there.

        Its first stage writes data/set-hostname without a sync. If a cut leaves that file empty, cloud-init before
        23.1 fails at every later boot, and the node never reads its user data. We take that only from a node that
        was cut before the second stage had run our first command, which is a sync.
        """
        eventually(lambda: any(words in self.console(letter) for words in (BEGINS, FAILED)))
        text = self.console(letter)
        if FAILED in text:
            first, _, _ = text.partition(FAILED)
            assert AFTER_OURS not in first, f"the sync has not helped\n{first[-2000:]}"
            say(f"    {letter} lost a file of cloud-init's own, and is launched anew")
            self.terminate(letter)
            self.launch(letter)

    def have_power(self) -> None:
        """Wait until EC2 calls all instances running."""
        eventually(lambda: {state_of(self.lab, each) for each in self.ids.values()} == {"running"})

    def power_off(self, letter: str) -> Fault:
        return Faults(self.lab).power_loss(self.ids[letter])

    @contextmanager
    def no_mirror(self) -> Iterator[None]:
        """Have the package mirror refuse every connection."""
        reject = f"ip daddr {MIRROR} tcp dport 80 counter reject with tcp reset"
        with filtering(self.lab, input=[reject]):
            yield

    # --- what is seen of them ------------------------------------------------------------------------------

    def __getitem__(self, letter: str) -> Node:
        return Node(self.ids[letter], self.lab)

    def console(self, letter: str) -> str:
        """Everything that the node has written to its console."""
        return str(self.ec2.get_console_output(InstanceId=self.ids[letter]).get("Output", ""))

    def hears(self, letter: str, words: str) -> None:
        """Wait until the node's console has these words. Fails at once if the last bootstrap has failed.

        An earlier one may have seen a cut of the power reach a program that it was waiting for.
        """

        def said() -> bool:
            text = self.console(letter)
            assert "bootstrap failed" not in text.rpartition(BEGINS)[2], text[-2000:]
            return words in text

        eventually(said)

    @property
    def pair(self) -> Pair:
        """The present instances as a pair: both, or one alone."""
        return Pair(LabCloud(self.lab), self.vip, [self.ids[letter] for letter in sorted(self.ids)])

    @property
    def holder(self) -> str:
        """The letter of the node that has the VIP in EC2; empty if none has it."""
        instance_id = self.pair.holder()
        return next((letter for letter, each in self.ids.items() if each == instance_id), "")

    def settings(self) -> list[str]:
        """The cluster's settings, section by section, without what Pacemaker writes itself."""
        node = self[sorted(self.ids)[0]]
        texts = [node.run("cibadmin", "--query", "--scope", section) for section in SECTIONS]
        return ["\n".join(line for line in text.splitlines() if not OWN.search(line)) for text in texts]

    def changed(self) -> list[str]:
        """The lines in which the cluster's settings differ from `wanted`."""
        ours, wanted = ("\n".join(texts).splitlines() for texts in (self.settings(), self.wanted))
        return list(difflib.unified_diff(wanted, ours, "wanted", "found", lineterm="", n=0))

    def become_whole(self) -> None:
        """Wait for the only right outcome: the instances form a whole pair, with the settings in `wanted`."""
        self.pair.wait_until_whole(LIMIT_S)
        for letter in self.ids:
            self.hears(letter, "bootstrap done")
        until = time.monotonic() + SETTLED_S
        while (changed := self.changed()) and time.monotonic() < until:
            time.sleep(0.5)
        assert not changed, "\n".join(changed)
        # By now everything that a bootstrap's last step may have set off is over: still nothing may be wrong.
        self.pair.wait_until_whole(LIMIT_S)
