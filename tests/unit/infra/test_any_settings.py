"""Any stack file gives either a configuration that can be rolled out or a ConfigError, nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.config import StackConfig
from infra.errors import ConfigError
from infra.pair import FloatingIpPair
from infra.resolve import pair_args
from infra.settings import SETTINGS

from .bad_settings import GOOD, as_pulumi_gives_them
from .cloudformation import problems
from .recording import record

SECRET = "hunter2-" * 4

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
addresses = st.sampled_from(
    ["10.0.250.185", "10.0.250.186", "10.0.250.4", "10.0.250.255", "10.0.9.1", "0.0.0.0", "::1", "a", 1, None]
)
networks = st.sampled_from(
    ["10.0.0.0/16", "10.0.250.0/24", "10.0.250.184/30", "10.0.250.185/32", "0.0.0.0/0", "10.0.250.1/24", ""]
)
clients = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["tcp", "udp", "icmp", "sctp"]) | anything,
        "ports": st.integers(0, 70_000)
        | st.lists(st.integers(0, 70_000))
        | st.sampled_from(["1-9"])
        | anything,
        "cidr": networks | anything,
        "securityGroup": st.just("sg-01234567") | anything,
    },
)
names = st.text(st.sampled_from("abcxyz.-@_:+12 \\"), max_size=12)
services = st.fixed_dictionaries(
    {},
    optional={
        "unit": names | anything,
        "agent": st.sampled_from(["ocf:heartbeat:Filesystem", "ocf:x:IPaddr2", "lsb:x"]) | anything,
        "name": names | anything,
        "parameters": st.dictionaries(names, scalars, max_size=3) | anything,
        "packages": st.lists(names, max_size=3) | anything,
        "timeouts": st.dictionaries(st.sampled_from(["start", "stop", "begin"]), scalars) | anything,
        "interval": scalars,
        "movesVip": scalars,
    },
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "vip": addresses,
    "vips": st.lists(addresses, max_size=3),
    "nodeIps": st.lists(addresses, max_size=3),
    "vpcCidr": networks,
    "subnetCidr": networks,
    "clients": st.lists(clients, max_size=3),
    "services": st.lists(services, max_size=3),
    "tags": st.dictionaries(st.text(max_size=10), scalars, max_size=4),
    "packageRepository": st.text().map("https://".__add__),
    "tokenMs": st.integers(),
}
# Pulumi passes lists and mappings as JSON, and texts as they are, so a text may be anything.
stacks = st.fixed_dictionaries(
    {}, optional={key: LIKELY.get(key, anything) | anything | st.text() for key in [*SETTINGS, "typo"]}
)


def parsed(values: dict[str, Any], secrets: list[str]) -> StackConfig | None:
    """The configuration, or None if it was refused in a way that a user can read."""
    try:
        config = StackConfig.parse(as_pulumi_gives_them(values), secrets=secrets, region="us-east-1")
    except ConfigError as e:
        _check_told(e)
        return None
    assert SECRET not in repr(config)
    return config


def _check_told(error: ConfigError) -> None:
    """Check that every problem is one readable line with a remedy, and that none shows a secret."""
    assert error.problems
    assert SECRET not in str(error)
    for problem in error.problems:
        assert len(problem.encode()) < 1000, problem
        assert "\n" not in problem
        assert "; " in problem or problem.endswith("?"), problem


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes=stacks)
@example(changes={"nodeIps": " "})
@example(changes={"subnetCidr": "10.0.250.185/32"})
def test_any_settings_are_taken_or_refused(changes: dict[str, Any]) -> None:
    parsed(GOOD | changes, [])


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes=stacks, hidden=st.sampled_from(sorted(SETTINGS)))
def test_a_secret_is_in_no_message(changes: dict[str, Any], hidden: str) -> None:
    kinds: dict[str, Any] = {"array": [SECRET, {"x": {"y": SECRET}}], "object": {SECRET: {"x": SECRET}}}
    secret = kinds.get(SETTINGS[hidden].kind.partition("<")[0], SECRET)
    assert parsed(GOOD | changes | {hidden: secret}, [f"ec2vip:{hidden}"]) is None


texts = st.text(
    st.characters(exclude_categories=["C"], exclude_characters="\u2028\u2029"), min_size=1
).filter(str.strip)
working = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.dictionaries(
            st.text(st.sampled_from("aB1 _.:/=+-@é日"), min_size=1, max_size=20).filter(
                lambda key: not key.lower().startswith("aws:")
            ),
            st.text(st.sampled_from("aB1 _.:/=+-@é日"), max_size=20),
            max_size=3,
        ),
        "services": st.lists(
            st.fixed_dictionaries(
                {
                    "agent": st.just("ocf:heartbeat:Dummy"),
                    "parameters": st.dictionaries(
                        st.sampled_from(["state", "fake", "x-1"]), texts | st.floats()
                    ),
                },
                optional={"packages": st.lists(st.sampled_from(["nginx", "g++7", "python3.11"]))},
            ),
            max_size=1,
        ),
        "clients": st.lists(clients, max_size=2),
        "keyName": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip),
        "publicIps": st.booleans(),
        "availabilityZone": st.sampled_from(["", "us-east-1b", "us-east-1f"]),
        "amiId": st.just("ami-0123456789abcdef0"),
    },
)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes=working)
@example(
    changes={
        "services": [{"agent": "ocf:a:b", "parameters": {"x": "".join(map(chr, range(0x4E00, 0x9000)))}}]
    }
)
def test_what_is_taken_can_be_rolled_out(changes: dict[str, Any]) -> None:
    config = parsed(GOOD | changes | {"readyTimeoutMinutes": 0}, [])
    if config is None:
        return
    try:
        made, _ = record(lambda: FloatingIpPair("ec2vip", pair_args(config)).outputs())
    except ConfigError as e:
        _check_told(e)
    else:
        assert problems(made) == [], json.dumps(changes)
