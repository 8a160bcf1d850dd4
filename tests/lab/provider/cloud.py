"""The way to AWS, or to what stands for it, and errors as the provider words them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

GONE = ("NotFound", "NoSuchEntity", ".Unknown")
"""What the codes of errors about absent objects contain."""
SSM_TAGGING = ("AddTagsToResource", "ListTagsForResource", "RemoveTagsFromResource")
WAIT_S = 120.0
"""How long an object may take to reach the state that it is waited for in."""
POLL_S = 0.1


class ProviderError(Exception):
    """What the user reads as the outcome of an operation."""


class Cloud:
    """Clients for one Region, with the credentials and the endpoint that boto3 finds in the environment."""

    def __init__(self, region: str) -> None:
        self.region = region

    @functools.cached_property
    def ec2(self) -> Any:
        """The client for EC2."""
        return self._client("ec2")

    @functools.cached_property
    def iam(self) -> Any:
        """The client for IAM."""
        return self._client("iam")

    @functools.cached_property
    def ssm(self) -> Any:
        """The client for Systems Manager."""
        return self._client("ssm")

    @functools.cached_property
    def sts(self) -> Any:
        """The client for STS."""
        return self._client("sts")

    @functools.cached_property
    def account(self) -> str:
        """The number of the account that the credentials belong to."""
        return str(self.sts.get_caller_identity()["Account"])

    def arn(self, kind: str, name: str) -> str:
        """The ARN of one of EC2's objects."""
        return f"arn:{self.ec2.meta.partition}:ec2:{self.region}:{self.account}:{kind}/{name}"

    def retag(self, object_id: str, old: dict[str, str], new: dict[str, str]) -> None:
        """Change an EC2 object's tags from the old ones to the new."""
        gone = [{"Key": key} for key in old if key not in new]
        if gone:
            self.ec2.delete_tags(Resources=[object_id], Tags=gone)
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        if changed:
            self.ec2.create_tags(Resources=[object_id], Tags=tag_list(changed))

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=self.region,
            config=Config(
                retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60
            ),
        )


def default_region() -> str | None:
    """The Region of the environment."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags: Iterable[dict[str, str]] | None) -> dict[str, str]:
    """Tags as Pulumi has them."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def tag_specification(kind: str, tags: dict[str, str] | None) -> dict[str, Any]:
    """The argument that tags a new EC2 object, or nothing."""
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tag_list(tags)}]} if tags else {}


def code(error: ClientError) -> str:
    """The API's code for the error."""
    return str(error.response["Error"]["Code"])


def is_gone(error: ClientError) -> bool:
    """Whether the error says that the object is not there."""
    return any(word in code(error) for word in GONE)


def explain(doing: str, error: ClientError) -> str:
    """The error as the provider words it, under the AWS SDK for Go's own text."""
    meta = error.response.get("ResponseMetadata", {})
    service = {"ec2": "EC2", "iam": "IAM", "ssm": "SSM", "sts": "STS"}.get(_service(error), "AWS")
    return (
        f"{doing}: operation error {service}: {error.operation_name}, https response error StatusCode: "
        f"{meta.get('HTTPStatusCode', 0)}, RequestID: {meta.get('RequestId', '')}, api error {code(error)}: "
        f"{error.response['Error'].get('Message', '')}"
    )


def _service(error: ClientError) -> str:
    # botocore does not say which service an error is from; the names of the operations tell.
    operation = error.operation_name
    if operation.endswith(("Parameter", "Parameters")) or operation in SSM_TAGGING:
        return "ssm"
    if (
        any(word in operation for word in ("Role", "InstanceProfile", "Policy"))
        and "Associat" not in operation
    ):
        return "iam"
    return "sts" if operation == "GetCallerIdentity" else "ec2"


def wait_until(what: str, check: Callable[[], str], wanted: str, pending: tuple[str, ...]) -> None:
    """Ask for a state until it is the wanted one. Raises ProviderError for one not on the way there."""
    deadline = time.monotonic() + WAIT_S
    while (state := check()) != wanted:
        if state not in pending:
            raise ProviderError(f"waiting for {what}: unexpected state '{state}', wanted target '{wanted}'")
        if time.monotonic() > deadline:
            raise ProviderError(
                f"waiting for {what}: timeout while waiting for state to become '{wanted}' (last state: '{state}')"
            )
        time.sleep(POLL_S)


def retry_while(codes: tuple[str, ...], attempt: Callable[[], object]) -> None:
    """Repeat an attempt that fails with one of the codes, for an object that others still hold on to."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            attempt()
        except ClientError as e:
            if code(e) not in codes or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return


def absent(what: str) -> NoReturn:
    """Say that a look-up has found nothing, in the provider's words."""
    raise ProviderError(f"no matching {what} found")
