"""Commands on instances by SSM Run Command, for whoever has no shell there."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

SSM_DOCUMENT = "AWS-RunShellScript"
SSM_ENDED = ("Success", "Failed", "TimedOut", "Cancelled", "Undeliverable", "Terminated")
SSM_RAN = ("Success", "Failed")
"""The ends of a command that has an exit status."""
POLL_S = 0.5
"""Time between two looks whether a command has ended (s)."""
DELIVERY_S = 30
"""How long SSM may hold a command for a booting node (s). SSM accepts no shorter time."""
COMMAND_S = 90
"""How long a command may run on a node."""
OUTPUT_CHARACTERS = 24000
"""Characters of a command's output that Run Command gives. Source: botocore, StandardOutputContent."""


class Commands:
    """Run Command with a client of the Systems Manager. Commands run as root."""

    def __init__(self, ssm: Any) -> None:
        self._ssm = ssm

    def online(self, instance_ids: Sequence[str]) -> set[str]:
        """Those of the instances whose SSM agent is online. Raises ClientError if the caller may not ask."""
        known = self._ssm.describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": list(instance_ids)}]
        )["InstanceInformationList"]
        return {item["InstanceId"] for item in known if item["PingStatus"] == "Online"}

    def run(self, instance_id: str, argv: Sequence[str]) -> str | None:
        """The output of a command on an instance; None if it failed or the instance cannot be reached."""
        ended = self.script(instance_id, shlex.join(argv))
        return ended[1] if ended is not None and ended[0] == 0 else None

    def script(
        self, instance_id: str, text: str, pause: Callable[[float], object] = time.sleep
    ) -> tuple[int, str] | None:
        """The exit status and output of a shell script; None if the instance cannot be reached.

        We wait by `pause(seconds)`. If that raises, the script goes on, and nobody reads its output. The
        output ends after OUTPUT_CHARACTERS. Raises ClientError if the caller may not send commands.
        """
        try:
            sent = self._ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName=SSM_DOCUMENT,
                Parameters={"commands": [text], "executionTimeout": [str(COMMAND_S)]},
                TimeoutSeconds=DELIVERY_S,
            )
        except self._ssm.exceptions.InvalidInstanceId:
            return None
        # SSM itself gives up by then, so the command cannot run after we have returned.
        deadline = time.monotonic() + DELIVERY_S + COMMAND_S + 10
        while time.monotonic() < deadline:
            pause(POLL_S)
            try:
                seen = self._ssm.get_command_invocation(
                    CommandId=sent["Command"]["CommandId"], InstanceId=instance_id
                )
            except self._ssm.exceptions.InvocationDoesNotExist:
                continue  # not there yet
            if seen["Status"] in SSM_RAN:
                return int(seen["ResponseCode"]), str(seen["StandardOutputContent"])
            if seen["Status"] in SSM_ENDED:
                return None
        return None
