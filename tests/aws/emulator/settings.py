"""How quick and how strict the emulated EC2 is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Settings:
    """Delays in seconds and switches; may be changed while the emulator runs.

    An `imds_delay_s` of `math.inf` leaves the metadata stale until the instance is rebooted or started:
    AWS gives no bound, and addresses that stay stale are a live class of bugs in
    aws/amazon-vpc-cni-k8s (#1967, #3019).
    """

    api_delay_s: float = 0.0
    """From the request to the answer, for calls that change something."""
    read_delay_s: float | None = None
    """The same for Describe and Get calls; None means as `api_delay_s`."""
    describe_lag_s: float = 0.0
    """From the answer until Describe shows an address moved (EC2 is eventually consistent)."""
    route_delay_s: float = 0.0
    """From the answer until the data plane delivers to the new interface."""
    imds_delay_s: float = 0.0
    """From then until the instance metadata show it."""
    throttle: bool = True
    """Token buckets of AWS's figures, or no limit."""
    same_eni_reassign: Literal["success", "error"] = "success"
    """Assigning a secondary that the same interface has already; nothing public says what AWS answers."""
    credential_lifetime_s: float = 6 * 3600
    """Life of the role credentials that the metadata service hands out."""
    clock_skew_s: float = 300
    """Requests with a time stamp further away than this are refused. Source: AWS General Reference on
    Signature Version 4, "a request must reach AWS within five minutes of the time stamp"."""
    instance_metadata_tags: Literal["enabled", "disabled"] = "disabled"
    """The account's default for InstanceMetadataTags: what a launch gets that does not say. Source: EC2 user
    guide, "Where to configure instance metadata options"."""
    delay_administrator: bool = False
    """Whether the delays also hold for the account's own administrator, who builds the stack."""

    @classmethod
    def instant(cls) -> Settings:
        """No delay anywhere: for comparisons, where EC2's share is to be left out."""
        return cls()

    @classmethod
    def typical(cls) -> Settings:
        """EC2's measured and documented times, as far as they are public.

        - Assign adds 0.4 to 0.6 s to a node's start (aws/amazon-vpc-cni-k8s#648); of eleven Unassign calls
          ten took 0.25 to 0.5 s (histogram in DataDog/integrations-core#10143).
        - Reads: no figure found; 0.2 s is assumed.
        - A move converges in about 1.2 s (AWS re:Post article ARsWC8hyOHQAyoriwvxrA_KQ), taken as counted
          from the call: 0.4 s of call and 0.8 s after it.
        - Metadata were at least 0.76 s behind in aws/amazon-vpc-cni-k8s#1872, where no end was seen.
        """
        return cls(api_delay_s=0.4, read_delay_s=0.2, route_delay_s=0.8, imds_delay_s=1.0)
