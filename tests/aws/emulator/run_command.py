"""Systems Manager's Run Command for instances with an agent; moto would answer for any instance."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from . import authorization
from .errors import ApiError
from .http import Response
from .model import RUNNING, CommandedMachines
from .principals import Principals
from .world import World

Agent = Callable[[list[str]], tuple[int, str]]
"""An instance's SSM agent: it takes a command's lines and returns exit status and standard output."""

ACTIONS = ("DescribeInstanceInformation", "GetCommandInvocation", "SendCommand")
DOCUMENTS = ("AWS-RunShellScript",)
OUTPUT_LIMIT = 24000
"""Characters of output that GetCommandInvocation gives. Source: botocore, StandardOutputContent."""
DELIVERY_S = 3600
"""How long a command waits for its agent (s), if the call does not say it (assumed)."""
EXECUTION_S = 3600
"""How long a command may run (s), if the call does not say it (assumed)."""
AGAIN_S = 0.1
"""Time between two attempts to hand a command to a guest."""


class RunCommand:
    """The agents by instance, and the commands sent to them.

    An instance has an agent if a test adds one to `agents`, or if the machines run commands themselves. In the
    latter case it must be `running`, and its role must let the agent register: without
    ssm:UpdateInstanceInformation, an agent hibernates (aws/amazon-ssm-agent#374, #543).
    """

    def __init__(self, world: World, principals: Principals) -> None:
        self.agents: dict[str, Agent] = {}
        self._world, self._principals = world, principals
        self._invocations: dict[tuple[str, str], dict[str, Any]] = {}

    def respond(self, action: str, body: bytes) -> Response:
        """Answer one of ACTIONS. Raises ApiError in AWS's words. The caller holds the world's lock."""
        asked = json.loads(body or b"{}")
        if action == "DescribeInstanceInformation":
            answer = self._describe(asked)
        elif action == "SendCommand":
            answer = self._send(asked)
        else:
            answer = self._invocation(asked)
        return Response(200, json.dumps(answer).encode(), "application/x-amz-json-1.1")

    def _online(self, instance_id: str) -> bool:
        if instance_id in self.agents:
            return True
        world = self._world
        found = world.find_instance(instance_id)
        if not isinstance(world.lifecycle.machines, CommandedMachines):
            return False
        if found is None or found.state != RUNNING:
            return False
        agent, named = self._principals.of_instance(instance_id), {"InstanceId": instance_id}
        return agent is not None and authorization.allows(
            world, agent, "ssm", "UpdateInstanceInformation", named
        )

    def _describe(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = [f["Values"] for f in asked.get("Filters", []) if f["Key"] == "InstanceIds"]
        known = {*self.agents, *(found.id for found in self._world.ec2.all_instances())}
        found = [key for key in known if all(key in values for values in wanted) and self._online(key)]
        return {
            "InstanceInformationList": [{"InstanceId": key, "PingStatus": "Online"} for key in sorted(found)]
        }

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        if (document := asked["DocumentName"]) not in DOCUMENTS:
            # The text is assumed.
            raise ApiError(400, "InvalidDocument", f"Document with name {document} does not exist.")
        if "commands" not in asked.get("Parameters", {}):
            raise ApiError(400, "InvalidParameters", "")  # it needs them (botocore); AWS's text is unknown
        ids = asked["InstanceIds"]
        if missing := [key for key in ids if not self._online(key)]:
            # Instances without an agent and instances that do not exist get the same answer. Source of the
            # text: aws-samples/eks-security-compromised-cluster-remediation#12.
            raise ApiError(
                400,
                "InvalidInstanceId",
                f"Instances [[{', '.join(missing)}]] not in a valid state for account "
                f"{self._world.account_id}",
            )
        command = str(uuid.uuid4())
        for key in ids:
            self._invocations[command, key] = {
                "CommandId": command,
                "InstanceId": key,
                "DocumentName": document,
                **_state("Pending"),
            }
            threading.Thread(
                target=self._carry_out, args=(key, asked, self._invocations[command, key]), daemon=True
            ).start()
        return {"Command": {"CommandId": command, "InstanceIds": ids, "Status": "Pending"}}

    def _invocation(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._invocations.get((asked["CommandId"], asked["InstanceId"]))
        if found is None:
            raise ApiError(400, "InvocationDoesNotExist", "")
        return dict(found)

    def _carry_out(self, instance_id: str, asked: dict[str, Any], invocation: dict[str, Any]) -> None:
        """Hand the command to its agent and note how it ends, in the words of botocore's StatusDetails."""
        given = asked["Parameters"]
        lines = given["commands"]
        limit_s = float(given.get("executionTimeout", [EXECUTION_S])[0])
        until = self._world.clock() + asked.get("TimeoutSeconds", DELIVERY_S)
        invocation.update(_state("InProgress"))
        try:
            while (ended := self._attempt(instance_id, lines, limit_s)) is None:
                if self._world.clock() > until:
                    invocation.update(_state("TimedOut", "DeliveryTimedOut"))
                    return
                time.sleep(AGAIN_S)
        except TimeoutError:
            invocation.update(_state("TimedOut", "ExecutionTimedOut"))
            return
        status, output = ended
        invocation.update(_state("Success" if status == 0 else "Failed", code=status, output=output))

    def _attempt(self, instance_id: str, lines: list[str], limit_s: float) -> tuple[int, str] | None:
        if instance_id in self.agents:
            return self.agents[instance_id](lines)
        machines = self._world.lifecycle.machines
        with self._world.lock:
            online = self._online(instance_id)
        if not online or not isinstance(machines, CommandedMachines):
            return None
        return machines.run_command(instance_id, lines, limit_s)


def _state(status: str, details: str = "", *, code: int = -1, output: str = "") -> dict[str, Any]:
    """What an invocation says of its state. -1 means that the command has not ended (botocore, ResponseCode)."""
    return {
        "Status": status,
        "StatusDetails": details or status,
        "ResponseCode": code,
        "StandardOutputContent": output[:OUTPUT_LIMIT],
    }
