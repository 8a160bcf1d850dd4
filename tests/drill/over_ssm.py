"""Runs a command on an instance through SSM Run Command, as `ssh HOST COMMAND` would through a shell.

`python -m tests.drill.over_ssm INSTANCE ping -n -D -i 0.01 10.0.250.185` serves as PROBE. Region and credentials
come from the environment, as for every AWS program. What the command prints arrives about once a second, errors
included, and all on standard output. The exit status is the command's, or 255 if the instance cannot be reached.
SIGINT, SIGTERM and SIGHUP become SIGINT for the command; a second signal ends this program at once. The words
reach the command as they are, while ssh would hand them to a shell.

Run Command gives the output of a script only after its end, and only 24,000 characters of it. So a first script
starts the command in the background with its output in a file, and further scripts read that file. The instance
needs a POSIX shell, gzip, and GNU coreutils 8.31 or later (`env --default-signal`, `timeout`, `base64`). We
assume that Amazon Linux 2023 has them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import boto3

from tests.drill.aws import CONFIG, aws_errors
from tests.drill.run_command import OUTPUT_CHARACTERS, Commands
from tests.lab.errors import LabError

UNREACHABLE = 255
"""The exit status of ssh if there is no connection (ssh(1))."""
LIMIT_S = 3600
"""The command ends by itself after this time, in case this program was killed and nobody else ends it."""
KEPT_S = 60
"""How long the output of a command that ran into its limit stays on the instance."""
WAIT_S = 1
"""How long a script waits for the command's end, and so about the time between two looks at its output."""
MERCY_S = 2
"""Time between SIGINT and SIGKILL for the command."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENCODED = OUTPUT_CHARACTERS - 100
"""Characters of base64 in one answer. The rest is for its first line."""
PIECES = (400_000, 80_000, ENCODED * 3 // 4 - 200)
"""Bytes of output that we try to put into one answer. The last always fit, since gzip adds at most some 30."""

Pause = Callable[[float], object]
Write = Callable[[bytes], object]


class StoppedError(Exception):
    """This program is to end, because of the signal with this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@dataclass(frozen=True)
class Piece:
    """The next part of the command's output.

    `left` counts the bytes that are there already and are not in this piece. `status` is the command's exit
    status, or None while it runs.
    """

    data: bytes
    left: int
    status: int | None

    @property
    def last(self) -> bool:
        return self.status is not None and self.left == 0


# Of the instance's folder, only root may read anything. The shell's own `&` would let the command ignore SIGINT,
# which ping needs; so `env` turns that back. `timeout` makes a process group for the command, so it hands a
# signal on to all of it, and outlives this script.
START = """
mkdir -m 700 "$folder" && : >"$folder/output" || exit 1
(
  env --default-signal=INT,QUIT timeout -k {mercy} {limit} {command} >"$folder/output" 2>&1 &
  echo $! >"$folder/pid"
  began=$(date +%s)
  wait $!
  status=$?
  echo $status >"$folder/new" && mv "$folder/new" "$folder/status"
  [ $(($(date +%s) - began)) -lt {limit} ] || {{ sleep {kept}; rm -rf "$folder"; }}
) </dev/null >/dev/null 2>&1 &
"""

STOP = """
[ -e "$folder/status" ] || kill -INT "$(cat "$folder/pid")"
"""

WAIT = """
for _ in $(seq {tenths}); do
  [ ! -e "$folder/status" ] || break
  sleep 0.1
done
"""

# We look for the status first: if it is there, so is all of the output.
TELL = """
[ -e "$folder/output" ] || exit 1
status=$(cat "$folder/status" 2>/dev/null) || status=-
size=$(wc -c <"$folder/output")
for most in {pieces}; do
  text=$(tail -c +$(({offset} + 1)) "$folder/output" | head -c $most | gzip -c | base64 -w 0)
  [ ${{#text}} -gt {encoded} ] || break
done
left=$((size - {offset} - most))
[ $left -gt 0 ] || left=0
printf '%s %s\\n%s\\n' "$status" "$left" "$text"
"""

CLEAR = """
[ "$status" = - ] || [ "$left" -gt 0 ] || rm -rf "$folder"
"""


