"""Where the program looks at EC2, and its error if Pulumi's AWS provider works elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from botocore.exceptions import NoCredentialsError
from pulumi.runtime.config import set_all_config

from infra import aws_client
from infra.aws_client import Place, Settings, check_place, invoke_options, seconds
from infra.watch import PairError

from .recording import ACCOUNT, REGION, record, record_pair

ROLE = "arn:aws:iam::123456789012:role/deployer"


class Sts:
    """A scripted STS: it hands out credentials named after the role, and records the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []

    def session(self, kept: boto3.Session) -> Any:
        """A client with the two calls, for a session."""
        script = self

        class Client:
            def assume_role(self, **request: Any) -> Any:
                return script.answer("assume_role", kept, request)

            def assume_role_with_web_identity(self, **request: Any) -> Any:
                return script.answer("assume_role_with_web_identity", kept, request)

        return Client()

    def answer(self, call: str, session: boto3.Session, request: dict[str, Any]) -> Any:
        before = session.get_credentials()
        self.asked.append((call, before.access_key if before else None, request))
        key = request["RoleArn"].rsplit("/", 1)[1]
        return {"Credentials": {"AccessKeyId": key, "SecretAccessKey": "secret", "SessionToken": "token"}}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test without settings, AWS environment variables or AWS files."""
    for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    set_all_config({})


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Sts:
    script = Sts()
    monkeypatch.setattr(
        Settings, "client", lambda self, session, service, signed=True: script.session(session)
    )
    return script


def given(**settings: Any) -> Settings:
    """The stack's `aws:` settings; all but texts become JSON."""
    set_all_config(
        {
            f"aws:{k}": v if isinstance(v, str) else json.dumps(v)
            for k, v in {"region": REGION, **settings}.items()
        }
    )
    return Settings()


def key(session: boto3.Session) -> str:
    found = session.get_credentials()
    assert found is not None
    return str(found.access_key)


def test_keys_and_region_of_the_settings_go_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environments")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert key(given().session()) == "environments"
    session = given(accessKey="settings", secretKey="secret").session()
    assert (key(session), session.region_name) == ("settings", REGION)


def test_files_of_the_settings_are_read_in_place_of_the_homes(tmp_path: Path) -> None:
    credentials, config = tmp_path / "credentials", tmp_path / "config"
    credentials.write_text("[payments]\naws_access_key_id = files\naws_secret_access_key = secret\n")
    config.write_text("[profile payments]\nregion = eu-west-1\n")
    session = given(
        region="",
        profile="payments",
        sharedCredentialsFiles=[str(credentials)],
        sharedConfigFiles=[str(config)],
    ).session()
    assert (key(session), session.region_name) == ("files", "eu-west-1")


def test_several_files_are_refused_for_the_program_reads_one() -> None:
    with pytest.raises(
        PairError, match=r"aws:sharedCredentialsFiles names 2 files.*reads only one; put them into one"
    ):
        given(sharedCredentialsFiles=["one", "two"]).session()


def test_roles_are_taken_one_by_the_other_with_all_that_they_ask_for(sts: Sts) -> None:
    session = given(
        accessKey="first",
        secretKey="secret",
        assumeRoles=[
            {"roleArn": ROLE},
            {
                "roleArn": f"{ROLE}-2",
                "sessionName": "up",
                "externalId": "x",
                "duration": "1h30m",
                "policy": "{}",
                "policyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
                "sourceIdentity": "ann",
                "tags": {"team": "payments"},
                "transitiveTagKeys": ["team"],
            },
        ],
    ).session()
    assert key(session) == "deployer-2"
    assert sts.asked == [
        ("assume_role", "first", {"RoleArn": ROLE, "RoleSessionName": "ec2vip"}),
        (
            "assume_role",
            "deployer",
            {
                "RoleArn": f"{ROLE}-2",
                "RoleSessionName": "up",
                "ExternalId": "x",
                "DurationSeconds": 5400,
                "Policy": "{}",
                "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
                "SourceIdentity": "ann",
                "Tags": [{"Key": "team", "Value": "payments"}],
                "TransitiveTagKeys": ["team"],
            },
        ),
    ]


