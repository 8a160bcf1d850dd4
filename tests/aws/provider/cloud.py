"""The connection to AWS or its emulator, and errors in the provider's words."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

GONE = ("NotFound", "NoSuchEntity", ".Unknown")
"""The error codes for absent objects contain one of these."""
SSM_TAGGING = ("AddTagsToResource", "ListTagsForResource", "RemoveTagsFromResource")
WAIT_S = 120.0
"""How long an object may take to reach the state that we wait for."""
POLL_S = 0.1


class ProviderError(Exception):
    """An operation has failed; the user reads the message."""


class Cloud:
    """Clients for one Region, with the credentials and the endpoint that boto3 finds in the environment."""

    def __init__(self, region: str) -> None:
        self.region = region
        # Not boto3's default session, because that keeps the first credentials that it finds.
        self._session = boto3.Session()

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
        """The client for the token service."""
        return self._client("sts")

    @functools.cached_property
    def account(self) -> str:
        """The number of the account that the credentials belong to."""
        return str(self.sts.get_caller_identity()["Account"])

    @property
    def partition(self) -> str:
        """The partition that the Region is in."""
        return str(self.ec2.meta.partition)

    def arn(self, kind: str, name: str, owner: str | None = None) -> str:
        """The ARN of an EC2 object, in its owner's account (by default our own)."""
        return f"arn:{self.partition}:ec2:{self.region}:{owner or self.account}:{kind}/{name}"

    def retag(self, object_id: str, old: dict[str, str], new: dict[str, str]) -> None:
        """Change an EC2 object's tags from the old ones to the new.

        Source: internal/service/ec2/tags_gen.go, updateTags. We delete a tag by key and value, so EC2 keeps a
        tag whose value has changed meanwhile.
        """
        gone, changed = tag_changes(old, new)
        if gone:
            self.ec2.delete_tags(Resources=[object_id], Tags=tag_list(gone))
        if changed:
            self.ec2.create_tags(Resources=[object_id], Tags=tag_list(changed))

    def _client(self, service: str) -> Any:
        return self._session.client(
            service,  # type: ignore[call-overload]
            region_name=self.region,
            config=Config(
                retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60
            ),
        )


def dns_suffix(partition: str) -> str:
    """The domain in which AWS's names in the partition end."""
    return "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"


def default_region() -> str | None:
    """The Region in the environment, or None."""
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


def tag_changes(old: dict[str, str], new: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The tags to remove and the tags to set, to get from the old ones to the new."""
    gone = {key: value for key, value in old.items() if key not in new}
    return gone, {key: value for key, value in new.items() if old.get(key) != value}


def by(**names: str) -> list[dict[str, Any]]:
    """Filters with one value each; in their names `_` stands for `-` and `__` for `.`."""
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in names.items()
    ]


@contextlib.contextmanager
def only_a_warning() -> Iterator[None]:
    """Ignore a failed call, because terraform-provider-aws only logs the error."""
    with contextlib.suppress(ClientError):
        yield


def code(error: ClientError) -> str:
    """The API's code for the error."""
    return str(error.response["Error"]["Code"])


def is_gone(error: ClientError) -> bool:
    """Whether the error says that the object is not there."""
    return any(word in code(error) for word in GONE)


def explain(doing: str, error: ClientError) -> str:
    """The error in the provider's words, followed by the AWS SDK for Go's own text."""
    meta = error.response.get("ResponseMetadata", {})
    service = {"ec2": "EC2", "iam": "IAM", "ssm": "SSM", "sts": "STS"}.get(_service(error), "AWS")
    return (
        f"{doing}: operation error {service}: {error.operation_name}, https response error StatusCode: "
        f"{meta.get('HTTPStatusCode', 0)}, RequestID: {meta.get('RequestId', '')}, api error {code(error)}: "
        f"{error.response['Error'].get('Message', '')}"
    )


def _service(error: ClientError) -> str:
    # botocore does not say which service an error is from, so we tell by the operation's name.
    operation = error.operation_name
    if operation.endswith(("Parameter", "Parameters")) or operation in SSM_TAGGING:
        return "ssm"
    if (
        any(word in operation for word in ("Role", "InstanceProfile", "Policy"))
        and "Associat" not in operation
    ):
        return "iam"
    return "sts" if operation == "GetCallerIdentity" else "ec2"


def wait_until(
    what: str, check: Callable[[], str], wanted: str, pending: tuple[str, ...], *, times: int = 1
) -> None:
    """Poll a state until it is the wanted one `times` in a row.

    Raises ProviderError for a state that is neither wanted nor pending, and after WAIT_S.
    """
    deadline = time.monotonic() + WAIT_S
    seen = 0
    while True:
        state = check()
        seen = seen + 1 if state == wanted else 0
        if seen == times:
            return
        if state != wanted and state not in pending:
            raise ProviderError(f"waiting for {what}: unexpected state '{state}', wanted target '{wanted}'")
        if time.monotonic() > deadline:
            raise ProviderError(
                f"waiting for {what}: timeout while waiting for state to become '{wanted}' (last state: '{state}')"
            )
        time.sleep(POLL_S)


def wait_until_there(what: str, look: Callable[[], object], *, times: int = 1) -> None:
    """Look for an object until we find it `times` in a row. Raises ProviderError after WAIT_S."""
    wait_until(what, lambda: "there" if found(look) else "absent", "there", ("absent",), times=times)


def wait_until_gone(what: str, look: Callable[[], object]) -> None:
    """Look for an object until it is gone. Raises ProviderError after WAIT_S."""
    wait_until(what, lambda: "there" if found(look) else "absent", "absent", ("there",))


def found(look: Callable[[], object]) -> bool:
    """Whether a look-up finds something. An empty answer or AWS's "not found" means no."""
    try:
        return bool(look())
    except ClientError as e:
        if is_gone(e):
            return False
        raise


def retried(codes: tuple[str, ...], attempt: Callable[[], Any], texts: tuple[str, ...] = ("",)) -> Any:
    """Repeat an attempt while it fails with one of the codes and one of the texts in its message.

    Returns what the attempt returns. Compares codes whole, as the SDK does. After WAIT_S it raises the last
    error; it raises any other error at once.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return attempt()
        except ClientError as e:
            message = e.response["Error"].get("Message", "")
            passing = code(e) in codes and any(text in message for text in texts)
            if not passing or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def absent(what: str) -> NoReturn:
    """Raise ProviderError because a look-up found nothing, in the provider's words."""
    raise ProviderError(f"no matching {what} found")
