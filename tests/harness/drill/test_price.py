"""The estimate has a part for all that costs, and says what it does not know."""

from __future__ import annotations

import pytest

from tests.drill.prove.price import price

from .stubbed import session_of


def test_the_price_has_a_part_for_all_that_costs() -> None:
    session = session_of(("key", "secret"))
    plain, rich = price({}, session), price({"endpoints": True, "publicIps": False}, session)
    assert plain.parts["4 instances t3.micro"] == pytest.approx(4 * 0.5 * 0.0104)
    assert plain.parts["4 public addresses"] == pytest.approx(4 * 0.5 * 0.005)
    assert plain.total == pytest.approx(sum(part or 0.0 for part in plain.parts.values()))
    assert "3 endpoints" in rich.parts
    assert "4 public addresses" not in rich.parts
    assert "list prices of us-east-1, other Regions differ" in str(plain)


def test_a_type_without_a_known_price_is_said_so() -> None:
    found = price({"instanceType": "u-6tb1.metal"}, session_of(("key", "secret")))
    assert found.parts["4 instances u-6tb1.metal"] is None
    assert "4 instances u-6tb1.metal: price unknown" in str(found)
    assert str(found).startswith("at least")
