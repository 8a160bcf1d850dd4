"""AWS's partitions: the part of an ARN, the names and the services' principals that are not the same everywhere.

Source: botocore's data of the partitions. Which endpoint services of China have "cn." before their name:
aws/aws-cdk#25329 and #25333, with the answers of DescribeVpcEndpointServices in both Regions.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from botocore.loaders import Loader

# Those of the services that the emulator offers in China (see endpoints_api) whose name has "cn." in front.
WITH_CN = ("autoscaling", "ebs", "ec2", "lambda", "monitoring", "s3", "sts")


@dataclass(frozen=True)
class Partition:
    """One partition: "aws", "aws-cn", "aws-us-gov" …"""

    name: str
    dns_suffix: str

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def of(region: str) -> Partition:
        """The partition of a Region. Raises ValueError for a Region of none."""
        for found in Loader().load_data("partitions")["partitions"]:
            if region in found["regions"] or re.fullmatch(found["regionRegex"], region):
                return Partition(found["id"], found["outputs"]["dnsSuffix"])
        raise ValueError(f"no partition of AWS has a Region {region!r}")

    def passed_to(self, service: str) -> str:
        """The principal of a service as `iam:PassedToService` has it; China's has China's suffix.

        Second-hand: AWS writes for China that policies should name both spellings.
        """
        return f"{service}.{self.dns_suffix}"

    def trusted(self, service: str) -> tuple[str, ...]:
        """The principals by which a role's trust policy may name a service; China takes both spellings."""
        return tuple(dict.fromkeys((f"{service}.amazonaws.com", f"{service}.{self.dns_suffix}")))

    def endpoint_service(self, service: str, region: str) -> str:
        """The name of a service's endpoint service."""
        before = "cn." if self.name == "aws-cn" and service in WITH_CN else ""
        return f"{before}com.amazonaws.{region}.{service}"
