#!/usr/bin/python3 -I
"""Decodes a Systems Manager parameter from base64 into a file: ec2vip-parameter ARN DIGEST FILE.

Not everything can be in the user data: everyone with ec2:DescribeInstanceAttribute can read them, and they have
little room. This instance's role may read its own pair's parameters.

On failure the last line on standard error says why, and the exit code is 1. The caller bounds the time and tries
again. No message has what the parameter holds, which may be secret.
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
    """What the parameter holds; `digest` is its SHA-256, or the first digits of that.

    Raises ValueError if there is no such parameter, or if it holds something else: after a change Systems Manager
    may return the old value for a moment.
    """
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParameter"}
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()
    status, _, answer = api.post(headers, body)
    if status != 200:
        raise ValueError(f"{name}: {status} {answer[:500]!r}")
    content = base64.b64decode(json.loads(answer)["Parameter"]["Value"], validate=True)
    if not hashlib.sha256(content).hexdigest().startswith(digest):
        raise ValueError(f"{name} holds something else than this node was made for")
    return content


def keep(content: bytes, path: str) -> None:
    """Write a file that only root can read, whole or not at all."""
    aside = path + "~"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400), "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # it must be on the disk before the bootstrap marks it as fetched
    os.replace(aside, path)  # noqa: PTH105


def main(arn: str, digest: str, path: str) -> int:
    """Fetch the parameter into the file; return the exit code."""
    try:
        until = Deadline(LIMIT_S)
        imds, known = Metadata(until), Record("", "")
        vars(known).update(imds.identity(), **imds.credentials()[0], region=arn.split(":")[3])
        # A hierarchical name starts with a slash, and its ARN has `parameter` right before that.
        keep(fetch(Api("ssm", known, until), arn.split(":parameter", 1)[1], digest), path)
    except Exception as error:  # whatever it is, it belongs on the console
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
