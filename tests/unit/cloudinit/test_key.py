"""The program that fetches Corosync's key on a node; the Systems Manager is played."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from cloudinit import key
from tests.unit.cloudinit.conftest import ENCRYPTED, KEY

ARN, DIGEST = ENCRYPTED["key_parameter"], ENCRYPTED["key_digest"]


class SystemsManager:
    """One parameter, and what was asked for."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.asked: list[Any] = []

    def get_session(self) -> SystemsManager:
        return self

    def create_client(self, service: str, region: str) -> SystemsManager:
        self.asked.append((service, region))
        return self

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return {"Parameter": {"Value": self.value}}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> SystemsManager:
    manager = SystemsManager(base64.b64encode(KEY).decode())
    monkeypatch.setattr(botocore.session, "get_session", manager.get_session)
    return manager


def test_the_key_is_kept_for_root_alone(manager: SystemsManager, tmp_path: Path) -> None:
    place = tmp_path / "authkey"
    assert key.main(ARN, DIGEST, str(place)) == 0
    assert manager.asked == [
        ("ssm", "us-east-1"),
        {"Name": "/ec2vip/ec2vip/dev/ec2vip/corosync-key", "WithDecryption": True},
    ]
    assert place.read_bytes() == KEY
    assert stat.S_IMODE(place.stat().st_mode) == 0o400
    assert list(tmp_path.iterdir()) == [place]


def test_a_key_that_is_there_is_replaced_whole(manager: SystemsManager, tmp_path: Path) -> None:
    place = tmp_path / "authkey"
    place.write_bytes(b"another's")
    place.chmod(0o400)
    assert key.main(ARN, DIGEST, str(place)) == 0
    assert place.read_bytes() == KEY


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (base64.b64encode(b"the old one" * 20).decode(), "has another key than this node was made for"),
        ("not base64!", "Error: "),
    ],
)
def test_what_is_not_the_nodes_key_is_refused_in_one_line_without_showing_it(
    value: str, said: str, manager: SystemsManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.value = value
    assert key.main(ARN, DIGEST, str(tmp_path / "authkey")) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert value not in told
    assert list(tmp_path.iterdir()) == []
