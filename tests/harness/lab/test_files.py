"""State files are whole or absent, and a lab whose state is broken can still be ended."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from threading import Event, Thread

import pytest
from rich.table import Table

from tests.lab import __main__ as commands
from tests.lab import cgroup, cli, daemon
from tests.lab.errors import LabError, of_system
from tests.lab.files import read_json, write_whole
from tests.lab.lab import Lab
from tests.lab.paths import LAB_MARK
from tests.lab.process import ProcessId


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for labs; the tests leave the machine's cgroups alone."""
    monkeypatch.setenv("EC2VIP_LABS", str(tmp_path / "labs"))
    monkeypatch.setattr(cgroup, "remove", lambda name: None)
    (tmp_path / "labs").mkdir()
    return tmp_path / "labs"


def folder_of(labs: Path, name: str, **files: str) -> Path:
    (labs / name).mkdir()
    for file, text in {LAB_MARK: name, **files}.items():
        (labs / name / file.replace("_", ".")).write_text(text)
    return labs / name


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_whole(path, "old")
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(self: Path, target: Path) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
    assert path.read_text() == "old"
    write_whole(path, "new", 0o600)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0\0\0"])
def test_a_file_that_holds_no_object_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "choice.json").write_text(text)
    with pytest.raises(LabError, match=r"choice.json is broken: .*; end the lab with `make down`"):
        read_json(tmp_path / "choice.json")
    assert read_json(tmp_path / "none.json") == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"number": 1}'])
def test_a_lab_whose_state_is_broken_can_be_ended(
    labs: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(labs, "ec2vip", process_json=text, state_json=text)
    lab = Lab("ec2vip")
    assert not lab.is_running()
    assert cli.run(commands.app, ["down"]) == 0
    assert not folder.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_lab_whose_process_is_not_noted_is_found_on_the_machine(
    labs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ProcessId.of(os.getpid())
    monkeypatch.setattr(daemon, "find", lambda name: mine if name == "ec2vip" else None)
    folder = folder_of(labs, "ec2vip", process_json="", state_json='{"ready": true}')
    assert Lab("ec2vip").is_running()
    assert json.loads((folder / "process.json").read_text()) == vars(mine)
    assert f"it is {os.getpid()}" in capsys.readouterr().err


@pytest.mark.parametrize("mark", [None, "another", ""])
def test_a_folder_without_the_mark_of_this_lab_is_left_alone(labs: Path, mark: str | None) -> None:
    """`EC2VIP_LABS=/srv make down LAB=www` must not remove /srv/www."""
    folder = labs / "www"
    (folder / "html").mkdir(parents=True)
    if mark is not None:
        (folder / LAB_MARK).write_text(mark)
    for action in (Lab("www").down, lambda: Lab("www").up(hollow=True)):
        with pytest.raises(LabError, match=r"www is not the folder of a lab: .*; remove it by hand"):
            action()
    assert (folder / "html").is_dir()


def test_a_link_in_place_of_a_labs_folder_is_left_alone(labs: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (labs / "www").symlink_to(tmp_path / "precious")
    with pytest.raises(LabError, match="not the folder of a lab"):
        Lab("www").down()
    assert (tmp_path / "precious").is_dir()


def test_a_folder_in_which_the_mark_could_not_be_written_any_more_goes(labs: Path) -> None:
    (labs / "ec2vip").mkdir()
    Lab("ec2vip").down()
    assert not (labs / "ec2vip").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_the_system_refuses_is_one_line(
    labs: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Lab) -> None:
        raise OSError(number, os.strerror(number), "/somewhere")

    monkeypatch.setattr(Lab, "is_running", refuse)
    assert cli.run(commands.app, ["down"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: /somewhere: {os.strerror(number)}; ")
    assert said.count("\n") == 1


def test_another_error_of_the_system_is_a_fault_of_ours() -> None:
    assert of_system(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_what_a_node_says_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = "[/path] and [bold]text[/bold] :smile:"
    table = Table()
    table.add_column("node")
    table.add_row(words)
    commands.console.print(table)
    commands.console.print(words, style="red")
    assert capsys.readouterr().out.count(words) == 2


def test_a_lab_that_is_brought_up_twice_at_once_is_brought_up_once_and_then_found(
    labs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    begun, go_on = Event(), Event()

    def bring_up(lab: Lab, *_: str) -> None:
        order.append("begins")
        begun.set()
        go_on.wait(20)
        order.append("ends")

    monkeypatch.setattr(commands, "_up", bring_up)
    threads = [Thread(target=lambda: commands.up("ec2vip")) for _ in range(2)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    threads[1].join(0.3)
    assert order == ["begins"]
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert order == ["begins", "ends"] * 2
    assert "another `make up` of lab 'ec2vip' is at work" in capsys.readouterr().err
    assert list(labs.iterdir()) == []
