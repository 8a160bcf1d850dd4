"""Copies from the nodes' journals into the timeline: membership, Pacemaker's actions, agent and bootstrap.

A journalctl in each node follows its journal. It ends with the machine, and sleeps while nothing is logged.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SOURCES = ("corosync", "pacemakerd", "pacemaker-controld", "ec2vip-bootstrap")
AGENT = re.compile(r"ec2vip\(|IPaddr2\(")
RETRY_S = 0.5
"""Early in a boot, while there is no journal yet, journalctl ends at once."""

MEMBERS = re.compile(r"\[QUORUM\] Members\[\d+\]:((?: \d+)*)")
RESULT = re.compile(
    r"Result of (?P<operation>\S+) operation for (?P<resource>\S+) on (?P<node>[^:]+): (?P<result>.*)"
)
DULL = re.compile(
    r"watchdog|Additional logging|\[(QB|SERV|WD|MAIN) +\]|MTU|best link|Sync (members|joined|left)|RLIMIT"
)


def event_of(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Kind and fields of a journal entry (as in `journalctl --output=json`), None if it is of no interest."""
    text, source = entry.get("MESSAGE"), str(entry.get("SYSLOG_IDENTIFIER", ""))
    if not isinstance(text, str) or (source == "corosync" and DULL.search(text)):
        return None
    text = text.removeprefix(" notice: ").strip()
    if members := MEMBERS.search(text):
        return "membership", {"members": [int(number) for number in members[1].split()]}
    if result := RESULT.search(text):
        return "action", result.groupdict()
    if DULL.search(text) or not (source in SOURCES or AGENT.match(source)):
        return None
    return "log", {"source": source, "text": text}


def follow(
    enter: Sequence[str],
    instance_id: str,
    append: Callable[..., None],
    alive: Callable[[], bool],
) -> None:
    """Follow the journal of a node that has just got power, in a new thread, while `alive()` is true.

    `enter` is the command prefix that enters the node; `append` is the timeline's method.
    """

    def body() -> None:
        cursor: list[str] = []
        while alive():
            _follow(enter, instance_id, append, cursor)
            time.sleep(RETRY_S)

    threading.Thread(target=body, name=f"journal-{instance_id}", daemon=True).start()


def _follow(enter: Sequence[str], instance_id: str, append: Callable[..., None], cursor: list[str]) -> None:
    words = ["journalctl", "--follow", "--boot", "--output=json", "--quiet"]
    words += [f"--after-cursor={cursor[0]}"] if cursor else ["--lines=all"]
    words += ["--output-fields=MESSAGE,SYSLOG_IDENTIFIER"]
    words += ["_TRANSPORT=syslog", "+", "SYSLOG_IDENTIFIER=ec2vip-bootstrap"]
    # Once its parent is gone, journalctl is a child of the node's process 1. Otherwise process 1 would not be
    # told of its end, and would wait ten seconds for it at each shutdown.
    words = ["sh", "-c", '"$@" &', "sh", *words]
    with subprocess.Popen(
        [*enter, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as reader:
        assert reader.stdout is not None
        for line in reader.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the machine's end cut the line off
            cursor[:] = [entry["__CURSOR"]]
            if found := event_of(entry):
                kind, fields = found
                t, wall = (int(entry[f"__{name}_TIMESTAMP"]) / 1e6 for name in ("MONOTONIC", "REALTIME"))
                append(kind, t=t, wall=wall, instance_id=instance_id, **fields)
