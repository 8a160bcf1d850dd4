from __future__ import annotations

from tests.lab.prober import answered, checksum, request

IP_HEADER = bytes(20)


def test_a_request_carries_its_checksum() -> None:
    assert checksum(request(0x1234, 7)) == 0
    assert checksum(b"\xff" * 8) == 0


def test_an_answer_is_told_by_kind_and_identifier() -> None:
    mine = bytes([0]) + request(0x1234, 7)[1:]
    assert answered(IP_HEADER + mine, 0x1234) == 7
    assert answered(IP_HEADER + mine, 0x4321) is None
    assert answered(IP_HEADER + request(0x1234, 7), 0x1234) is None, "a request is no answer"
