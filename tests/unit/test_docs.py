from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs import PAGE, PROGRAM, anchors, broken_links, pages, program_file, schema, settings_page
from tests.drill.fault_rows import ROWS
from tests.drill.proofs import promise
from tests.lab.paths import PROJECT

TEXT = "\n".join(page.read_text() for page in pages())


def test_pulumi_and_the_page_of_the_settings_have_the_table() -> None:
    program = program_file()
    assert PROGRAM.read_text() == program, "run `python -m tests.docs`"
    assert PAGE.read_text() == settings_page(program), "run `python -m tests.docs`"
    assert list(yaml.safe_load(program)["config"].items()) == list(schema().items())


def test_the_readme_is_a_door() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 120


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [PROJECT / "README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        linked = [
            (page.parent / path).resolve() for path in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        ]
        todo += [each for each in linked if each not in reached]
    assert [page.name for page in pages() if page not in reached] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_link_to_a_file_or_heading_that_is_gone_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, here\n```\n# no title\n```\n[a](#a-title-here) [b](#no-title) [c](none.md)\n"
    )
    assert anchors(page) == {"a-title-here"}
    assert list(broken_links(page)) == ["page.md: #no-title", "page.md: none.md#"]


def test_every_make_target_that_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)(?:eval \"\$\()?make (?:-s )?([a-z-]+)", TEXT, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_file_that_the_pages_name_exists() -> None:
    paths = re.findall(r"`((?:tests|infra|cloudinit|agent|docs)/[a-z0-9_/.]+)`", TEXT)
    assert paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_every_module_that_the_pages_run_exists() -> None:
    modules = {
        name.replace(".", "/") for name in re.findall(r"python3? -m ((?:tests|infra|cloudinit)[\w.]*)", TEXT)
    }
    assert modules
    missing = [
        m for m in modules if not any((PROJECT / f"{m}{end}").exists() for end in (".py", "/__main__.py"))
    ]
    assert missing == []


def test_the_drills_table_says_of_every_row_what_the_code_expects() -> None:
    lines = (PROJECT / "tests/drill/README.md").read_text().splitlines()
    said = {
        row.name: [line for line in lines if line.startswith(f"| `{row.name}`: ")] for row in ROWS.values()
    }
    assert {name: len(found) for name, found in said.items()} == dict.fromkeys(ROWS, 1)
    wrong = [name for name, (line,) in said.items() if not line.startswith(promise(ROWS[name]))]
    assert not wrong, f"the lines are in build/faults.md after make faults: {wrong}"
