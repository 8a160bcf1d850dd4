"""A preflight whose AWS answers as a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.stub import Stubber

from tests.drill.prove.preflight import Asked

POLICY = {
    "Statement": [
        {
            "Sid": "A",
            "Effect": "Allow",
            "Action": ["ec2:StopInstances", "ec2:StartInstances"],
            "Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*",
            "Condition": {
                "StringEquals": {"aws:ResourceTag/team": "a"},
                "StringLike": {"aws:ResourceTag/run": "*"},
                "Null": {"aws:RequestTag/team": "true"},
                "ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]},
            },
        }
    ]
}


def session_of(key: tuple[str, str]) -> boto3.Session:
    return boto3.Session(aws_access_key_id=key[0], aws_secret_access_key=key[1], region_name="us-east-1")


class Stubbed(Asked):
    """Asks with clients whose answers a test gives, in the order of the calls."""

    def __init__(self, settings: Mapping[str, Any], policies: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(session_of(("key", "secret")), settings, policies)
        self._stubs: dict[str, Stubber] = {}

    def _stub(self, service: str) -> Stubber:
        if service not in self._stubs:
            self._stubs[service] = Stubber(self.client(service))
            self._stubs[service].activate()
        return self._stubs[service]

    def answer(self, service: str, call: str, answer: Mapping[str, Any], asked: Any = None) -> None:
        self._stub(service).add_response(call, dict(answer), asked)

    def refuse(self, service: str, call: str, code: str) -> None:
        self._stub(service).add_client_error(call, code)
