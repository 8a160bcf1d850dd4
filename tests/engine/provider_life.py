"""Drives the AWS provider's stand-in in this process: its objects' lives, and the calls of each step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2 as pb

from tests.aws.provider.call_table import condense, flat
from tests.aws.provider.calls import RESOURCES
from tests.aws.provider.messages import to_struct, to_values
from tests.aws.provider.registry import TYPES
from tests.aws.provider.service import Provider

from .cloud import REGION, Cloud

URN = "urn:pulumi:test::ec2vip::{token}::thing"
OPERATIONS = ("create", "read", "update", "delete")


class RefusedError(Exception):
    """Raised by `Context.abort`, with the status and the text."""


@dataclass
class Context:
    """A stand-in for the context of a gRPC call."""

    trailing: list[Any] = field(default_factory=list)

    def abort(self, status: grpc.StatusCode, text: str) -> None:
        raise RefusedError(f"{status.name}: {text}")

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailing.extend(metadata)


def context() -> Any:
    """A context for one call."""
    return Context()


@contextlib.contextmanager
def environment(cloud: Cloud, key: tuple[str, str] | None = None) -> Iterator[None]:
    """Point boto3 at the cloud, with an access key or the administrator's."""
    stack = cloud.stack("in-process", key=key) if key else cloud.stack("in-process")
    with pytest.MonkeyPatch.context() as env:
        for name, value in stack.environment.items():
            if name.startswith("AWS_"):
                env.setenv(name, value)
        yield


def provider_of(cloud: Cloud, key: tuple[str, str] | None = None) -> Provider:
    """A provider configured for the cloud, with an access key or the administrator's."""
    with environment(cloud, key):
        provider = Provider()
        provider.Configure(pb.ConfigureRequest(args=to_struct({"region": REGION})), context())
        # The provider creates its clients once, so we create them while the environment points at the cloud.
        clients = (provider.cloud.ec2, provider.cloud.iam, provider.cloud.ssm, provider.cloud.sts)
        assert {client.meta.endpoint_url for client in clients} == {cloud.url}
        assert provider.cloud.account == cloud.emulator.account_id
    return provider


class Life:
    """The life of one type's objects, one after the other. Each step must make the calls in `calls.py`.

    `used` are the rows of the table that were used so far, by operation. `left_behind` are the properties that a
    failed update reports.
    """

    def __init__(self, provider: Provider, cloud: Cloud, token: str) -> None:
        self.provider, self.cloud, self.token = provider, cloud, token
        self.used: dict[str, set[int]] = {operation: set() for operation in OPERATIONS}
        self.id = ""
        self.inputs: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.left_behind: dict[str, Any] = {}

    def create(self, **inputs: Any) -> dict[str, Any]:
        """Create an object; returns its properties."""
        self.inputs = self._checked(inputs, {})
        request = pb.CreateRequest(urn=self._urn, type=self.token, properties=to_struct(self.inputs))
        with self._recorded("create"):
            made = self.provider.Create(request, context())
        self.id, self.state = made.id, to_values(made.properties)
        return self.state

    def read(self) -> dict[str, Any] | None:
        """Refresh the object; returns its properties, or None if it is gone."""
        request = pb.ReadRequest(
            id=self.id,
            urn=self._urn,
            type=self.token,
            properties=to_struct(self.state),
            inputs=to_struct(self.inputs),
        )
        with self._recorded("read"):
            answer = self.provider.Read(request, context())
        if not answer.id:
            return None
        self.state = to_values(answer.properties)
        return self.state

    def settled(self) -> None:
        """Refresh the object; fails unless it exists and matches its inputs."""
        assert self.read() is not None
        assert self.changes() == []

    def read_gone(self) -> bool:
        """Whether a refresh finds nothing; does not compare its calls with the table."""
        request = pb.ReadRequest(id=self.id, urn=self._urn, type=self.token, properties=to_struct(self.state))
        return not self.provider.Read(request, context()).id

    def update(self, **changes: Any) -> dict[str, Any]:
        """Change the object in place; None removes an input. Fails if the change needs a replacement."""
        inputs = self._checked({**self.inputs, **changes}, self.inputs)
        assert self.changes(inputs), "nothing changes"
        request = pb.UpdateRequest(
            id=self.id,
            urn=self._urn,
            type=self.token,
            olds=to_struct(self.state),
            old_inputs=to_struct(self.inputs),
            news=to_struct(inputs),
        )
        call = context()
        try:
            with self._recorded("update"):
                answer = self.provider.Update(request, call)
        finally:
            self.left_behind = _left_behind(call)
        self.inputs, self.state = inputs, to_values(answer.properties)
        return self.state

    def mend(self) -> dict[str, Any]:
        """Refresh the object, then undo what somebody has changed."""
        assert self.read() is not None
        return self.update()

    def end(self) -> None:
        """Delete the object; fails if a refresh still finds it."""
        self.delete()
        assert self.read_gone()

    def delete(self) -> None:
        """Delete the object."""
        request = pb.DeleteRequest(
            id=self.id, urn=self._urn, type=self.token, properties=to_struct(self.state)
        )
        with self._recorded("delete"):
            self.provider.Delete(request, context())

    def changes(self, inputs: dict[str, Any] | None = None) -> list[str]:
        """The paths where the object differs from the inputs. Fails if a difference needs a replacement."""
        request = pb.DiffRequest(
            id=self.id,
            urn=self._urn,
            type=self.token,
            olds=to_struct(self.state),
            old_inputs=to_struct(self.inputs),
            news=to_struct(self.inputs if inputs is None else inputs),
        )
        answer = self.provider.Diff(request, context())
        assert not answer.replaces, f"another object for {list(answer.replaces)}"
        return sorted(answer.detailedDiff)

    def idle(self) -> list[str]:
        """The rows of the table that no step has used."""
        table = RESOURCES[self.token]
        return [
            f"{operation}: {call.action} ({place})"
            for operation in OPERATIONS
            if operation != "update" or _updates(self.token)
            for place, call in enumerate(flat(table.own(operation)))
            if place not in self.used[operation]
        ]

    @property
    def _urn(self) -> str:
        return URN.format(token=self.token)

    def _checked(self, inputs: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in inputs.items() if value is not None}
        request = pb.CheckRequest(
            urn=self._urn, type=self.token, news=to_struct(given), olds=to_struct(before), randomSeed=b"seed"
        )
        answer = self.provider.Check(request, context())
        assert not answer.failures, list(answer.failures)
        return to_values(answer.inputs)

    @contextlib.contextmanager
    def _recorded(self, operation: str) -> Iterator[None]:
        already = len(self.cloud.calls)
        yield
        calls = self.cloud.calls[already:]
        used = condense(RESOURCES[self.token].rows(operation), calls)
        assert used is not None, f"{operation} of {self.token} is not as in the table: {calls}"
        self.used[operation] |= used


def _left_behind(call: Any) -> dict[str, Any]:
    """The properties in the details of a failed call."""
    for _, serialized in call.trailing:
        failed = pb.ErrorResourceInitFailed()
        status_pb2.Status.FromString(serialized).details[0].Unpack(failed)
        return to_values(failed.properties)
    return {}


def _updates(token: str) -> bool:
    """Whether any input of the type can change in place."""
    return any(
        prop.replaces is not True and not prop.unread and name != "region"
        for name, prop in TYPES[token].inputs.items()
    )
