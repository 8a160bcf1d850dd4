"""What a person needs to understand a failure in the lab, before the next thing happens to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.lab import Lab

TIMELINE_EVENTS = 60
JOURNAL = ("journalctl", "--no-pager", "--output=short-precise", "--lines={lines}")
COROSYNCS = (*JOURNAL, "--identifier=corosync")


def evidence(lab: Lab, lines: int = TIMELINE_EVENTS) -> dict[str, str]:
    """Name → text: the lab's timeline, each node's journal and Corosync's part, the last `lines` lines of each."""
    found = {"the lab's timeline": "\n".join(lab.timeline.tail(lines))}
    for instance_id in lab.state().get("nodes", {}):
        for title, words in (("journal", JOURNAL), ("Corosync's journal", COROSYNCS)):
            said = lab.try_in(instance_id, [word.format(lines=lines) for word in words])
            found[f"{title} of {instance_id}"] = said or "no answer from this node"
    return found


def keep(lab: Lab, folder: Path, **more: str) -> None:
    """Write all of it, with long tails, into `folder`, in place of what was there; `more` are further files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for title, text in evidence(lab, lines=4000).items():
        (folder / f"{title.replace(' ', '-').replace(chr(39), '')}.txt").write_text(text)
    for name, text in more.items():
        (folder / f"{name}.txt").write_text(text)
    for path in lab.timeline.files():
        shutil.copy(path, folder)
