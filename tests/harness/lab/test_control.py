from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab import control
from tests.lab.errors import LabError


def test_a_request_is_answered_with_what_the_action_returns(tmp_path: Path) -> None:
    control.serve(tmp_path, {"add": lambda one, two: one + two})
    assert control.ask(tmp_path, "add", one=1, two=2) == 3
    assert control.ask(tmp_path, "add", one="a", two="b") == "ab"


def test_an_action_that_fails_is_the_callers_error(tmp_path: Path) -> None:
    def fail() -> Any:
        raise LabError("the value is wrong", "mend it")

    control.serve(tmp_path, {"fail": fail, "divide": lambda: 1 / 0})
    with pytest.raises(LabError, match="fail: the value is wrong; mend it"):
        control.ask(tmp_path, "fail")
    with pytest.raises(LabError, match="division by zero"):
        control.ask(tmp_path, "divide")
    with pytest.raises(LabError, match="no-such-action"):
        control.ask(tmp_path, "no-such-action")
    with pytest.raises(LabError, match="unexpected keyword argument 'more'"):
        control.ask(tmp_path, "fail", more=1)


def test_a_lab_that_does_not_answer_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"did not answer 'add'.*daemon.log"):
        control.ask(tmp_path, "add")
