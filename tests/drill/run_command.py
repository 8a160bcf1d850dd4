"""Commands on instances by SSM Run Command, for whoever has no shell there."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any

SSM_DOCUMENT = "AWS-RunShellScript"
SSM_ENDED = ("Success", "Failed", "TimedOut", "Cancelled", "Undeliverable", "Terminated")
POLL_S = 0.5
"""Time between two looks whether a command has ended (s)."""
DELIVERY_S = 30
"""How long SSM may hold a command for a booting node (s). SSM accepts no shorter time."""
COMMAND_S = 90
"""How long a command may run on a node."""


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
        try:
            sent = self._ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName=SSM_DOCUMENT,
                Parameters={"commands": [shlex.join(argv)], "executionTimeout": [str(COMMAND_S)]},
                TimeoutSeconds=DELIVERY_S,
            )
        except self._ssm.exceptions.InvalidInstanceId:
            return None
        # SSM itself gives up by then, so the command cannot run after we have returned.
        deadline = time.monotonic() + DELIVERY_S + COMMAND_S + 10
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            try:
                seen = self._ssm.get_command_invocation(
                    CommandId=sent["Command"]["CommandId"], InstanceId=instance_id
                )
            except self._ssm.exceptions.InvocationDoesNotExist:
                continue  # not there yet
            if seen["Status"] in SSM_ENDED:
                return str(seen["StandardOutputContent"]) if seen["Status"] == "Success" else None
        return None