class Remote:
    """One command on an instance, and how much of its output has been read.

    All methods raise LabError if the instance does not answer.
    """

    def __init__(self, commands: Commands, instance_id: str) -> None:
        self._commands, self._instance_id = commands, instance_id
        self._name = f"over-ssm-{secrets.token_hex(8)}"
        self._offset = 0

    def start(self, argv: Sequence[str]) -> Piece:
        """Start the command, and wait up to WAIT_S for its end.

        After the last piece, nothing is left on the instance.
        """
        start = START.format(mercy=MERCY_S, limit=LIMIT_S, command=shlex.join(argv), kept=KEPT_S)
        return self._ask(start + WAIT.format(tenths=10 * WAIT_S), CLEAR, time.sleep)

    def read(self, behind: int, pause: Pause) -> Piece:
        """The next piece. If nothing more is there (`behind` is 0), we first wait up to WAIT_S for its end."""
        return self._ask("" if behind else WAIT.format(tenths=10 * WAIT_S), "", pause)

    def finish(self, pause: Pause) -> Piece:
        """End the command if it runs. After the last piece, nothing is left on the instance."""
        return self._ask(STOP + WAIT.format(tenths=10 * (MERCY_S + 1)), CLEAR, pause)

    def _ask(self, before: str, after: str, pause: Pause) -> Piece:
        tell = TELL.format(offset=self._offset, pieces=" ".join(map(str, PIECES)), encoded=ENCODED)
        # Run Command sets no TMPDIR; a test's stand-in for the instance does.
        script = f'folder="${{TMPDIR:-/run}}/{self._name}"{before}{tell}{after}'
        ended = self._commands.script(self._instance_id, script, pause)
        if ended is None:
            raise LabError(
                f"SSM cannot reach {self._instance_id}",
                "see that it runs, and that its SSM agent is online; a command that has begun there ends "
                f"after {LIMIT_S} s",
            )
        if ended[0] != 0:
            raise LabError(f"{self._instance_id} has lost the command, or could not start it")
        first, _, encoded = ended[1].partition("\n")
        status, left = first.split()
        data = gzip.decompress(base64.b64decode(encoded))
        self._offset += len(data)
        return Piece(data, int(left), None if status == "-" else int(status))


def carry_out(remote: Remote, argv: Sequence[str], write: Write, pause: Pause) -> int:
    """Run the command to its end and return its exit status; what it prints goes to `write`.

    If `pause` or `write` raises StoppedError, we end the command. Raises LabError if the instance cannot be
    reached.
    """
    piece = remote.start(argv)
    if piece.last:
        write(piece.data)
        return int(piece.status or 0)
    stopped = 0
    try:
        while not piece.last:
            write(piece.data)
            pause(0)
            piece = remote.read(piece.left, pause)
        write(piece.data)
    except StoppedError as stop:
        stopped = stop.number
    try:
        return _end(remote, write, pause, 128 + stopped)
    except (StoppedError, LabError):
        if not stopped:
            raise
        return 128 + stopped


def _end(remote: Remote, write: Write, pause: Pause, unknown: int) -> int:
    """End the command, print what is left, and return its exit status, or `unknown` if it does not end."""
    while True:
        piece = remote.finish(pause)
        write(piece.data)
        if piece.status is None:
            return unknown
        if piece.last:
            return piece.status


def _until_a_signal(seconds: float) -> None:
    """Wait. The signals are blocked, so that none interrupts a call of the API; here we take them."""
    if (got := signal.sigtimedwait(SIGNALS, seconds)) is not None:
        raise StoppedError(got.si_signo)


def _print(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Nobody reads any more. Python would complain at its exit about what it could not flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoppedError(signal.SIGPIPE) from None


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name; the result is this program's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drill.over_ssm",
        description="Run a command on an instance through SSM Run Command, as ssh would.",
    )
    parser.add_argument("instance", help="the instance's id")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    given = parser.parse_args(words)
    if not given.command:
        parser.error("there is no command")
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        with aws_errors():
            commands = Commands(boto3.Session().client("ssm", config=CONFIG))
            return carry_out(Remote(commands, given.instance), given.command, _print, _until_a_signal)
    except LabError as error:
        with contextlib.suppress(BrokenPipeError):
            print(f"over_ssm: {' '.join(str(error).split())}", file=sys.stderr)
        return UNREACHABLE
    except StoppedError as stop:
        return 128 + stop.number


if __name__ == "__main__":
    sys.exit(main())
