"""The report as a page of GitHub's Markdown that can be pasted into an issue."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from tests.drill.prove.report import Check, Measure, Phase, Report
from tests.drill.reports import seconds, verdict
from tests.drill.trials import Result
from tests.drill.verify import OUTAGE, in_a_sentence

CELL_MAX = 300
"""Longer texts (characters) are cut: prove.json has all of them. An issue takes 65,536 in all."""
SIGN = {True: "✓", False: "✗", None: "?"}
SPECIAL = re.compile(r"[\\|*`~\[\]]|(?<!\w)_|_(?!\w)")


def markdown(report: Report) -> str:
    """The page. It has no id of the account, and no name of the caller."""
    shown = report.masked()
    parts = [f"# {_escaped(_title(shown))}", _escaped(in_one_sentence(shown)), _facts(shown)]
    for heading, part in (
        ("Checks before the run", _checks(shown.checks)),
        ("The pair's life", _phases(shown.phases)),
        ("When each stage ended", _stages(shown.phases)),
        ("Trials", _trials(shown.results, shown.pinged)),
        ("Measures", _measures(shown.measures)),
        ("Findings: EC2 answers otherwise than the lab", _answers(shown.answers, same=False)),
        ("Answers with the lab's code", _answers(shown.answers, same=True)),
    ):
        if part:
            parts += [f"## {heading}", part]
    parts += ["## What was left in the account", _left(shown)]
    return "\n\n".join(parts) + "\n"


def in_one_sentence(report: Report) -> str:
    """The run in a sentence, for somebody who knows none of its parts. The worst comes first."""
    left = sum(map(len, report.left.values()))
    rest = f"; {left} {'thing is' if left == 1 else 'things are'} still in the account" if left else ""
    if not (report.ended or report.interrupted):
        return f"The run goes on, or it was killed: nothing is proved yet{rest}."
    if failed := [check.name for check in report.checks if check.ok is False]:
        return f"The run could not begin, for it needs more: {', '.join(failed)}{rest}."
    if report.interrupted:
        return f"The run did not come to its end: {report.interrupted}{rest}."
    if broken := [phase.name for phase in report.phases if not phase.passed]:
        return (
            f"Not every part of the pair's life went as promised ({', '.join(broken)}): fix that first{rest}."
        )
    if not report.phases:
        return f"Nothing was made, so nothing is proved{rest}."
    return (
        in_a_sentence(report.results, report.pinged).rstrip(".") + (rest or "; nothing was left behind") + "."
    )


def numbers(values: Sequence[float]) -> list[str]:
    """How many there are, their median, least and most, as a table shows them; `-` if there are none."""
    if not values:
        return ["0", "-", "-", "-"]
    return [str(len(values)), *(number(each) for each in (median(values), min(values), max(values)))]


def number(value: float) -> str:
    """A number with at most three decimals."""
    text = f"{value:.3f}"
    return text.rstrip("0").rstrip(".")


def _title(report: Report) -> str:
    return f"ec2vip proved in {report.cloud}: {'passed' if report.passed else 'NOT passed'}"


def _facts(report: Report) -> str:
    facts = (
        ("run", report.run),
        ("settings of stack", report.stack),
        ("partition, Region", ", ".join(filter(None, (report.partition, report.region)))),
        ("platform, instance type", ", ".join(filter(None, (report.platform, report.instance_type)))),
        ("from, to (UTC)", f"{report.started or '?'}, {report.ended or '?'}"),
    )
    return _table(("", ""), [fact for fact in facts if fact[1]])


def _checks(checks: Sequence[Check]) -> str:
    rows = [
        (SIGN[check.ok], check.name, check.found, "" if check.ok is True else check.remedy)
        for check in checks
    ]
    return _table(("", "check", "found", "remedy"), rows)


def _phases(phases: Sequence[Phase]) -> str:
    rows = [(SIGN[phase.passed], phase.name, f"{phase.took_s:.1f}", phase.detail) for phase in phases]
    return _table(("", "phase", "took [s]", "detail"), rows)


def _stages(phases: Sequence[Phase]) -> str:
    """A column for each phase that has stages, a row for each stage."""
    staged = [phase for phase in phases if phase.stages]
    names = dict.fromkeys(name for phase in staged for name in phase.stages)
    rows = [
        (name, *(f"{phase.stages[name]:.1f}" if name in phase.stages else "-" for phase in staged))
        for name in names
    ]
    return _table(("stage", *(f"{phase.name} [s]" for phase in staged)), rows)


def _trials(results: Sequence[Result], pinged: bool) -> str:
    rows = [
        (
            SIGN[result.passed],
            result.name,
            verdict(result),
            seconds(result.outage_s),
            seconds(result.recovered_s),
            result.detail,
        )
        for result in results
    ]
    return _table(("", "trial", "result", OUTAGE[pinged], "new holder after [s]", "detail"), rows)


def _measures(measures: Sequence[Measure]) -> str:
    rows = [(each.name, *numbers(each.values), each.unit, each.note) for each in measures]
    return _table(("measure", "n [#]", "median [#]", "least [#]", "most [#]", "unit", "note"), rows)


def _answers(answers: Sequence[dict[str, Any]], same: bool) -> str:
    """The answers that are the same as the lab's, or those that are not, with the switch that makes them so."""
    rows = [
        (each["name"], each["said"], each["lab"], each["row"], *([] if same else [_switch(each)]))
        for each in answers
        if each["same"] is same
    ]
    ends = () if same else ("the lab's switch",)
    return _table(("question", "EC2", "the lab", "row of tests/lab/README.md", *ends), rows)


def _switch(answer: dict[str, Any]) -> str:
    return f"{answer['switch']} (make lab-like)" if answer["switch"] else "none"


def _left(report: Report) -> str:
    rows = [(kind, ", ".join(ids)) for kind, ids in report.left.items() if ids]
    nothing = "Nothing." if report.ended else "Nobody has looked yet."
    return _table(("kind", "ids"), rows) or nothing


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty if it has no rows. Columns whose heading ends in a unit, `[…]`, are numbers."""
    body = [_row(_cell(cell) for cell in row) for row in rows]
    if not body:
        return ""
    rule = ("---:" if heading.endswith("]") else "---" for heading in headings)
    head = (_cell(heading.removesuffix(" [#]")) for heading in headings)
    return "\n".join([_row(head), _row(rule), *body])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    line = " ".join(_lines(text))
    return _escaped(line if len(line) <= CELL_MAX else f"{line[:CELL_MAX]} …")


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _escaped(text: str) -> str:
    """The text so that GitHub shows it as it is: it ends no cell, and begins no tag or emphasis."""
    return SPECIAL.sub(lambda found: f"\\{found[0]}", html.escape(" ".join(text.split()), quote=False))
