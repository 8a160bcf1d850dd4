"""Systems Manager's Run Command for instances with an agent; moto would answer for any instance."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from .errors import ApiError
from .http import Response

Agent = Callable[[list[str]], tuple[int, str]]
"""An instance's SSM agent: it takes a command's lines and returns exit status and standard output."""

ACTIONS = ("DescribeInstanceInformation", "GetCommandInvocation", "SendCommand")
OUTPUT_LIMIT = 24000
"""Characters of output that GetCommandInvocation gives. Source: botocore, StandardOutputContent."""


class RunCommand:
    """The agents by instance, and the commands sent to them. There are no agents until a test adds one."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}
        self._invocations: dict[tuple[str, str], dict[str, Any]] = {}

    def respond(self, action: str, body: bytes) -> Response:
        """Answer one of ACTIONS. Raises ApiError in AWS's words."""
        asked = json.loads(body or b"{}")
        if action == "DescribeInstanceInformation":
            answer = self._describe(asked)
        elif action == "SendCommand":
            answer = self._send(asked)
        else:
            answer = self._invocation(asked)
        return Response(200, json.dumps(answer).encode(), "application/x-amz-json-1.1")

    def _describe(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = [f["Values"] for f in asked.get("Filters", []) if f["Key"] == "InstanceIds"]
        found = [key for key in self.agents if all(key in values for values in wanted)]
        return {
            "InstanceInformationList": [{"InstanceId": key, "PingStatus": "Online"} for key in sorted(found)]
        }

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids = asked["InstanceIds"]
        if missing := [key for key in ids if key not in self.agents]:
            # Instances without an agent and instances that do not exist get the same answer.
            raise ApiError(
                400, "InvalidInstanceId", f"Instances [{missing}] not in a valid state for account"
            )
        command = str(uuid.uuid4())
        for key in ids:
            invocation = {"CommandId": command, "InstanceId": key, "Status": "InProgress"}
            self._invocations[command, key] = invocation
            lines = asked["Parameters"]["commands"]
            threading.Thread(
                target=_carry_out, args=(self.agents[key], lines, invocation), daemon=True
            ).start()
        return {"Command": {"CommandId": command, "InstanceIds": ids, "Status": "Pending"}}

    def _invocation(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._invocations.get((asked["CommandId"], asked["InstanceId"]))
        if found is None:
            raise ApiError(400, "InvocationDoesNotExist", "")
        return dict(found)


def _carry_out(agent: Agent, lines: list[str], invocation: dict[str, Any]) -> None:
    status, output = agent(lines)
    invocation.update(
        ResponseCode=status,
        StandardOutputContent=output[:OUTPUT_LIMIT],
        Status="Success" if status == 0 else "Failed",
    )
