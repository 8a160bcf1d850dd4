"""A report says what a run found, passes only if all went well, and hides whose account it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from tests.drill.prove import report as reports
from tests.drill.prove.markdown import CELL_MAX, in_one_sentence, markdown
from tests.drill.prove.report import MASKED, Check, Measure, Phase, Report, mask, read, write
from tests.drill.trials import Result
from tests.lab.errors import LabError

from .reports_of_prove import ACCOUNT, CALL, CALLER, DENIED, passing


def trial(passed: bool | None) -> list[dict[str, object]]:
    return [asdict(Result("power-loss", passed, None, None, "", "", DENIED))]


SPOILT: dict[str, tuple[Callable[[Report], object], str]] = {
    "a check": (
        lambda r: r.checks.append(Check("credentials", False, "none", "log in")),
        "needs more: credentials",
    ),
    "a phase": (lambda r: r.phases.append(Phase("refresh", False, 3.0)), "as promised (refresh)"),
    "no phase": (lambda r: r.phases.clear(), "nothing is proved"),
    "a trial": (
        lambda r: r.trials.extend(trial(False)),
        "did not survive 1 of 2 faults as promised (power-loss)",
    ),
    "no trial": (lambda r: r.trials.clear(), "nothing is proved"),
    "only a skipped trial": (lambda r: setattr(r, "trials", trial(None)), "nothing is proved"),
    "something left": (
        lambda r: r.left.update(VPC=["vpc-1"], role=["a", "b"]),
        "3 things are still in the account",
    ),
    "an interruption": (lambda r: setattr(r, "interrupted", "Ctrl-C"), "did not come to its end: Ctrl-C"),
    "no end": (lambda r: setattr(r, "ended", ""), "The run goes on, or it was killed"),
}


def test_a_run_in_which_all_went_well_has_passed() -> None:
    report = passing()
    assert report.passed
    report.left["VPC"] = []
    report.trials += trial(None)
    assert report.passed, "a skipped trial fails nothing"
    assert in_one_sentence(report) == (
        "The address survived 1 of 1 faults: its clients were without it for 0.3 s at most (reboot), 0.3 s in the "
        "median; nothing was left behind."
    )


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_a_run_passes_only_if_everything_has(spoil: Callable[[Report], object], said: str) -> None:
    report = passing()
    spoil(report)
    assert not report.passed
    assert said in in_one_sentence(report)
    assert report.to_json()["passed"] is False
    assert "NOT passed" in markdown(report)


def test_a_text_loses_the_account_the_caller_and_ids_that_stand_for_it() -> None:
    hidden = mask(DENIED, ACCOUNT)
    assert ACCOUNT not in hidden
    assert "999999999999" not in hidden, "an ARN names whoever shares a subnet, too"
    for part in ("admin", "max", "example", "div", "AIDA", "4GIO"):
        assert part not in hidden
    assert f"arn:aws:ec2:eu-west-1:{MASKED}:instance/i-0a | {MASKED}" in hidden
    assert ":assumed-role/… is not authorized" in hidden
    assert mask(hidden, ACCOUNT) == hidden
    assert mask("no account is known yet", "") == "no account is known yet"


def everywhere(report: Report) -> None:
    """Put the text with ids into every field that holds free text."""
    report.checks.append(Check(DENIED, None, DENIED, DENIED))
    report.phases.append(Phase(DENIED, True, 1.0, DENIED, {DENIED: 1.0}))
    report.trials += trial(None)
    report.measures.append(Measure(DENIED, [1.0], note=DENIED))
    report.answers.append(dict.fromkeys(reports.ANSWER, DENIED) | {"same": False})
    report.left[DENIED] = [DENIED]
    report.run = report.stack = report.platform = report.interrupted = DENIED


def test_no_file_has_an_id_of_the_account(tmp_path: Path) -> None:
    report = passing()
    everywhere(report)
    write(report, tmp_path / "new")
    files = {path.name: path.read_text() for path in (tmp_path / "new").iterdir()}
    assert set(files) == {"prove.json", "prove.md", "prove.svg"}
    for name, text in files.items():
        for secret in (ACCOUNT, CALLER, "max.m", "999999999999", "AIDAJ", "4GIOH"):
            assert secret not in text, f"{secret} is in {name}"
        assert "StopInstances" in text, f"{name} lacks the text that is to be hidden"


def test_what_is_written_can_be_read_and_written_again(tmp_path: Path) -> None:
    write(passing(), tmp_path)
    found = read(tmp_path / "prove.json")
    assert found.account == MASKED
    assert found.measures[0] == Measure(
        CALL, [0.31, 0.29, 0.52], setting="api_delay_s", note="from the client"
    )
    assert found.to_json() == passing().to_json()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write(found, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_that_has_only_begun_can_be_written(tmp_path: Path) -> None:
    write(Report(run="r1", stack="dev"), tmp_path)
    assert "Nobody has looked yet." in (tmp_path / "prove.md").read_text()
    assert ElementTree.parse(tmp_path / "prove.svg").getroot().tag.endswith("svg")


def broken(**fields: object) -> str:
    return json.dumps(passing().to_json() | fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        json.dumps({"stack": "dev", "cloud": "aws", "trials": []}),
        broken(kind="other"),
        broken(checks=None),
        broken(phases=[{"name": "up"}]),
        broken(trials=[{"name": "reboot"}]),
        broken(measures=[{"name": CALL, "values": ["0.1"]}]),
        broken(answers=[{"name": "a"}]),
    ],
)
def test_what_is_no_report_of_ours_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(
        LabError, match=r"x\.json is no report of `make prove`.*; name the prove.json of a run"
    ):
        read(path)


def test_a_report_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match=r"there is no report /none/prove\.json; write one with `make prove"):
        read(Path("/none/prove.json"))


def tables(page: str) -> dict[str, list[list[str]]]:
    """The cells of each table as a reader sees them, by the heading above it; its own headings first."""
    found: dict[str, list[list[str]]] = {}
    heading, tokens = "", MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            heading = token.content
        elif before.type == "tr_open":
            found.setdefault(heading, []).append([])
        elif before.type in ("td_open", "th_open"):
            assert token.children is not None
            assert {child.type for child in token.children} <= {"text", "text_special"}, token.content
            found[heading][-1].append("".join(child.content for child in token.children))
    return found


def test_the_page_has_a_table_of_each_part() -> None:
    shown = tables(markdown(passing()))
    assert shown["Checks before the run"][1:] == [
        ["✓", "credentials", f"{MASKED}, :user/…", ""],
        ["?", "quota", "no say", ""],
    ]
    assert shown["The pair's life"][1:] == [["✓", "up", "93.4", ""], ["✓", "destroy", "61.0", ""]]
    assert shown["When each stage ended"] == [
        ["stage", "up [s]"],
        ["packages", "40.0"],
        ["settings | pushed", "90.3"],
    ]
    assert shown["Trials"][1:] == [["✓", "reboot", "passed", "0.31", "0.90", "31 pings lost"]]
    assert [row[:6] for row in shown["Measures"]] == [
        ["measure", "n", "median", "least", "most", "unit"],
        [CALL, "3", "0.31", "0.29", "0.52", "s"],
        ["AssignPrivateIpAddresses: until Describe shows it", "1", "0", "0", "0", "s"],
        [
            "AssignPrivateIpAddresses: until the old node's metadata no longer show it",
            "0",
            "-",
            "-",
            "-",
            "s",
        ],
        ["steal time", "1", "0.5", "0.5", "0.5", "%"],
    ]


def test_answers_that_differ_come_first_with_the_switch_of_the_lab() -> None:
    page = markdown(passing())
    shown = tables(page)
    (finding,) = shown["Findings: EC2 answers otherwise than the lab"][1:]
    assert finding[1:3] == [f"InvalidParameterValue: [SPARE] {MASKED} <assigned> |", "success"]
    assert finding[-1] == "same_eni_reassign (make lab-like)"
    (other,) = shown["Answers with the lab's code"][1:]
    assert other[1:3] == ["InvalidParameterValue: a", "InvalidParameterValue: b"]
    assert page.index("## Findings") < page.index("## Answers")
    assert passing().answers[0]["finding"] == "AWS answers InvalidParameterValue, the lab success"
    assert passing().answers[1]["finding"] == ""


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "a\nb | c\n\n",
        "**bold** `code` ~~no~~ _it_ [x](y)",
        "<b>x</b> &lt;",
        "\\|",
        "same_eni_reassign",
    ],
)
def test_a_text_stays_in_its_cell_and_is_shown_as_it_is(text: str) -> None:
    report = passing()
    report.checks = [Check("a", True, text)]
    page = markdown(report)
    (row,) = tables(page)["Checks before the run"][1:]
    assert row[2] == re.sub(r"\s+", " ", text).strip()


def test_a_long_text_is_cut_so_that_an_issue_has_room() -> None:
    report = passing()
    report.phases = [Phase("up", False, 1.0, "x" * 10_000)]
    (row,) = tables(markdown(report))["The pair's life"][1:]
    assert row[-1] == "x" * CELL_MAX + " …"


def test_what_was_left_is_named_with_its_ids() -> None:
    report = passing()
    report.left = {"VPC": ["vpc-1"], "role": []}
    assert tables(markdown(report))["What was left in the account"][1:] == [["VPC", "vpc-1"]]


def test_the_picture_has_a_strip_for_each_measure_in_seconds(tmp_path: Path) -> None:
    write(passing(), tmp_path)
    texts = [
        element.text or ""
        for element in ElementTree.parse(tmp_path / "prove.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    assert [text for text in texts if "median" in text] == [
        "AssignPrivateIpAddresses: the call: median 0.31 s of 3",
        "AssignPrivateIpAddresses: until Describe shows it: median 0.00 s of 1",
    ]
