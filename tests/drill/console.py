"""What a node's bootstrap wrote to its console log, which its owner reads when nothing else answers."""

from __future__ import annotations

import base64
import re
from typing import Any

from botocore.exceptions import ClientError

LINE = re.compile(r"ec2vip: [^\r\n]*")
FAILED = "ec2vip: bootstrap failed: "
# These errors mean that the console is unavailable, not that the node failed: the caller lacks the right, the
# instance is gone, or EC2 does not show the console of its type.
SILENT = ("UnauthorizedOperation", "AccessDenied", "InvalidInstanceID.NotFound", "UnsupportedOperation")


def text(ec2: Any, instance_id: str) -> str:
    """The instance's console log from EC2; empty if EC2 does not show it to the caller."""
    # EC2 gives the latest output only for types on Nitro. For others it has the console from soon after the
    # last start.
    output = _output(ec2, instance_id, Latest=True)
    if output is None:
        output = _output(ec2, instance_id) or ""
    try:
        return base64.b64decode(output, validate=True).decode(errors="replace")
    except ValueError:
        return output


def _output(ec2: Any, instance_id: str, **more: bool) -> str | None:
    try:
        return str(ec2.get_console_output(InstanceId=instance_id, **more).get("Output", ""))
    except ClientError as error:
        if error.response["Error"]["Code"] not in SILENT:
            raise
        return None


def lines(ec2: Any, instance_id: str) -> list[str]:
    """The lines that the bootstrap wrote."""
    return LINE.findall(text(ec2, instance_id))


def failure(ec2: Any, instance_id: str) -> str:
    """The line with which the bootstrap gave up; empty if it did not, or has begun again since."""
    said = lines(ec2, instance_id)
    return said[-1] if said and said[-1].startswith(FAILED) else ""
