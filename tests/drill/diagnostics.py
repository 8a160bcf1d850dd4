"""Collect what a person needs to understand a failure in the lab, before anything else happens to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.lab import Lab

TIMELINE_EVENTS = 60
JOURNAL = ("journalctl", "--no-pager", "--output=short-precise", "--lines={lines}")
COROSYNCS = (*JOURNAL, "--identifier=corosync")


def evidence(lab: Lab, lines: int = TIMELINE_EVENTS) -> dict[str, str]:
    """Title → the last `lines` lines of it: the lab's timeline, each node's journal and its Corosync part."""
    found = {"the lab's timeline": "\n".join(lab.timeline.tail(lines))}
    for instance_id in lab.state().get("nodes", {}):
        for title, words in (("journal", JOURNAL), ("Corosync's journal", COROSYNCS)):
            said = lab.try_in(instance_id, [word.format(lines=lines) for word in words])
            found[f"{title} of {instance_id}"] = said or "no answer from this node"
    return found


def keep(lab: Lab, folder: Path, **more: str) -> None:
    """Write the evidence, with long tails, and the timeline's files into `folder`, replacing what was there.

    `more` are further texts, by the name of their file.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for title, text in evidence(lab, lines=4000).items():
        (folder / f"{title.replace(' ', '-').replace(chr(39), '')}.txt").write_text(text)
    for name, text in more.items():
        (folder / f"{name}.txt").write_text(text)
    for path in lab.timeline.files():
        shutil.copy(path, folder)
