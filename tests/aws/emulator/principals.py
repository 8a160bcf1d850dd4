"""Identifies callers: the account's administrator, an IAM user, or an instance in a role."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import policy, signing
from .errors import ApiError
from .http import Request
from .world import World

RENEW_BEFORE_S = 300  # new role credentials appear five minutes before the old ones expire; EC2 user guide


@dataclass(frozen=True)
class Principal:
    """A caller with a valid signature.

    `policies` is None for the administrator, who may do everything. If there is a `boundary`, it must allow an
    action too (IAM user guide, "Permissions boundaries for IAM entities").
    """

    arn: str
    policies: tuple[Mapping[str, Any], ...] | None
    boundary: Mapping[str, Any] | None = None
    role: str | None = None
    instance_id: str | None = None


class Principals:
    """Issues role credentials, and identifies who signed a request."""

    def __init__(self, world: World, administrator: tuple[str, str]) -> None:
        self._world = world
        self._administrator = administrator
        self._issued: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def credentials(self, instance_id: str, role: Any) -> Any:
        """The role's credentials for an instance: the last ones, or new ones if those expire soon.

        We renew them RENEW_BEFORE_S before they expire, but not before half of their lifetime is over.
        """
        world = self._world
        now, lifetime = world.clock(), world.settings.credential_lifetime_s
        with self._lock, world.lock:
            current = self._issued.get((instance_id, role.arn))
            if current is None or _ends(current) - now < min(RENEW_BEFORE_S, lifetime / 2):
                current = world.sts.assume_role(
                    region_name=world.region,
                    role_session_name=instance_id,
                    role_arn=role.arn,
                    policy=None,
                    duration=int(lifetime),
                    external_id=None,
                )
                current.issued = datetime.fromtimestamp(now, timezone.utc)
                current.expiration = datetime.fromtimestamp(now + lifetime, timezone.utc)
                self._issued[instance_id, role.arn] = current
            return current

    def session_instance(self, access_key_id: str) -> str | None:
        """The instance that an access key was issued to, or None. The caller is not verified."""
        with self._lock:
            issued = dict(self._issued)
        return next((i for (i, _), each in issued.items() if each.access_key_id == access_key_id), None)

    def of_instance(self, instance_id: str) -> Principal | None:
        """The caller that an instance is with its role's credentials; None if it can have none.

        The caller holds the world's lock.
        """
        profile = self._world.profile_of(instance_id)
        role = profile.roles[0] if profile is not None and profile.roles else None
        if role is None or not trusted_by_ec2(self._world, role):
            return None
        return self._in_role(role, instance_id)

    def identify(
        self, request: Request, signature: signing.Signature | None, instance_id: str | None
    ) -> Principal:
        """Return who signed the request, by the clock of the instance it came from.

        The caller holds the world's lock. Raises ApiError: `MissingAuthenticationToken` for an unsigned
        request; `AuthFailure`, or the query services' `InvalidClientTokenId` and `SignatureDoesNotMatch`, for
        invalid credentials; `RequestExpired` for a stale time stamp. Expired role credentials get
        `RequestExpired` from EC2 (EC2 API error codes) and `ExpiredToken` from the other services.
        """
        if signature is None:
            raise ApiError(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
        self._check_time(request, signature, instance_id)
        key_id, secret = self._administrator
        if signature.access_key_id == key_id:
            self._check_signature(request, signature, secret)
            return Principal(arn=self._world.arn("iam", "root", region=""), policies=None)
        session = self._world.sts.get_assumed_role_from_access_key(signature.access_key_id)
        if session is not None:
            return self._session(session, request, signature)
        user = self._world.iam.get_user_from_access_key_id(signature.access_key_id)
        if user is not None:
            key = next(k for k in user.access_keys if k.access_key_id == signature.access_key_id)
            if key.status != "Active":
                raise _unknown_key(signature.service)
            self._check_signature(request, signature, key.secret_access_key)
            return Principal(arn=user.arn, policies=tuple(self._user_policies(user)))
        raise _unknown_key(signature.service)

    def _session(self, session: Any, request: Request, signature: signing.Signature) -> Principal:
        if request.headers.get("X-Amz-Security-Token") != session.session_token:
            raise _unknown_key(signature.service)
        self._check_signature(request, signature, session.secret_access_key)
        if _ends(session) <= self._world.clock():
            if signature.service == "ec2":
                raise ApiError(400, "RequestExpired", "Request has expired.")
            raise ApiError(403, "ExpiredToken", "The security token included in the request is expired")
        role = next((each for each in self._world.iam.roles.values() if each.arn == session.role_arn), None)
        if role is None:
            raise _unknown_key(signature.service)
        return self._in_role(role, session.session_name)

    def _in_role(self, role: Any, name: str) -> Principal:
        return Principal(
            arn=self._world.arn("sts", f"assumed-role/{role.name}/{name}", region=""),
            policies=tuple(self._role_policies(role)),
            boundary=self._boundary(role.permissions_boundary_arn),
            role=role.name,
            instance_id=name if name.startswith("i-") else None,
        )

    def _check_time(self, request: Request, signature: signing.Signature, instance_id: str | None) -> None:
        stamp = signing.signed_at(request)
        if stamp is None:
            raise _unknown_key(signature.service)
        if abs(self._world.clock_of(instance_id) - stamp) > self._world.settings.clock_skew_s:
            raise ApiError(400, "RequestExpired", "Request has expired.")

    @staticmethod
    def _check_signature(request: Request, signature: signing.Signature, secret: str) -> None:
        if signing.holds(signature, request, secret):
            return
        if signature.service == "ec2":
            raise _unknown_key("ec2")
        raise ApiError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )

    def _role_policies(self, role: Any) -> list[Mapping[str, Any]]:
        documents = [_document(text) for text in role.policies.values()]
        return documents + [_managed(each) for each in role.managed_policies.values()]

    def _boundary(self, arn: str | None) -> Mapping[str, Any] | None:
        """The document of a boundary, if any. A policy that no longer exists allows nothing."""
        if not arn:
            return None
        managed = self._world.iam.managed_policies.get(arn)
        return {} if managed is None else _managed(managed)

    def _user_policies(self, user: Any) -> list[Mapping[str, Any]]:
        holders = [user, *self._world.iam.get_groups_for_user(user.name)]
        documents: list[Mapping[str, Any]] = []
        for holder in holders:
            documents += [_document(text) for text in holder.policies.values()]
            documents += [_managed(each) for each in holder.managed_policies.values()]
        return documents


def trusted_by_ec2(world: World, role: Any) -> bool:
    """Whether the role's trust policy lets instances have its credentials."""
    trust = json.loads(role.assume_role_policy_document)
    return any(policy.trusts(trust, name) for name in world.partition.trusted("ec2"))


def _ends(session: Any) -> float:
    ends: datetime = session.expiration
    return (ends if ends.tzinfo else ends.replace(tzinfo=timezone.utc)).timestamp()


def _document(text: Any) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(text) if isinstance(text, str) else text
    return loaded


def _managed(managed: Any) -> Mapping[str, Any]:
    return _document(next(version.document for version in managed.versions if version.is_default))


def _unknown_key(service: str) -> ApiError:
    if service == "ec2":
        return ApiError(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
    return ApiError(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
