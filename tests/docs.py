"""Writes the files that follow from the table of settings (`python -m tests.docs`); finds broken links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra.settings import SETTINGS, Setting
from tests.lab.paths import PROJECT

PROGRAM, PAGE = PROJECT / "Pulumi.yaml", PROJECT / "docs" / "settings.md"
SECRET = " and ".join(f"`{key}`" for key, setting in SETTINGS.items() if setting.secret)
HEAD = f"""\
# Settings

Each is `ec2vip:NAME` in `Pulumi.STACK.yaml`. The program checks all of them before it makes anything, and
reports all mistakes at once. Only {SECRET} may be stored with `--secret`: the stack uses every other value
in the clear, so it refuses them.

`python -m tests.docs` writes this page from `Pulumi.yaml`.

| setting | type, default | meaning |
|---|---|---|
"""
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
DECLARED = re.compile(r"^config:\n(?:(?: .*)?\n)*", re.MULTILINE)
# In Pulumi.yaml, a text longer than TEXT_MAX is folded into lines of WIDTH, which may run a word over.
TEXT_MAX, WIDTH = 90, 99


class _Dumper(yaml.SafeDumper):
    """Folds a long text onto lines of its own, and writes a repeated value in full instead of an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=">" if len(text) > TEXT_MAX else None
    ),
)


def schema() -> dict[str, dict[str, object]]:
    """The table of settings in the form that Pulumi.yaml has."""
    return {key: _declared(setting) for key, setting in SETTINGS.items()}


def program_file() -> str:
    """The text of Pulumi.yaml, with the settings of the table."""
    config = yaml.dump({"config": schema()}, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    text, count = DECLARED.subn(lambda _: config, PROGRAM.read_text())
    assert count == 1, f"{PROGRAM} has one block `config:`"
    return text


def settings_page(program: str) -> str:
    """A Markdown page of the settings that `program`, the text of a Pulumi.yaml, declares."""
    declared = yaml.safe_load(program)["config"]
    rows = [f"| `{name}` | {_kind(entry)} | {_text(entry)} |" for name, entry in declared.items()]
    return HEAD + "\n".join(rows) + "\n"


def pages() -> list[Path]:
    """Every page of Markdown in the project."""
    return sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("tests/*/README.md")])


def broken_links(page: Path) -> Iterator[str]:
    """The page's links to a file or heading that does not exist."""
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{page.name}: {path}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings: in lower case, with hyphens for spaces, and without other signs."""
    headings = HEADING.findall(CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _declared(setting: Setting) -> dict[str, object]:
    kind, _, items = setting.kind.rstrip(">").partition("<")
    return {
        "type": kind,
        **({"items": {"type": items}} if items else {}),
        "default": setting.default,
        "description": setting.meaning,
    }


def _kind(entry: dict[str, Any]) -> str:
    default = entry.get("default")
    if default in ("", None, [], {}):
        return str(entry["type"])
    return f"{entry['type']}, `{str(default).lower() if isinstance(default, bool) else default}`"


def _text(entry: dict[str, Any]) -> str:
    return " ".join(str(entry["description"]).split()).replace("|", "\\|")


if __name__ == "__main__":
    PROGRAM.write_text(text := program_file())
    PAGE.write_text(settings_page(text))
