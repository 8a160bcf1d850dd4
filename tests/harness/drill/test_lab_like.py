"""A lab takes the times and answers that a report has, through the actions of its own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from tests.aws.emulator import Emulator, Settings
from tests.drill.__main__ import app
from tests.drill.prove.lab_like import likeness
from tests.drill.prove.questions import QUESTIONS, SUCCESS, Answer
from tests.drill.prove.report import Measure, Report, answered, write
from tests.lab import control
from tests.lab.daemon import actions
from tests.lab.errors import LabError
from tests.lab.lab import Lab

from .reports_of_prove import CALL, passing

REFUSED = "InvalidParameterValue: [SPARE] assigned, but move is not allowed."


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    emulator = Emulator(settings=Settings(throttle=False))
    yield emulator
    emulator.close()


@pytest.fixture
def lab(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose process is this one: its control socket leads to the real actions on the emulator."""
    monkeypatch.setenv("EC2VIP_LABS", str(tmp_path))
    lab = Lab("like")
    lab.folder.mkdir()
    monkeypatch.setattr(Lab, "require_running", lambda self: None)
    control.serve(lab.folder, actions(emulator, Mock(), Mock()))
    return lab


def same_eni(*said: str) -> list[dict[str, Any]]:
    """Answers to the first questions of the same switch."""
    return [
        answered(Answer(question, each, SUCCESS)) for question, each in zip(QUESTIONS, said, strict=False)
    ]


def run(report: Path, **env: str) -> Any:
    return CliRunner().invoke(app, ["lab-like", "--report", str(report), "--lab", "like"], env=env)


def test_the_lab_takes_medians_and_answers_and_keeps_the_rest(
    lab: Lab, emulator: Emulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    emulator.settings.imds_delay_s = 7.0
    write(passing(), tmp_path)
    shown = run(tmp_path / "prove.json", COLUMNS="200")
    assert shown.exit_code == 0, shown
    settings = emulator.settings
    assert (settings.api_delay_s, settings.describe_lag_s) == (0.31, 0.0)
    assert settings.same_eni_reassign == "error"
    assert (settings.imds_delay_s, settings.read_delay_s) == (7.0, None)
    text = shown.output + capfd.readouterr().err
    for words in (
        f"{CALL} (median of 3)",
        "assign what the interface has already (InvalidParameterValue)",
        "as it was: imds_delay_s: the report has nothing on it",
        "as it was: route_delay_s: the report has nothing on it",
        "as it was: instance_metadata_tags: the report has nothing on it",
    ):
        assert words in text


def test_a_block_with_another_latency_ends_with_what_was_before(lab: Lab, emulator: Emulator) -> None:
    assert lab.be_like({"api_delay_s": 0.31}, {"same_eni_reassign": "error"}) == {
        "api_delay_s": 0.0,
        "same_eni_reassign": "success",
    }
    with lab.latency("typical"):
        assert emulator.settings.api_delay_s == Settings.typical().api_delay_s
        assert emulator.settings.imds_delay_s > 0
    assert (emulator.settings.api_delay_s, emulator.settings.imds_delay_s) == (0.31, 0.0)
    with pytest.raises(RuntimeError), lab.latency("2"):
        raise RuntimeError
    assert emulator.settings.api_delay_s == 0.31
    assert emulator.settings.same_eni_reassign == "error"


@pytest.mark.parametrize(
    ("delays", "switches", "said"),
    [
        ({}, {"same_eni_reassign": "perhaps"}, "same_eni_reassign is success or error, not 'perhaps'"),
        ({}, {"throttle": "error"}, "there is no switch 'throttle'"),
        ({}, {"api_delay_s": "error"}, "there is no switch 'api_delay_s'"),
        ({"throttle": 1.0}, {}, "there is no setting 'throttle'"),
    ],
)
def test_a_setting_that_there_is_not_changes_nothing(
    lab: Lab, emulator: Emulator, delays: dict[str, float], switches: dict[str, str], said: str
) -> None:
    before = replace(emulator.settings)
    with pytest.raises(LabError, match=said):
        lab.be_like({"api_delay_s": 0.31} | delays, {"instance_metadata_tags": "disabled"} | switches)
    assert emulator.settings == before


def test_settings_know_their_delays_and_switches() -> None:
    assert set(Settings.delays()) == {
        "api_delay_s",
        "read_delay_s",
        "describe_lag_s",
        "route_delay_s",
        "imds_delay_s",
    }
    assert Settings.switches()["same_eni_reassign"] == ("success", "error")
    assert "throttle" not in Settings.switches()


def test_every_switch_of_a_question_is_one_of_the_lab() -> None:
    assert {question.switch for question in QUESTIONS} - {""} <= set(Settings.switches())


@pytest.mark.parametrize(
    ("said", "switch"),
    [
        ((SUCCESS, SUCCESS), "success"),
        ((REFUSED, REFUSED), "error"),
        ((SUCCESS, REFUSED), "success"),
        (("UnauthorizedOperation: You are not", REFUSED), "error"),
        (("RequestLimitExceeded: ", "UnauthorizedOperation: "), None),
    ],
)
def test_the_first_answer_that_is_one_sets_the_switch(said: tuple[str, str], switch: str | None) -> None:
    like = likeness(Report("r", "dev", answers=same_eni(*said)))
    assert like.switches.get("same_eni_reassign") == switch
    contrary = [words for words in like.unknown if "the lab can't also show 'the same without" in words]
    assert bool(contrary) is (said == (SUCCESS, REFUSED))


def test_a_measure_gives_a_delay_only_in_seconds_and_never_less_than_none() -> None:
    measures = [
        Measure("a", [], setting="route_delay_s"),
        Measure("b", [-0.2, -0.1, 3.0], setting="route_delay_s"),
        Measure("c", [9.0], setting="route_delay_s"),
        Measure("d", [400.0], unit="ms", setting="imds_delay_s"),
        Measure("e", [float("inf")], setting="describe_lag_s"),
        Measure("f", [1.0]),
    ]
    like = likeness(Report("r", "dev", measures=measures))
    assert like.delays == {"route_delay_s": 0.0}
    assert like.sources == {"route_delay_s": "b (median of 3)"}
    assert "imds_delay_s: 'd' is in ms, not in s" in like.unknown


@pytest.mark.parametrize("setting", ["new_delay_s", "throttle", "delays"])
def test_a_setting_that_this_lab_has_not_is_of_another_version(setting: str) -> None:
    with pytest.raises(LabError, match=f"'{setting}', and the lab has no such setting; use the version"):
        likeness(Report("r", "dev", measures=[Measure("a", [1.0], setting=setting)]))


def test_a_report_without_a_figure_changes_nothing(lab: Lab, emulator: Emulator, tmp_path: Path) -> None:
    before = replace(emulator.settings)
    write(Report("r", "dev"), tmp_path)
    failed = run(tmp_path / "prove.json").exception
    assert isinstance(failed, LabError)
    assert "has no figure for the lab, so nothing was changed; run `make prove` to its end" in str(failed)
    assert emulator.settings == before


def test_a_report_of_another_command_is_refused(tmp_path: Path) -> None:
    (tmp_path / "verify.json").write_text(json.dumps({"trials": []}))
    failed = run(tmp_path / "verify.json").exception
    assert isinstance(failed, LabError)
    assert "is no report of `make prove`" in str(failed)


def test_a_lab_that_does_not_run_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EC2VIP_LABS", str(tmp_path))
    write(passing(), tmp_path)
    failed = run(tmp_path / "prove.json").exception
    assert isinstance(failed, LabError)
    assert "like" in failed.message
    assert "make up" in failed.remedy
