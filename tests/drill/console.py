"""What a node's bootstrap said on its console log, where its owner looks when nothing else answers."""

from __future__ import annotations

import base64
import re
from typing import Any

from botocore.exceptions import ClientError

LINE = re.compile(r"ec2vip: [^\r\n]*")
FAILED = "ec2vip: bootstrap failed: "
# To be told nothing is not to know, and no flaw: not allowed, gone, or of a kind whose console EC2 does not show.
SILENT = ("UnauthorizedOperation", "AccessDenied", "InvalidInstanceID.NotFound", "UnsupportedOperation")


def text(ec2: Any, instance_id: str) -> str:
    """The instance's console log as EC2 shows it; empty where it does not show it to the caller."""
    # The latest is known of the kinds on Nitro alone; of others, what the console had soon after the last start.
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
    """What the bootstrap said, line by line."""
    return LINE.findall(text(ec2, instance_id))


def failure(ec2: Any, instance_id: str) -> str:
    """The line with which the bootstrap gave up; empty where it did not, or was begun again since."""
    said = lines(ec2, instance_id)
    return said[-1] if said and said[-1].startswith(FAILED) else ""
