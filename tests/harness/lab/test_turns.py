"""With two processes at once, the second waits and names the first; no lock file stays behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.lab.turns import alone


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / ".mine.lock"
    assert list(tmp_path.iterdir()) == []


def test_the_second_waits_and_names_the_first(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []
    held, free = Event(), Event()

    def first() -> None:
        with alone(lock, "another `make up`"):
            held.set()
            free.wait(20)
            order.append("first")

    def second() -> None:
        with alone(lock, "another `make up`"):
            order.append("second")

    threads = [Thread(target=first), Thread(target=second)]
    threads[0].start()
    assert held.wait(20)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()
    free.set()
    for thread in threads:
        thread.join(20)
    assert order == ["first", "second"]
    expected = f"another `make up` is at work (process {os.getpid()}); waiting for it\n"
    assert capsys.readouterr().err == expected


def test_of_many_at_once_one_is_at_it(lock: Path) -> None:
    """Each removes the lock file at its end. A waiter for a removed file must not run beside a third."""
    inside: list[int] = []
    most: list[int] = []

    def body(number: int) -> None:
        for _ in range(20):
            with alone(lock, "another"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [Thread(target=body, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 160
    assert max(most) == 1


def test_an_error_frees_it(lock: Path) -> None:
    with pytest.raises(KeyboardInterrupt), alone(lock, "another"):
        raise KeyboardInterrupt
    with alone(lock, "another"):
        assert lock.exists()
