"""The table of settings: one more line in it is one more setting; no other code needs to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from infra.clients import ClientRule
from infra.settings import SETTINGS, PairSettings
from tests.lab.paths import PROJECT

MADE_UP = """
    cool_down_s: int = setting(
        "coolDownS", INTEGER, 5, readings.integer(1, 60, "seconds"), "How long to cool down, in seconds."
    )
    colour: str | None = setting(
        "colour", STRING, None, readings.text("[a-z]+", "blue"), "Of the pair. Set with --secret.", secret=True
    )
"""
LAST = "    tags: Mapping[str, str]"
PROGRAM = """
import json, sys
from infra.config import StackConfig
from infra.errors import ConfigError
from infra.pair import FloatingIpPairArgs
from infra.resolve import pair_args
from tests.docs import program_file, settings_page
from tests.unit.infra.bad_settings import GOOD, as_pulumi_gives_them

def say(*secrets, **more):
    try:
        args = pair_args(StackConfig.parse(as_pulumi_gives_them(GOOD | more), secrets=secrets))
    except ConfigError as e:
        return list(e.problems)
    assert type(args) is FloatingIpPairArgs
    return {"cool_down_s": args.cool_down_s, "colour": args.colour, "shown": "green" in repr(args)}

json.dump({
    "absent": say(),
    "set": say("ec2vip:colour", coolDownS=7, colour="green"),
    "wrong": say(coolDownS=61),
    "typo": say(coolDown=7),
    "secret": say("ec2vip:coolDownS", coolDownS=7),
    "program": program_file(),
    "page": settings_page(program_file()),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program says about two settings that are only in a changed copy of the table."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(PROJECT / "infra", copy / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "infra" / "settings.py"
    before, last, after = table.read_text().partition(LAST)
    assert last
    table.write_text(before + MADE_UP + last + after)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), str(PROJECT)])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_new_setting_arrives_in_the_components_arguments(said: dict[str, Any]) -> None:
    assert said["absent"] == {"cool_down_s": 5, "colour": None, "shown": False}
    assert said["set"] == {"cool_down_s": 7, "colour": "green", "shown": False}


def test_a_new_setting_is_refused_when_it_is_wrong(said: dict[str, Any]) -> None:
    assert said["wrong"] == [
        "coolDownS 61 is not a whole number from 1 to 60; set ec2vip:coolDownS in seconds"
    ]
    assert said["typo"] == ["coolDown is not a setting of ec2vip; did you mean coolDownS?"]
    (problem,) = said["secret"]
    assert problem.startswith("coolDownS holds a secret, but the stack uses this setting in the clear")


def test_a_new_setting_is_in_pulumis_schema_and_on_the_page_of_the_settings(said: dict[str, Any]) -> None:
    program = yaml.safe_load(said["program"])
    declared = program.pop("config")
    assert list(declared) == [*(key for key in SETTINGS if key != "tags"), "coolDownS", "colour", "tags"]
    assert declared["coolDownS"] == {
        "type": "integer",
        "default": 5,
        "description": "How long to cool down, in seconds.",
    }
    assert declared["colour"] == {
        "type": "string",
        "default": "",
        "description": "Of the pair. Set with --secret.",
    }
    assert program == {
        key: value
        for key, value in yaml.safe_load((PROJECT / "Pulumi.yaml").read_text()).items()
        if key != "config"
    }
    assert "| `coolDownS` | integer, `5` | How long to cool down, in seconds. |\n" in said["page"]
    assert "Only `encryptionKey` and `colour` may be stored with `--secret`" in said["page"]


def test_a_pairs_settings_cannot_be_changed() -> None:
    settings = PairSettings(vips=(), node_ips=())  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        settings.clients = (ClientRule(protocol="icmp", from_port=8, to_port=-1),)  # type: ignore[misc]
