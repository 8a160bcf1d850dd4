"""The lab with one behaviour turned off, to check that its tests notice.

`pytest -p tests.cluster.mutants` applies the mutant that EC2VIP_MUTANT names, in the tests' own process and
in that of a hollow lab. The hollow lab then runs this module as its program, because the lab itself has no
switch for mutants.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.aws.emulator import Interface, authorization, interfaces_api, world
from tests.aws.emulator.addresses import AddressBook
from tests.aws.emulator.lifecycle import Lifecycle
from tests.aws.emulator.model import STOPPED, GroupRule
from tests.aws.emulator.throttle import Throttle
from tests.lab import daemon, fabric

VARIABLE = "EC2VIP_MUTANT"
LAB = "mutant-tests"


@dataclass(frozen=True)
class Mutant:
    """What is turned off, how, and the tests that must then each fail."""

    without: str
    apply: Callable[[], None]
    tests: tuple[str, ...]


def instead(owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Replace the function or method by the decorated one, which gets the original as its first argument."""

    def replace(mutation: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(lambda *a, **k: mutation(original, *a, **k)))

    return replace


def _reassignment() -> None:
    @instead(interfaces_api.InterfacesApi, "_assign")
    def answers_and_moves_nothing(assign: Any, api: Any, eni: Any, wanted: list[str], allow: bool) -> None:
        held = {i["PrivateIpAddress"] for e in api.ec2_backend.enis.values() for i in e.private_ip_addresses}
        if not (allow and held.intersection(wanted)):
            assign(api, eni, wanted, allow)


def _metadata() -> None:
    @instead(AddressBook, "_show")
    def never(show: Any, book: AddressBook, *change: Any) -> None:
        """Leave the metadata as they were at first."""


def _user_data() -> None:
    @instead(world, "decoded_user_data")
    def padded(decoded: Any, found: Any) -> bytes:
        """Add one byte, which gzip ignores.

        After a worse change, the engine tier's nodes would not boot, and its tests would wait for them.
        """
        return bytes(decoded(found)) + b"\0"


def _permissions() -> None:
    @instead(authorization, "check")
    def everything_is_allowed(check: Any, *request: Any) -> None:
        """Check no policy."""


def _throttling() -> None:
    @instead(Throttle, "take")
    def always(take: Any, throttle: Throttle, action: str, *, narrowed: bool) -> bool:
        return True


def _routes() -> None:
    @instead(AddressBook, "_route")
    def only_the_first(route: Any, book: AddressBook, place: Any, eni_id: str | None, version: int) -> None:
        if eni_id is None or place not in book.routed._holder:
            route(book, place, eni_id, version)


def _groups() -> None:
    @instead(fabric, "ruleset")
    def open_to_all(rules: Any, interfaces: list[Interface], given: Iterable[GroupRule]) -> str:
        return str(rules(interfaces, given)).replace("    drop\n", "    accept\n")


def _dead_holders() -> None:
    @instead(Lifecycle, "_enter")
    def stopped_ones_lose_their_addresses(enter: Any, lifecycle: Lifecycle, found: Any, state: str) -> None:
        enter(lifecycle, found, state)
        if state != STOPPED:
            return
        for nic in found.nics.values():
            lost = [item for item in nic.private_ip_addresses if not item.get("Primary")]
            nic.private_ip_addresses[:] = [i for i in nic.private_ip_addresses if i not in lost]
            gone = [item["PrivateIpAddress"] for item in lost]
            lifecycle._world.addresses.changed(nic.vpc_id, gone, None)


EMULATOR, CLUSTER = "tests/harness/aws/test_", "tests/cluster/test_lab_"
MUTANTS = {
    "reassignment": Mutant(
        "AllowReassignment moves the address",
        _reassignment,
        (f"{EMULATOR}assign.py::test_with_allow_reassignment_the_address_moves",),
    ),
    "metadata": Mutant(
        "local-ipv4s follow the address",
        _metadata,
        (f"{EMULATOR}imds.py::test_local_addresses_follow_a_move_with_the_primary_first",),
    ),
    "user-data": Mutant(
        "user data arrive byte for byte",
        _user_data,
        (
            f"{EMULATOR}instances.py::test_user_data_reach_the_machine_byte_for_byte",
            "tests/engine/test_lifecycle.py::test_a_node_is_given_its_user_data_as_it_was_rendered",
        ),
    ),
    "permissions": Mutant(
        "IAM denies what no policy allows",
        _permissions,
        (
            f"{EMULATOR}iam.py::test_a_role_does_what_its_policy_allows_and_nothing_else",
            f"{EMULATOR}iam.py::test_the_resource_of_an_assign_is_its_interface",
            "tests/engine/test_permissions.py::test_without_the_boundary_no_role_is_made_and_awss_words_name_the_action",
        ),
    ),
    "throttling": Mutant(
        "calls beyond the bucket are refused",
        _throttling,
        (f"{EMULATOR}throttle.py::test_calls_beyond_the_bucket_are_refused_for_everyone_in_the_account",),
    ),
    "routes": Mutant(
        "packets follow the assignment",
        _routes,
        (f"{CLUSTER}fabric.py::test_packets_follow_the_assignment_and_nothing_else",),
    ),
    "groups": Mutant(
        "security groups drop what no rule admits",
        _groups,
        (
            f"{CLUSTER}fabric.py::test_members_of_one_group_do_not_reach_each_other_without_a_rule",
            f"{CLUSTER}fabric.py::test_only_the_port_of_a_rule_is_open",
        ),
    ),
    "dead-holders": Mutant(
        "a stopped instance's interface keeps its addresses",
        _dead_holders,
        (f"{CLUSTER}machines.py::test_a_stopped_instance_keeps_its_addresses_and_answers_nothing",),
    ),
}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Turn the behaviour off here and in the hollow lab, which gets a name of its own."""
    MUTANTS[os.environ[VARIABLE]].apply()
    daemon.spawn = functools.partial(daemon.spawn, module="tests.cluster.mutants")
    if conftest := sys.modules.get("tests.cluster.conftest"):
        conftest.HOLLOW = LAB  # type: ignore[attr-defined]


if __name__ == "__main__":
    MUTANTS[os.environ[VARIABLE]].apply()
    sys.exit(daemon.main(*sys.argv[1:]))
