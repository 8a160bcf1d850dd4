#!/usr/bin/python3 -I
"""Puts Corosync's key on this node: ec2vip-key ARN DIGEST FILE.

The key is not in the user data, which everyone with ec2:DescribeInstanceAttribute can read, but in a SecureString
of the Systems Manager, in base64, which this instance's role may read.

Where that fails the last line on standard error says why, and the exit code is 1; the caller bounds the time and
tries again. The key is in no message.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys

sys.path.insert(0, "/usr/lib/ocf/lib/ec2vip")

from agent.api import Api
from agent.metadata import Metadata
from agent.outcome import Deadline
from agent.record import Record

LIMIT_S = 30.0  # for all of it; the bootstrap tries again


def fetch(api: Api, name: str, digest: str) -> bytes:
    """The key that this node was made for, told by the first digits of its SHA-256.

    Raises ValueError if there is none, or if the parameter holds another: the Systems Manager may show the old
    one for a moment.
    """
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParameter"}
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()
    status, _, answer = api.post(headers, body)
    if status != 200:
        raise ValueError(f"{name}: {status} {answer[:500]!r}")
    key = base64.b64decode(json.loads(answer)["Parameter"]["Value"], validate=True)
    if not hashlib.sha256(key).hexdigest().startswith(digest):
        raise ValueError(f"{name} has another key than this node was made for")
    return key


def keep(key: bytes, path: str) -> None:
    """Write the key for root's eyes only, whole or not at all."""
    aside = path + "~"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400), "wb") as file:  # noqa: PTH123
        file.write(key)
    os.replace(aside, path)  # noqa: PTH105


def main(arn: str, digest: str, path: str) -> int:
    """Do it; the exit code."""
    try:
        until = Deadline(LIMIT_S)
        imds, known = Metadata(until), Record("", "")
        vars(known).update(imds.identity(), **imds.credentials()[0], region=arn.split(":")[3])
        # A name in folders starts with a slash, and its ARN says `parameter` before that.
        keep(fetch(Api("ssm", known, until), arn.split(":parameter", 1)[1], digest), path)
    except Exception as error:  # whatever it is, it belongs on the console
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
