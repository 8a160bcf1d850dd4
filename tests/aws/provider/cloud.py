"""The way to AWS, or to what stands for it, and errors as the provider words them."""

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
        # One of its own: boto3's default session keeps the first credentials that it finds.
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
        """The ARN of one of EC2's objects, of its owner's account or of one's own."""
        return f"arn:{self.partition}:ec2:{self.region}:{owner or self.account}:{kind}/{name}"

    def retag(self, object_id: str, old: dict[str, str], new: dict[str, str]) -> None:
        """Change an EC2 object's tags from the old ones to the new (internal/service/ec2/tags_gen.go, updateTags).

        A tag is deleted with its value: EC2 leaves one alone whose value has changed meanwhile.
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
    """What names of AWS's in the partition end in."""
    return "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"


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


def tag_changes(old: dict[str, str], new: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The tags to remove, and those to set, on the way from the old ones to the new."""
    gone = {key: value for key, value in old.items() if key not in new}
    return gone, {key: value for key, value in new.items() if old.get(key) != value}


def by(**names: str) -> list[dict[str, Any]]:
    """Filters by their names, `_` for `-` and `__` for `.`, each for one value."""
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in names.items()
    ]


@contextlib.contextmanager
def only_a_warning() -> Iterator[None]:
    """Go on if a call fails, where terraform-provider-aws only writes the error to its log."""
    with contextlib.suppress(ClientError):
        yield


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


def wait_until(
    what: str, check: Callable[[], str], wanted: str, pending: tuple[str, ...], *, times: int = 1
) -> None:
    """Ask for a state until it is the wanted one, `times` in a row.

    Raises ProviderError for a state that is not on the way there, and if that takes longer than WAIT_S.
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
    """Look for an object until it is there, `times` in a row. Raises ProviderError after WAIT_S."""
    wait_until(what, lambda: "there" if found(look) else "absent", "there", ("absent",), times=times)


def wait_until_gone(what: str, look: Callable[[], object]) -> None:
    """Look for an object until it is not there. Raises ProviderError after WAIT_S."""
    wait_until(what, lambda: "there" if found(look) else "absent", "absent", ("there",))


def found(look: Callable[[], object]) -> bool:
    """Whether a look-up finds something: an empty answer and AWS's "not found" are no."""
    try:
        return bool(look())
    except ClientError as e:
        if is_gone(e):
            return False
        raise


def retried(codes: tuple[str, ...], attempt: Callable[[], Any], texts: tuple[str, ...] = ("",)) -> Any:
    """What an attempt returns, repeated while it fails with one of the codes and one of the texts in its message.

    Codes are compared whole, as the SDK does. It gives up after WAIT_S and raises what the last one raised.
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
    """Say that a look-up has found nothing, in the provider's words."""
    raise ProviderError(f"no matching {what} found")
