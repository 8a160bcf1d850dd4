"""A Unix socket in the lab's folder, through which commands ask for what only the lab's own process can do.

A connection carries one JSON object each way: the request `{"do": NAME, …arguments}`, and the answer
`{"ok": result}` or `{"error": message}`. The folder's mode (0700) is the only access control.
"""

from __future__ import annotations

import json
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError

SOCKET = "control.sock"
ANSWER_LIMIT_S = 120.0
"""Ample: the longest request is a loss of power, which has POWER_LIMIT_S (see hypervisor.py)."""


def serve(folder: Path, actions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests in `folder` with these actions until the process ends; returns at once."""
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)

    def body() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, actions), daemon=True).start()

    threading.Thread(target=body, name="control", daemon=True).start()


def _answer(connection: socket.socket, actions: Mapping[str, Callable[..., Any]]) -> None:
    with connection, connection.makefile("rw") as stream:
        try:
            request = json.loads(stream.readline())
            action = actions[request.pop("do")]
            reply = {"ok": action(**request)}
        except (LabError, ValueError, KeyError, TypeError) as error:
            reply = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            reply = {"error": repr(error)}
        stream.write(json.dumps(reply) + "\n")


def ask(folder: Path, action: str, **arguments: Any) -> Any:
    """Have the lab's process do `action`; returns the result.

    Raises LabError if the action fails, with the reason, or if the process does not answer.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_LIMIT_S)
        try:
            connection.connect(str(folder / SOCKET))
            with connection.makefile("rw") as stream:
                stream.write(json.dumps({"do": action, **arguments}) + "\n")
                stream.flush()
                reply = json.loads(stream.readline() or "{}")
        except (OSError, ValueError) as error:
            raise LabError(
                f"the lab's process did not answer {action!r}: {error}",
                "see its daemon.log, or start it again",
            ) from error
    if "ok" not in reply:
        raise LabError(f"{action}: {reply.get('error', 'no answer')}")
    return reply["ok"]
