"""Writes files whole or not at all, and reads them with an error that says which one is broken.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace the file's content in one step: a reader finds the old text or the new one.

    The file has `mode` from its first byte on. Raises an OSError that names the file.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        aside.touch(mode)
        aside.write_text(text)
        aside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file, empty if there is no file. Raises LabError if it holds anything else."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LabError(f"{path} is broken: it holds no JSON object", "end the lab with `make down`")
    return found
