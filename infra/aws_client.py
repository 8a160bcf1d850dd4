"""The program's own way to EC2, in the account and Region that Pulumi's AWS provider is configured for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
import pulumi
import pulumi_aws as aws
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .watch import OFF, PairError

# Seconds, and tries. We repeat a look at EC2 anyway, so a single one must be short.
CONNECT_S, ANSWER_S, TRIES = 5, 15, 4
SESSION_NAME = "ec2vip"
# The units of Go's time.Duration, in which the provider takes the length of a role's session: "1h30m".
UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
REMEDY = (
    "give the program the provider's credentials and Region, in the stack's aws: settings or the environment, "
    f"or {OFF}"
)


@dataclass(frozen=True)
class Place:
    """One account in one Region."""

    account: str
    region: str

    def __str__(self) -> str:
        return f"account {self.account}, Region {self.region}"


def check_place(opts: pulumi.ResourceOptions | None) -> None:
    """Check that this program looks at EC2 in the account and Region where Pulumi works.

    `opts` are the component's. If the places differed, an `up` would take the nodes for absent and touch both at
    once. Raises PairError if they do, in a preview too: a mere warning would promise what the `up` refuses.
    """
    theirs = _pulumis_place(opts)
    if theirs is None:
        return
    try:
        ours = own_place()
    except (BotoCoreError, ClientError) as error:
        raise PairError(
            f"the program cannot look at EC2 in {theirs}, where Pulumi's AWS provider works: {error}; {REMEDY}"
        ) from error
    if ours != theirs:
        raise PairError(
            f"the program looks at EC2 in {ours}, but Pulumi's AWS provider works in {theirs}; an up must see the "
            f"nodes that it changes; {REMEDY}"
        )


def own_place() -> Place:
    """Where this program's own calls go. Raises botocore's errors if it has no Region or no credentials."""
    settings = Settings()
    session = settings.session()
    caller = settings.client(session, "sts").get_caller_identity()
    return Place(str(caller["Account"]), str(session.region_name))


def _pulumis_place(opts: pulumi.ResourceOptions | None) -> Place | None:
    """Where the provider of a component with these options works; None if a preview cannot know it yet."""
    asked = invoke_options(opts)
    try:
        account = aws.get_caller_identity(opts=asked).account_id
        region = aws.get_region(opts=asked).region
    except Exception as error:  # pulumi raises nothing narrower for a look-up that fails
        reason = str(error).strip().splitlines()[-1]
        raise PairError(
            f"Pulumi's AWS provider does not say in which account it works: {reason}; {OFF}"
        ) from error
    if not (account and region) and pulumi.runtime.is_dry_run():
        return None
    return Place(str(account), str(region))


def invoke_options(opts: pulumi.ResourceOptions | None) -> pulumi.InvokeOptions:
    """Options for a look-up by the AWS provider that a component with these options will have."""
    opts = opts or pulumi.ResourceOptions()
    several = opts.providers or []
    listed = several.values() if isinstance(several, Mapping) else several
    given: list[Any] = [opts.provider, *(listed if isinstance(listed, Iterable) else [listed])]
    provider = next((each for each in given if each is not None and each.package == "aws"), None)
    return pulumi.InvokeOptions(parent=opts.parent, provider=provider)


def ec2_client() -> Any:
    """A boto3 client for EC2, configured like the stack's default AWS provider.

    `Settings` says which of its settings we follow. Raises botocore's errors if there is no Region, or if the
    roles cannot be assumed. Raises PairError for a setting that this program cannot follow.
    """
    settings = Settings()
    return settings.client(settings.session(), "ec2")


class Settings:
    """The stack's `aws:` settings that say where the provider works, as whom, and how it connects.

    These are region and stsRegion, profile, accessKey with secretKey and token, assumeRoleWithWebIdentity,
    assumeRoles, sharedConfigFiles and sharedCredentialsFiles, endpoints, useFipsEndpoint and useDualstackEndpoint,
    httpProxy, httpsProxy, customCaBundle and insecure. What they leave open comes from the environment, as for the
    provider. Source: the arguments of pulumi_aws.Provider.
    """

    def __init__(self) -> None:
        self._given = pulumi.Config("aws")

    def session(self) -> boto3.Session:
        """A session with the credentials that the provider uses in the end."""
        region = self._given.get("region") or os.environ.get("AWS_REGION")
        core = botocore.session.Session()
        for key, variable in (
            ("sharedConfigFiles", "config_file"),
            ("sharedCredentialsFiles", "credentials_file"),
        ):
            if file := self._only_file(key):
                core.set_config_variable(variable, file)
        session = boto3.Session(
            botocore_session=core,
            profile_name=self._given.get("profile"),
            region_name=region,
            aws_access_key_id=self._given.get("accessKey"),
            aws_secret_access_key=self._given.get("secretKey"),
            aws_session_token=self._given.get("token"),
        )
        if identity := self._read("assumeRoleWithWebIdentity"):
            session = self._with_token(session, identity)
        for role in self._read("assumeRoles") or []:
            session = self._as(session, role)
        return session

    def client(self, session: boto3.Session, service: str, signed: bool = True) -> Any:
        """A client that connects as the provider does: with its endpoints, proxies and certificates."""
        region = self._given.get("stsRegion") if service == "sts" else None
        verify: bool | str | None = False if self._is_on("insecure") else self._given.get("customCaBundle")
        return session.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self._endpoint(service),
            verify=verify,
            config=Config(
                connect_timeout=CONNECT_S,
                read_timeout=ANSWER_S,
                retries={"mode": "standard", "total_max_attempts": TRIES},
                use_fips_endpoint=self._is_on("useFipsEndpoint") or None,
                use_dualstack_endpoint=self._is_on("useDualstackEndpoint") or None,
                proxies=self._proxies(),
                signature_version=None if signed else UNSIGNED,
            ),
        )

    def _with_token(self, session: boto3.Session, identity: Mapping[str, Any]) -> boto3.Session:
        token = identity.get("webIdentityToken")
        if not token and (file := identity.get("webIdentityTokenFile")):
            try:
                with open(file, encoding="ascii") as opened:  # noqa: PTH123 (a setting's own text)
                    token = opened.read()
            except (OSError, UnicodeDecodeError) as error:
                raise PairError(
                    f"aws:assumeRoleWithWebIdentity names the token file {file}, which cannot be read ({error}); "
                    "set webIdentityTokenFile to the file that holds the token"
                ) from error
        sts = self.client(session, "sts", signed=False)
        answer = sts.assume_role_with_web_identity(**_asked(identity), WebIdentityToken=token or "")
        return _holding(session, answer["Credentials"])

    def _as(self, session: boto3.Session, role: Mapping[str, Any]) -> boto3.Session:
        """A session of the role that one entry of `aws:assumeRoles` names; `session` assumes it."""
        more = {
            "ExternalId": role.get("externalId"),
            "SourceIdentity": role.get("sourceIdentity"),
            "Tags": [{"Key": key, "Value": value} for key, value in (role.get("tags") or {}).items()],
            "TransitiveTagKeys": role.get("transitiveTagKeys"),
        }
        answer = self.client(session, "sts").assume_role(**_asked(role), **_set(more))
        return _holding(session, answer["Credentials"])

    def _only_file(self, key: str) -> str | None:
        files = self._read(key) or []
        if len(files) > 1:
            raise PairError(
                f"aws:{key} names {len(files)} files, but the program that watches the nodes reads only one; "
                f"put them into one file, or {OFF}"
            )
        return os.path.expanduser(files[0]) if files else None  # noqa: PTH111 (botocore takes text)

    def _endpoint(self, service: str) -> str | None:
        for entry in self._read("endpoints") or []:
            if entry.get(service):
                return str(entry[service])
        return None

    def _proxies(self) -> dict[str, str] | None:
        found = {scheme: self._given.get(f"{scheme}Proxy") for scheme in ("http", "https")}
        return {scheme: proxy for scheme, proxy in found.items() if proxy} or None

    def _is_on(self, key: str) -> bool:
        return self._given.get(key) == "true"

    def _read(self, key: str) -> Any:
        text = self._given.get(key)
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise PairError(
                f"aws:{key} is not JSON ({error}); write it as pulumi-aws documents it"
            ) from error


def _asked(role: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that both ways to assume a role have."""
    wanted = {
        "RoleArn": role.get("roleArn"),
        "RoleSessionName": role.get("sessionName") or SESSION_NAME,
        "DurationSeconds": seconds(role["duration"]) if role.get("duration") else None,
        "Policy": role.get("policy"),
        "PolicyArns": [{"arn": arn} for arn in role.get("policyArns") or []],
    }
    return _set(wanted)


def _set(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value}


def seconds(duration: str) -> int:
    """The seconds of a duration as Go writes it. Raises PairError if it is malformed."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise PairError(
            f"duration {duration!r} of a role in the aws: settings is malformed; write it like 1h or 45m"
        )
    return round(sum(float(number) * UNITS_S[unit] for number, unit in parts))


def _holding(session: boto3.Session, given: Mapping[str, Any]) -> boto3.Session:
    """A session with the credentials that STS has given, in the Region of `session`."""
    return boto3.Session(
        region_name=session.region_name,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
