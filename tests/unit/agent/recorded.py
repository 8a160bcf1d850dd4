"""What Pacemaker's executor passes to the agent, as recorded on nodes by tests/cluster/record_agent.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("recorded")
PLATFORMS = sorted(path.stem for path in FOLDER.glob("*.json"))
USUAL = "debian12"


def recording(kind: str, platform: str = USUAL) -> dict[str, Any]:
    """An action's words, environment, open files and folder; `probe` is a monitor without an interval."""
    found = json.loads((FOLDER / f"{platform}.json").read_text(encoding="utf-8"))[kind]
    assert isinstance(found, dict)
    return found


def environment(kind: str, platform: str = USUAL, **parameters: str) -> Mapping[str, str]:
    """The environment of an action, with the given parameters of the resource."""
    given = {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
    return {**recording(kind, platform)["environment"], **given}
