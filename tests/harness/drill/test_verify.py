"""What `make verify` shows at its end: a table that fits, a sentence that anybody understands, a picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.drill.trials import Result
from tests.drill.verify import in_a_sentence, show_results
from tests.lab import cli


def result(name: str, outage_s: float | None, passed: bool | None = True, detail: str = "") -> Result:
    return Result(name, passed, outage_s, outage_s, "i-0a", "i-0b", detail)


SURVIVED = [result("reboot", 0.17), result("stop-corosync", 0.3), result("power-loss", 1.22)]
FAILED = [*SURVIVED, result("kill-corosync", 30.0, passed=False, detail="the VIP did not come back " * 5)]
SKIPPED = [result("reboot", None, passed=None, detail="no shell")]


def test_a_whole_verify_is_a_sentence_with_the_worst_and_the_median() -> None:
    assert in_a_sentence(SURVIVED, pinged=True) == (
        "The address survived 3 of 3 faults: its clients were without it for 1.2 s at most (power-loss), "
        "0.3 s in the median."
    )
    assert "EC2 showed the new holder after 1.2 s" in in_a_sentence(SURVIVED, pinged=False)


def test_a_failure_is_named_first() -> None:
    said = in_a_sentence(FAILED, pinged=True)
    assert said == "The address did not survive 1 of 4 faults as promised (kill-corosync): fix that first."


def test_a_verify_that_broke_nothing_proves_nothing() -> None:
    assert in_a_sentence(SKIPPED, pinged=True) == "No trial broke anything, so nothing is proved."


@pytest.mark.parametrize("results", [SURVIVED, FAILED, SKIPPED], ids=["survived", "failed", "skipped"])
@pytest.mark.parametrize("pinged", [True, False])
def test_the_table_fits_a_terminal_and_the_picture_is_there(
    results: list[Result],
    pinged: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "BUILD", tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    show_results(results, pinged)
    shown = capsys.readouterr()
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "…" not in shown.out
    for each in results:
        assert each.name in shown.out
        assert " ".join(each.detail.split()) in " ".join(shown.out.split())
    assert in_a_sentence(results, pinged) in shown.err
    assert ElementTree.parse(tmp_path / "verify.svg").getroot().tag.endswith("svg")
