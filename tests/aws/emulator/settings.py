"""How fast and how strict the emulated EC2 is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints


@dataclass
class Settings:
    """Delays (in seconds) and switches. They may change while the emulator runs.

    With an `imds_delay_s` of `math.inf` the metadata stay stale until the instance reboots or starts. AWS
    gives no bound, and addresses that stay stale are a live class of bugs in aws/amazon-vpc-cni-k8s (#1967,
    #3019).
    """

    api_delay_s: float = 0.0
    """From the request to the answer, for calls that change something."""
    read_delay_s: float | None = None
    """The same for Describe, Get and List calls; None means `api_delay_s`."""
    describe_lag_s: float = 0.0
    """From the answer until Describe shows an address moved (EC2 is eventually consistent)."""
    route_delay_s: float = 0.0
    """From the answer until the data plane delivers to the new interface."""
    imds_delay_s: float = 0.0
    """From that delivery until the instance metadata show the address."""
    throttle: bool = True
    """Whether token buckets with AWS's figures limit the calls."""
    same_eni_reassign: Literal["success", "error"] = "success"
    """The answer if an interface already has the assigned secondary. No public source says what AWS does."""
    credential_lifetime_s: float = 6 * 3600
    """Life of the role credentials that the metadata service hands out."""
    clock_skew_s: float = 300
    """We refuse requests whose time stamp is further off than this. Source: AWS General Reference on
    Signature Version 4, "a request must reach AWS within five minutes of the time stamp"."""
    instance_metadata_tags: Literal["enabled", "disabled"] = "disabled"
    """The account's default for InstanceMetadataTags, for launches that do not set it. Source: EC2 user
    guide, "Where to configure instance metadata options"."""
    delay_administrator: bool = False
    """Whether callers without a role, such as the administrator who builds the stack, are delayed too."""

    @classmethod
    def delays(cls) -> tuple[str, ...]:
        """The names of EC2's own times."""
        return tuple(each.name for each in fields(cls) if each.name.endswith(("_delay_s", "_lag_s")))

    @classmethod
    def switches(cls) -> dict[str, tuple[str, ...]]:
        """The names of the switches, each with its values."""
        hints = get_type_hints(cls)
        return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}

    @classmethod
    def instant(cls) -> Settings:
        """No delays, for comparisons that leave out EC2's share of the time."""
        return cls()

    @classmethod
    def typical(cls) -> Settings:
        """EC2's measured and documented times, as far as they are public.

        - Assign adds 0.4 to 0.6 s to a node's start (aws/amazon-vpc-cni-k8s#648). Ten of eleven Unassign
          calls took 0.25 to 0.5 s (histogram in DataDog/integrations-core#10143).
        - Reads: we found no figure and assume 0.2 s.
        - A move converges in about 1.2 s (AWS re:Post article ARsWC8hyOHQAyoriwvxrA_KQ). We count that from
          the call: 0.4 s for the call and 0.8 s after it.
        - Metadata lagged at least 0.76 s in aws/amazon-vpc-cni-k8s#1872, which does not show the end.
        """
        return cls(api_delay_s=0.4, read_delay_s=0.2, route_delay_s=0.8, imds_delay_s=1.0)
