"""The documentation: docs/settings.md, which `python -m tests.docs` writes from the settings' schema; links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lab.paths import PROJECT

SETTINGS = PROJECT / "docs" / "settings.md"
HEAD = """\
# Settings

Each is `ec2vip:NAME` in `Pulumi.STACK.yaml`. The program checks all of them before it makes anything, and
reports all mistakes at once. Only `encryptionKey` may be stored with `--secret`: the stack uses every other value
in the clear, so it refuses them.

`python -m tests.docs` writes this page from `Pulumi.yaml`.

| setting | type, default | meaning |
|---|---|---|
"""
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def settings_page() -> str:
    """Pulumi.yaml's declared settings as a page of Markdown."""
    schema = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    rows = [f"| `{name}` | {_kind(entry)} | {_text(entry)} |" for name, entry in schema.items()]
    return HEAD + "\n".join(rows) + "\n"


def pages() -> list[Path]:
    """Every page of Markdown in the project."""
    return sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("tests/*/README.md")])


def broken_links(page: Path) -> Iterator[str]:
    """The links of a page to a file or a heading that is not there."""
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{page.name}: {path}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What a link may name after the #: each heading in small letters, spaces as hyphens, other signs left out."""
    headings = HEADING.findall(CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _kind(entry: dict[str, Any]) -> str:
    default = entry.get("default")
    if default in ("", None, [], {}):
        return str(entry["type"])
    return f"{entry['type']}, `{str(default).lower() if isinstance(default, bool) else default}`"


def _text(entry: dict[str, Any]) -> str:
    return " ".join(str(entry["description"]).split()).replace("|", "\\|")


if __name__ == "__main__":
    SETTINGS.write_text(settings_page())
