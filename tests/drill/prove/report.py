"""What a run of `prove` found, as data that hides whose account it was; how it is kept in files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.drill.trials import Result, passed
from tests.lab.errors import LabError
from tests.lab.files import write_whole
from tests.lab.plots import save_figure

if TYPE_CHECKING:
    from tests.drill.prove.questions import Answer

KIND = "ec2vip:prove"
"""What says that a JSON file is such a report."""
STEM = "prove"
MASKED = "*" * 12
HIDDEN = "…"
ACCOUNT_OF_ARN = re.compile(r"\b(arn:aws[\w-]*:[\w-]*:[\w-]*:)\d{12}\b")
CALLER = re.compile(r"(:(?:user|assumed-role|federated-user)/)[\w+=,.@/-]+")
"""Characters of a name and a path in IAM: API reference of IAM, CreateUser."""
KEY_ID = re.compile(r"\bA(?:IDA|IPA|KIA|NPA|ROA|SIA)[A-Z0-9]{16,}\b")
"""Ids of access keys, users, roles and the like (IAM user guide, "Unique identifiers")."""
ENCODED = re.compile(r"(Encoded authorization failure message: )[\w+/=-]+")
"""Only somebody in the account can decode it, and it is longer than all the rest."""
ANSWER = {"name", "row", "said", "lab", "same", "switch", "finding"}

CALL = "AssignPrivateIpAddresses"
MEASURES = (
    f"{CALL}: the call",
    f"{CALL}: until Describe shows it",
    f"{CALL}: until the new node's metadata show it",
    f"{CALL}: until the old node's metadata no longer show it",
    f"{CALL}: until a client in the same subnet hears the new node",
    f"{CALL}: until a client in another subnet hears the new node",
    "DescribeNetworkInterfaces: the call",
    "stop by force without the system's shutdown, running",
    "stop by force without the system's shutdown, hung",
    "console output: from a line to its appearance",
    "Corosync was not scheduled for",
    "steal time",
)
"""The names of all measures. docs/prove.md says what each of them settles."""


@dataclass(frozen=True)
class Check:
    """One thing that must be right before anything is made. `ok` is None if it could not be asked."""

    name: str
    ok: bool | None
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Phase:
    """One phase of the pair's life. `stages` are its parts, each with the time at which it ended (s)."""

    name: str
    passed: bool
    took_s: float
    detail: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """One quantity, measured as often as `values` has entries, in `unit` (nearly always s).

    `setting` is the lab's delay (tests/aws/emulator/settings.py) that the median stands for, if there is one.
    `note` says how it was measured, or why it was not, if there are no values.
    """

    name: str
    values: Sequence[float]
    unit: str = "s"
    note: str = ""
    setting: str = ""


@dataclass
class Report:
    """All that a run found. The run fills it as it goes, and calls `write` after every phase.

    `cloud` is `AWS` or `a lab`. `started` and `ended` are ISO times in UTC; without `ended` the run goes on,
    or was killed. `trials` are tests.drill.trials.Result as dicts, `answers` what `answered` makes of
    questions.Answer. `pinged` says whether a client pinged the VIP during the trials. `left` has the ids of
    what the run left in the account, by kind. `interrupted` says what ended the run early.
    """

    run: str
    stack: str
    cloud: str = "AWS"
    partition: str = ""
    region: str = ""
    account: str = ""
    platform: str = ""
    instance_type: str = ""
    started: str = ""
    ended: str = ""
    checks: list[Check] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    trials: list[dict[str, Any]] = field(default_factory=list)
    pinged: bool = True
    measures: list[Measure] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    interrupted: str = ""

    @property
    def results(self) -> list[Result]:
        """The trials' outcomes."""
        return [Result(**trial) for trial in self.trials]

    @property
    def passed(self) -> bool:
        """Whether the run has ended, nothing failed, every part has run, and nothing is left in the account."""
        return (
            bool(self.ended)
            and all(check.ok is not False for check in self.checks)
            and bool(self.phases)
            and all(phase.passed for phase in self.phases)
            and passed(self.results)
            and not any(self.left.values())
            and not self.interrupted
        )

    def to_json(self) -> dict[str, Any]:
        """The report for a JSON file, without what tells whose account it was."""
        found = {"kind": KIND, "passed": self.passed, **asdict(self)}
        masked: dict[str, Any] = _masked(found, self.account)
        return masked

    @classmethod
    def from_json(cls, found: Any) -> Report:
        """The report that `to_json` has made this of. Raises ValueError if it is none."""
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise ValueError(f"it does not say that it is of kind {KIND!r}")
        known = {each.name for each in fields(cls)}
        try:
            report = cls(**{name: value for name, value in found.items() if name in known})
            report.checks = _made(Check, found["checks"])
            report.phases = _made(Phase, found["phases"])
            report.measures = _made(Measure, found["measures"])
            _made(Result, found["trials"])
            for measure in report.measures:
                sum(measure.values)
            if any(ANSWER - answer.keys() for answer in report.answers):
                raise KeyError("answers")
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"its fields are not those of a report: {error}") from error
        return report

    def masked(self) -> Report:
        """A copy that shows only what `to_json` shows."""
        return Report.from_json(self.to_json())


def answered(answer: Answer) -> dict[str, Any]:
    """An answer as a report has it; `finding` is empty if AWS and the lab answer with the same code."""
    finding = ""
    if not answer.same_code:
        finding = f"AWS answers {_code(answer.said)}, the lab {_code(answer.lab)}"
    return {
        "name": answer.question.name,
        "row": answer.question.row,
        "said": answer.said,
        "lab": answer.lab,
        "same": answer.same_code,
        "switch": answer.question.switch,
        "finding": finding,
    }


def mask(text: str, account: str) -> str:
    """The text without the account's digits, the caller's name in an ARN, and ids that stand for one account."""
    for pattern, to in (
        (ACCOUNT_OF_ARN, rf"\g<1>{MASKED}"),
        (CALLER, rf"\g<1>{HIDDEN}"),
        (ENCODED, rf"\g<1>{HIDDEN}"),
        (KEY_ID, HIDDEN),
    ):
        text = pattern.sub(to, text)
    return text.replace(account, MASKED) if account else text


def write(report: Report, folder: Path) -> None:
    """Write prove.json, prove.md and prove.svg into the folder, each whole or not at all.

    The JSON comes first: whatever happens then, nothing is lost. Raises OSError.
    """
    from tests.drill.prove.markdown import markdown
    from tests.drill.prove.plot import plot

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / f"{STEM}.json", text)
    write_whole(folder / f"{STEM}.md", markdown(report))
    save_figure(plot(report), folder / f"{STEM}.svg")


def read(path: Path) -> Report:
    """The report in the file. Raises LabError if there is none."""
    try:
        return Report.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        raise LabError(
            f"there is no report {path}", "write one with `make prove STACK=dev`, or name it: REPORT=…"
        ) from None
    except ValueError as error:
        raise LabError(
            f"{path} is no report of `make prove`: {error}", "name the prove.json of a run: REPORT=…"
        ) from error


def _code(said: str) -> str:
    return said.partition(":")[0]


def _made(kind: Callable[..., Any], rows: Iterable[dict[str, Any]]) -> list[Any]:
    return [kind(**row) for row in rows]


def _masked(value: Any, account: str) -> Any:
    """The same value with every text in it masked, keys too."""
    if isinstance(value, str):
        return mask(value, account)
    if isinstance(value, Mapping):
        return {mask(str(key), account): _masked(each, account) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each, account) for each in value]
    return value
