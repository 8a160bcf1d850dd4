"""AWS's partitions: their part of an ARN, and the names and service principals that differ between them.

Source: botocore's partition data. Source for the endpoint services in China whose names start with "cn.":
aws/aws-cdk#25329 and #25333, with the answers of DescribeVpcEndpointServices in both Regions.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from botocore.loaders import Loader

# The services, of those that the emulator offers (see endpoints_api), whose names start with "cn." in China.
WITH_CN = ("autoscaling", "ebs", "ec2", "lambda", "monitoring", "s3", "sts")


@dataclass(frozen=True)
class Partition:
    """One partition: "aws", "aws-cn", "aws-us-gov" …"""

    name: str
    dns_suffix: str

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def of(region: str) -> Partition:
        """The partition of a Region. Raises ValueError if no partition has the Region."""
        for found in Loader().load_data("partitions")["partitions"]:
            if region in found["regions"] or re.fullmatch(found["regionRegex"], region):
                return Partition(found["id"], found["outputs"]["dnsSuffix"])
        raise ValueError(f"no partition of AWS has a Region {region!r}")

    def passed_to(self, service: str) -> str:
        """The principal of a service in `iam:PassedToService`; in China it has China's suffix.

        Second-hand: AWS says that policies for China should name both spellings.
        """
        return f"{service}.{self.dns_suffix}"

    def trusted(self, service: str) -> tuple[str, ...]:
        """The principals that may name a service in a role's trust policy; China accepts both spellings."""
        return tuple(dict.fromkeys((f"{service}.amazonaws.com", f"{service}.{self.dns_suffix}")))

    def endpoint_service(self, service: str, region: str) -> str:
        """The name of a service's endpoint service."""
        before = "cn." if self.name == "aws-cn" and service in WITH_CN else ""
        return f"{before}com.amazonaws.{region}.{service}"
