"""What may go wrong in the agent itself, in its record and in the answers that it gets.

A stop never fails, every answer is bounded, the agent checks every text, and a message is one line.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agent import ec2vip, metadata, outcome, record, rules

from .clock import PATIENCE, Patience
from .cloud import DENIED, VIP, Api, envelope
from .conftest import Node
from .recorded import PLATFORMS, environment


@pytest.mark.parametrize(
    "error",
    [ImportError("libssl.so.3"), OSError(11, "EAGAIN"), KeyError("x\ny"), MemoryError(), RecursionError()],
)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_stop_never_fails_for_a_reason_of_its_own(
    error: Exception, platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(*_: object) -> int:
        raise error

    environ = environment("stop", platform)
    assert ec2vip.answer(["stop"], environ, act) == outcome.SUCCESS
    said = capsys.readouterr().err
    assert type(error).__name__ in said
    assert "ocf-exit-reason" not in said
    for action in ("start", "monitor", "migrate_to", "migrate_from"):
        assert ec2vip.answer([action], environment(action, platform), act) == outcome.ERR_GENERIC
    assert ec2vip.answer(["monitor"], environment("probe", platform), act) == outcome.NOT_RUNNING


def test_a_stop_without_the_agents_package_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For example during an upgrade of Python, or with a disk that returns no file."""
    monkeypatch.setitem(__import__("sys").modules, "agent.ocf", None)
    environ = environment("stop")
    assert ec2vip.answer(["stop"], environ, ec2vip.carry_out) == outcome.SUCCESS
    assert "agent.ocf" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "10.0.250", "localhost"])
def test_a_stop_with_a_bad_parameter_succeeds(a: Node, value: str) -> None:
    result = a.act("stop", ec2_vip=value)
    assert result.code == outcome.SUCCESS
    assert "ERR: stop: ec2_vip" in result.said


@pytest.mark.parametrize("text", ["since=soon", "unknown=1.5", "held", "expiry=", "\x00", "é" * 9])
def test_a_mistyped_record_is_as_good_as_none(a: Node, text: str) -> None:
    a.act("start")
    name = text.partition("=")[0]
    lines = [line for line in a.record.read_text().splitlines() if not line.startswith(f"{name}=")]
    a.record.write_bytes("\n".join([*lines, text, ""]).encode("latin-1"))
    assert a.act("stop").code == outcome.SUCCESS
    assert a.api.owners() == []


def _keep(folder: str, number: int) -> None:
    for count in range(300):
        kept = record.Record(f"{folder}/record", VIP)
        kept.unknown, kept.taker = number, str(number) * (1 + count % 7 * number)
        assert kept.save()


