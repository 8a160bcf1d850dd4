"""Reports as a run of `prove` fills them, for the tests."""

from __future__ import annotations

from dataclasses import asdict

from tests.drill.prove.questions import QUESTIONS, SUCCESS, Answer
from tests.drill.prove.report import MEASURES, Check, Measure, Phase, Report, answered
from tests.drill.trials import Result

ACCOUNT = "210987654321"
CALLER = "max.m+ops@example.com"
DENIED = (
    f"UnauthorizedOperation: User: arn:aws:sts::{ACCOUNT}:assumed-role/admin/{CALLER} is not authorized to "
    f"perform: ec2:StopInstances on arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-0a | {ACCOUNT}\n"
    f"arn:aws-cn:iam::999999999999:user/div/{CALLER}, AIDAJQABLZS4A3QDU576Q. "
    "Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m6XSnuUMCm-abc_def"
)
CALL, DESCRIBE, OLD = MEASURES[0], MEASURES[1], MEASURES[3]


def passing() -> Report:
    """A report of a run in which all went well."""
    report = Report(run="r1", stack="dev", partition="aws", region="eu-west-1", account=ACCOUNT)
    report.platform, report.instance_type = "al2023", "t3.micro"
    report.started, report.ended = "2026-01-01T10:00:00+00:00", "2026-01-01T10:30:00+00:00"
    report.checks = [Check("credentials", True, f"{ACCOUNT}, :user/{CALLER}"), Check("quota", None, "no say")]
    report.phases = [
        Phase("up", True, 93.44, stages={"packages": 40.0, "settings | pushed": 90.3}),
        Phase("destroy", True, 61.0),
    ]
    report.trials = [asdict(Result("reboot", True, 0.31, 0.9, "i-0a", "i-0b", "31 pings lost"))]
    report.measures = [
        Measure(CALL, [0.31, 0.29, 0.52], setting="api_delay_s", note="from the client"),
        Measure(DESCRIBE, [0.0], setting="describe_lag_s"),
        Measure(OLD, [], note="the old node had no shell"),
        Measure("steal time", [0.5], unit="%"),
    ]
    report.answers = [
        answered(Answer(QUESTIONS[0], f"InvalidParameterValue: [SPARE] {ACCOUNT} <assigned> |", SUCCESS)),
        answered(Answer(QUESTIONS[2], "InvalidParameterValue: a", "InvalidParameterValue: b")),
    ]
    return report