def test_a_web_identity_is_taken_before_the_roles_and_without_credentials(sts: Sts, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt")
    session = given(
        assumeRoleWithWebIdentity={"roleArn": ROLE, "webIdentityTokenFile": str(token), "duration": "15m"},
        assumeRoles=[{"roleArn": f"{ROLE}-2"}],
    ).session()
    assert key(session) == "deployer-2"
    wanted = {
        "RoleArn": ROLE,
        "RoleSessionName": "ec2vip",
        "DurationSeconds": 900,
        "WebIdentityToken": "jwt",
    }
    assert sts.asked[0] == ("assume_role_with_web_identity", None, wanted)
    assert sts.asked[1][:2] == ("assume_role", "deployer")


def test_a_token_file_that_is_not_there_is_named(sts: Sts) -> None:
    settings = given(assumeRoleWithWebIdentity={"roleArn": ROLE, "webIdentityTokenFile": "/nonexistent"})
    with pytest.raises(PairError, match="names the token file /nonexistent, which cannot be read"):
        settings.session()


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, f"https://ec2.{REGION}.amazonaws.com"),
        ({"useFipsEndpoint": "true"}, f"https://ec2-fips.{REGION}.amazonaws.com"),
        ({"useDualstackEndpoint": "true"}, f"https://ec2.{REGION}.api.aws"),
        (
            {"endpoints": [{"sts": "https://sts.example"}, {"ec2": "https://ec2.example"}]},
            "https://ec2.example",
        ),
    ],
)
def test_a_client_goes_where_the_provider_goes(settings: dict[str, Any], url: str) -> None:
    taken = given(accessKey="key", secretKey="secret", **settings)
    assert taken.client(taken.session(), "ec2").meta.endpoint_url == url


def test_sts_may_be_in_a_region_of_its_own() -> None:
    taken = given(accessKey="key", secretKey="secret", stsRegion="eu-west-1")
    assert taken.client(taken.session(), "sts").meta.region_name == "eu-west-1"
    assert taken.client(taken.session(), "ec2").meta.region_name == REGION


@pytest.mark.parametrize(("text", "worth"), [("1h", 3600), ("15m0s", 900), ("1h30m", 5400), ("1.5h", 5400)])
def test_a_duration_is_read_as_go_writes_it(text: str, worth: int) -> None:
    assert seconds(text) == worth


@pytest.mark.parametrize("text", ["", "3600", "1 h", "h", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PairError, match="is malformed; write it like 1h or 45m"):
        seconds(text)


def test_settings_that_are_no_json_are_refused_by_their_name() -> None:
    with pytest.raises(PairError, match="aws:assumeRoles is not JSON"):
        given(assumeRoles="[{").session()


def _checked(ours: Any, monkeypatch: pytest.MonkeyPatch, **answers: dict[str, Any]) -> None:
    def own_place() -> Place:
        if isinstance(ours, Exception):
            raise ours
        assert isinstance(ours, Place)
        return ours

    monkeypatch.setattr(aws_client, "own_place", own_place)
    record(lambda: check_place(None))


def test_one_account_and_region_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    _checked(Place(ACCOUNT, REGION), monkeypatch)


@pytest.mark.parametrize("ours", [Place("210987654321", REGION), Place(ACCOUNT, "eu-west-1")])
def test_another_account_or_region_is_named_beside_pulumis(
    ours: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PairError) as caught:
        _checked(ours, monkeypatch)
    assert (
        f"looks at EC2 in {ours}, but Pulumi's AWS provider works in account {ACCOUNT}, Region {REGION};"
        in str(caught.value)
    )
    assert "readyTimeoutMinutes to 0" in str(caught.value)


def test_no_credentials_are_an_error_that_names_pulumis_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PairError, match=rf"account {ACCOUNT}, Region {REGION}.*Unable to locate credentials"):
        _checked(NoCredentialsError(), monkeypatch)


def test_a_pair_that_is_not_watched_needs_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_client, "own_place", lambda: pytest.fail("it looked"))
    record_pair(ready_timeout_minutes=0)


def test_the_pairs_own_provider_is_the_one_that_is_asked() -> None:
    def program() -> list[Any]:
        mine = pulumi.ProviderResource("aws", "mine", {})
        other = pulumi.ProviderResource("random", "other", {})
        return [
            invoke_options(options).provider is mine
            for options in (
                pulumi.ResourceOptions(provider=mine),
                pulumi.ResourceOptions(providers=[other, mine]),
                pulumi.ResourceOptions(providers={"random": other, "aws": mine}),
                pulumi.ResourceOptions(),
                None,
            )
        ]

    _, found = record(program)
    assert found == [True, True, True, False, False]