def test_two_agents_at_once_do_not_corrupt_the_record(tmp_path: Path) -> None:
    """The record is always one that a single agent wrote."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_keep, args=(str(tmp_path), number)) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    read = 0
    while any(writer.is_alive() for writer in writers):
        kept = record.Record(f"{tmp_path}/record", VIP)
        if (tmp_path / "record").exists():
            assert set(kept.taker) <= {str(kept.unknown)}
            read += kept.unknown > 0
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert read
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_an_answer_of_imds_that_does_not_end_is_cut_off(a: Node) -> None:
    """The bound here is in bytes, however fast they come; test_bounds.py tests the time."""
    a.act("start")
    a.earlier("since", rules.SETTLE_TIME)
    a.imds.bodies["local-ipv4s"] = b"10.0.250.10\n" * 10**6
    assert a.act("monitor").code == outcome.SUCCESS
    assert a.api.calls == ["DescribeNetworkInterfaces"]


def test_bytes_without_end_and_without_a_length_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        """A connection that always has more data at once."""

        asked = 0

        def settimeout(self, _: float) -> None: ...
        def connect(self, _: object) -> None: ...
        def sendall(self, _: bytes) -> None: ...
        def close(self) -> None: ...

        def recv(self, _: int) -> bytes:
            self.asked += 1
            return b"x" * 64

    link = Endless()
    monkeypatch.setattr("agent.metadata._socket.socket", lambda *_: link)
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        metadata.exchange(("127.0.0.1", 80), b"", Patience(PATIENCE))
    assert link.asked == metadata.MOST_BYTES // 64 + 1


def test_an_answer_of_ec2_that_does_not_end_is_cut_off(a: Node) -> None:
    a.act("start")
    a.api.raw = b"<x>" * (1 << 20)
    result = a.act("migrate_from")
    assert result.code == outcome.ERR_GENERIC
    assert "more than 1048576 bytes" in result.said


ITEMS = {
    "mac": ["<html>", "", "a b"],
    "interface-id": ["<html>no</html>", "eni-a eni-b", "i-1", ""],
    "subnet-id": ["<html>", "10.0.0.0", ""],
    "subnet-ipv4-cidr-block": ["<html>", "10.0.250.0", "10.0.250.0/33", "10.0.250.0/x"],
    "local-ipv4s": ["<html>", "10.0.250", "10.0.250.10\nsorry"],
    "placement/region": ["<html>", "a b"],
    "services/domain": ["<html>", "a\r\nb"],
    "security-credentials/": ["<html>", " "],
    "security-credentials/node": ["<html>", "[]", "{}", '{"AccessKeyId": "a\\nheader: b"}', "null"],
}


@pytest.mark.parametrize(("item", "text"), [(item, text) for item, texts in ITEMS.items() for text in texts])
def test_a_text_of_imds_that_is_none_is_no_answer_and_not_kept(
    a: Node, b: Node, item: str, text: str
) -> None:
    """A captive portal answers for one item: the API would refuse an interface of that name."""
    b.act("start")
    a.imds.bodies[item] = text.encode()
    assert a.act("start").code == outcome.ERR_GENERIC
    assert a.api.owners() == ["eni-b"]
    assert "<" not in a.record.read_text()
    a.imds.bodies.clear()
    assert a.act("start").code == outcome.SUCCESS


def test_two_owners_in_one_answer_are_no_answer(a: Node, b: Node) -> None:
    """Such an answer comes from the middle of a move; the next answer decides."""
    b.act("start")
    a.act("start")
    b.earlier("since", rules.SETTLE_TIME)
    both = "".join(
        f"<item><networkInterfaceId>{eni}</networkInterfaceId><privateIpAddressesSet>"
        f"<item><privateIpAddress>{VIP}</privateIpAddress><primary>false</primary></item>"
        "</privateIpAddressesSet></item>"
        for eni in ("eni-a", "eni-b")
    )
    answer = Api.answer

    def twice_both(query: dict[str, str]) -> tuple[int, str]:
        found = answer(a.api, query)
        if len(a.api.calls) > 2:
            return found
        return 200, envelope(query["Action"], f"<networkInterfaceSet>{both}</networkInterfaceSet>")

    a.api.answer = twice_both  # type: ignore[method-assign]
    assert b.act("monitor").code == outcome.NOT_RUNNING
    assert b.api.calls == ["DescribeNetworkInterfaces"] * 3


def test_a_message_of_ec2_is_one_line(a: Node) -> None:
    a.api.faults["AssignPrivateIpAddresses"] = [
        (400, "SomethingNew", "first\nocf-exit-reason:second\r\n\tthird")
    ]
    result = a.act("start")
    assert result.reason.endswith("first ocf-exit-reason:second third; see EC2's error codes")


@pytest.mark.parametrize("what", ["denied", "no role", "new keys"])
def test_a_role_that_is_not_in_force_yet_is_waited_for(a: Node, what: str) -> None:
    """A new role's policy takes seconds to come into force; EC2 has accepted no call of this node yet."""
    answer, asked = a.api.answer, a.imds.answer
    tries = []

    def from_the_third_on(query: dict[str, str]) -> tuple[int, str]:
        tries.append(query)
        if len(tries) == 3:
            a.api.faults.clear()
        return answer(query)

    def from_the_third_look_on(method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if path.endswith("security-credentials/"):
            tries.append({})
        if len(tries) == 3:
            a.imds.role = "node"
        return asked(method, path, headers)

    if what == "no role":
        a.imds.role = None
        a.imds.answer = from_the_third_look_on  # type: ignore[method-assign]
    else:
        fault = DENIED if what == "denied" else (401, "AuthFailure", "AWS was not able to validate")
        a.api.faults["AssignPrivateIpAddresses"] = [fault]
        a.api.answer = from_the_third_on  # type: ignore[method-assign]
    assert a.act("start").code == outcome.SUCCESS
    assert len(tries) >= 3
    assert a.api.owners() == ["eni-a"]


def test_once_ec2_has_said_yes_a_denial_is_a_verdict(a: Node) -> None:
    a.act("start")
    a.act("stop")
    a.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    assert a.act("start").code == outcome.ERR_PERM
    assert a.api.calls == ["AssignPrivateIpAddresses"]


def test_a_planned_move_does_not_wait_for_a_role(a: Node, b: Node) -> None:
    """The old holder has already stopped its system's half, so each retry is time without the VIP."""
    a.act("start")
    a.act("migrate_to")
    b.api.faults["AssignPrivateIpAddresses"] = [DENIED]
    assert b.act("migrate_from").code == outcome.ERR_PERM
    assert b.api.calls == ["AssignPrivateIpAddresses"]
