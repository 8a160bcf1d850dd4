"""A way to EC2 beside Pulumi's: the same account and Region that its AWS provider is configured for."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import pulumi
from botocore.config import Config

# Seconds, and tries. A look at EC2 is repeated anyway, so no single one may take long.
CONNECT_S, ANSWER_S, TRIES = 5, 15, 4
SESSION_NAME = "ec2vip"


def ec2_client() -> Any:
    """A boto3 client for EC2 that is configured as the stack's default AWS provider is.

    Taken from the stack's settings are `aws:region`, `aws:profile`, `aws:accessKey` with `aws:secretKey` and
    `aws:token`, and `aws:assumeRoles`; what they leave open comes from the environment, as for the provider.
    Raises botocore's errors where there is no Region, or the roles cannot be assumed.
    """
    settings = pulumi.Config("aws")
    region = settings.get("region") or os.environ.get("AWS_REGION")
    session = boto3.Session(
        profile_name=settings.get("profile"),
        region_name=region,
        aws_access_key_id=settings.get("accessKey"),
        aws_secret_access_key=settings.get("secretKey"),
        aws_session_token=settings.get("token"),
    )
    for role in json.loads(settings.get("assumeRoles") or "[]"):
        session = _as(session, role)
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
    )
    return session.client("ec2", config=config)


def _as(session: boto3.Session, role: dict[str, Any]) -> boto3.Session:
    """A session of the role that one entry of `aws:assumeRoles` names, taken by `session`."""
    wanted = {
        "RoleArn": role["roleArn"],
        "RoleSessionName": role.get("sessionName") or SESSION_NAME,
        "ExternalId": role.get("externalId"),
    }
    answer = session.client("sts").assume_role(**{name: value for name, value in wanted.items() if value})
    given = answer["Credentials"]
    return boto3.Session(
        region_name=session.region_name,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
