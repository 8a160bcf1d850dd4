"""The part of the README that is made from the settings' schema: `python -m tests.readme` writes it anew."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.lab.paths import PROJECT

README = PROJECT / "README.md"
SECTION = re.compile(r"(?<=<!-- settings:begin -->\n).*?(?=<!-- settings:end -->)", re.DOTALL)


def settings_table() -> str:
    """Pulumi.yaml's declared settings as a Markdown table."""
    schema = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    rows = [f"| `{name}` | {_kind(entry)} | {_text(entry)} |" for name, entry in schema.items()]
    return "\n".join(["| setting | type, default | meaning |", "|---|---|---|", *rows]) + "\n"


def _kind(entry: dict[str, Any]) -> str:
    default = entry.get("default")
    if default in ("", None, [], {}):
        return str(entry["type"])
    return f"{entry['type']}, `{str(default).lower() if isinstance(default, bool) else default}`"


def _text(entry: dict[str, Any]) -> str:
    return " ".join(str(entry["description"]).split()).replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(SECTION.sub(lambda _: settings_table(), README.read_text()))
