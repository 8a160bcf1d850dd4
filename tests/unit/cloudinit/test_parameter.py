"""The program that fetches a node's data from a parameter; Systems Manager is a fake."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.api import Api
from agent.metadata import Metadata
from cloudinit.node import parameter
from tests.unit.cloudinit.conftest import ENCRYPTED, KEY

ARN, DIGEST = ENCRYPTED["key_parameter"], ENCRYPTED["key_digest"]
IDENTITY = {"region": "eu-west-1", "domain": "amazonaws.com"}
CREDENTIALS = {"key_id": "ASIAEXAMPLE", "secret": "hush", "token": "session"}


class SystemsManager:
    """One parameter, and a record of the requests."""

    def __init__(self, value: str) -> None:
        self.status, self.answer = 200, {"Parameter": {"Value": value}}
        self.asked: list[Any] = []

    def post(self, api: Api, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        assert headers["x-amz-target"] == "AmazonSSM.GetParameter"
        assert api.record.secret == "hush"
        self.asked += [api.endpoint, json.loads(body)]
        return self.status, "", json.dumps(self.answer).encode()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> SystemsManager:
    manager = SystemsManager(base64.b64encode(KEY).decode())
    monkeypatch.setattr(Api, "post", lambda *words: manager.post(*words))
    monkeypatch.setattr(Metadata, "identity", lambda _: IDENTITY)
    monkeypatch.setattr(Metadata, "credentials", lambda _: (CREDENTIALS, 3600.0))
    return manager


def test_the_key_is_kept_for_root_alone(manager: SystemsManager, tmp_path: Path) -> None:
    place = tmp_path / "authkey"
    assert parameter.main(ARN, DIGEST, str(place)) == 0
    assert manager.asked == [
        "ssm.us-east-1.amazonaws.com",
        {"Name": "/ec2vip/ec2vip/dev/ec2vip/corosync-key", "WithDecryption": True},
    ]
    assert place.read_bytes() == KEY
    assert stat.S_IMODE(place.stat().st_mode) == 0o400
    assert list(tmp_path.iterdir()) == [place]


def test_a_key_that_is_there_is_replaced_whole(manager: SystemsManager, tmp_path: Path) -> None:
    place = tmp_path / "authkey"
    place.write_bytes(b"another's")
    place.chmod(0o400)
    assert parameter.main(ARN, DIGEST, str(place)) == 0
    assert place.read_bytes() == KEY


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (base64.b64encode(b"the old one" * 20).decode(), "holds something else than this node was made for"),
        ("not base64!", "Error: "),
    ],
)
def test_what_is_not_the_nodes_key_is_refused_in_one_line_without_showing_it(
    value: str, said: str, manager: SystemsManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.answer["Parameter"]["Value"] = value
    assert parameter.main(ARN, DIGEST, str(tmp_path / "authkey")) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert value not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        # IAM and KMS refuse in these words; one has its service's name before the kind (smithy's JSON protocol).
        {"__type": "AccessDeniedException", "Message": "not authorized to perform: ssm:GetParameter"},
        {
            "__type": "com.amazonaws.ssm#AccessDeniedException",
            "message": "not authorized to perform: kms:Decrypt",
        },
    ],
)
def test_a_refusal_is_told_with_what_it_refuses(
    answer: dict[str, Any], manager: SystemsManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.status, manager.answer = 400, answer
    assert parameter.main(ARN, DIGEST, str(tmp_path / "authkey")) == 1
    told = capsys.readouterr().err
    assert "AccessDeniedException" in told
    assert "not authorized to perform: " in told
    assert told.count("\n") == 1
