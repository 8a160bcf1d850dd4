"""Images that moto lacks, and the public parameters that name the newest public ones.

Sources: Debian wiki, Cloud/AmazonEC2Image (owner 136693071363, /aws/service/debian); Ubuntu on AWS
documentation, "Find Ubuntu images" (owner 099720109477, /aws/service/canonical). The ids are made up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from moto.ec2.models.amis import Ami
from moto.ssm.models import Parameter, ssm_backends
from moto.utilities.utils import load_resource


@dataclass(frozen=True)
class KnownImage:
    """An image and the SSM parameters that point to it. One without an owner is private to the account."""

    ami_id: str
    name: str
    owner_id: str
    description: str
    root_device: str
    parameters: tuple[str, ...] = ()
    imds_v2: bool = False


# Two images per platform, made by the account itself, which contain the cluster's packages.
BAKED = {
    "al2023": ("ami-0a12023a12023ab01", "ami-0a12023a12023ab02"),
    "debian12": ("ami-0deb1a2e12ba4ed01", "ami-0deb1a2e12ba4ed02"),
    "debian13": ("ami-0deb1a2e13ba4ed01", "ami-0deb1a2e13ba4ed02"),
}
IMDS_V2 = "v2.0"  # instances of an image marked so require tokens and have a hop limit of 2
AMAZON, DEBIAN, CANONICAL = "137112412989", "136693071363", "099720109477"
_UBUNTU = "/aws/service/canonical/ubuntu/server/{}/stable/current/amd64/hvm/ebs-gp3/ami-id"
IMAGES = (
    KnownImage(
        "ami-0a12023a12023a000",
        "al2023-ami-2023.12.20260930.0-kernel-6.1-x86_64",
        AMAZON,
        "Amazon Linux 2023, a stand-in: Debian under dnf",
        "/dev/xvda",
        ("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",),
        imds_v2=True,
    ),
    KnownImage(
        "ami-0deb1a2e12000a3d6",
        "debian-12-amd64-20251112-2294",
        DEBIAN,
        "Debian 12 (20251112-2294)",
        "/dev/xvda",
        ("/aws/service/debian/release/12/latest/amd64", "/aws/service/debian/release/bookworm/latest/amd64"),
    ),
    KnownImage(
        "ami-0deb1a2e13000a3d6",
        "debian-13-amd64-20251117-2299",
        DEBIAN,
        "Debian 13 (20251117-2299)",
        "/dev/xvda",
        ("/aws/service/debian/release/13/latest/amd64", "/aws/service/debian/release/trixie/latest/amd64"),
    ),
    KnownImage(
        "ami-0b0b24040000a3d64",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20251022",
        CANONICAL,
        "Canonical, Ubuntu, 24.04, amd64 noble image",
        "/dev/sda1",
        (_UBUNTU.format("24.04"), _UBUNTU.format("noble")),
        imds_v2=True,
    ),
    *(
        KnownImage(
            ami_id,
            f"{platform}-cluster-{ami_id[-2:]}",
            "",
            f"{platform} with the packages of the cluster stack",
            "/dev/xvda",
        )
        for platform, ami_ids in BAKED.items()
        for ami_id in ami_ids
    ),
)


# Otherwise moto loads 1,300 images of other services, which takes longer than everything else together.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


def _amazon_linux(of: str, region: str) -> list[dict[str, Any]]:
    """What moto's data say about Amazon Linux's images in a Region.

    They lack China and GovCloud, which get the data of us-east-1.
    """
    try:
        found: list[dict[str, Any]] = load_resource(f"{of}/{region}.json")
    except FileNotFoundError:
        found = load_resource(f"{of}/us-east-1.json")
    return found


def add_images(ec2: Any, account_id: str, region: str) -> None:
    """Add the images to this account's EC2, and their parameters to its SSM.

    Amazon Linux's images and parameters are moto's own, except for the image that the lab can boot.
    """
    for known in _amazon_linux("ec2/resources/latest_amis", region):
        fields = {name: value for name, value in known.items() if name != "creation_date"}
        ami = ec2.amis[known["ami_id"]] = Ami(ec2, **{**fields, "owner_alias": "amazon"})
        if known["name"].startswith("al2023"):
            ami.imds_support = IMDS_V2
    parameters = ssm_backends[account_id][region]._parameters
    for known in _amazon_linux("ssm/resources/ami-amazon-linux-latest", region):
        if known["Name"] not in parameters:
            changed = datetime.fromtimestamp(known["LastModifiedDate"], timezone.utc)
            parameters[known["Name"]].append(_parameter(account_id, known["Name"], known["Value"], changed))
    for number, image in enumerate(IMAGES, 1):
        made = datetime(2025, 11, number, tzinfo=timezone.utc)
        ami = ec2.amis[image.ami_id] = Ami(
            ec2,
            image.ami_id,
            name=image.name,
            description=image.description,
            owner_id=image.owner_id or account_id,
            public=bool(image.owner_id),
            virtualization_type="hvm",
            architecture="x86_64",
            image_location=f"{image.owner_id or account_id}/{image.name}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=image.root_device,
            creation_date=made,
        )
        if image.imds_v2:
            ami.imds_support = IMDS_V2
        for name in image.parameters:
            parameters[name].append(_parameter(account_id, name, image.ami_id, made))


def _parameter(account_id: str, name: str, ami_id: str, changed: datetime) -> Parameter:
    return Parameter(
        account_id=account_id,
        name=name,
        value=ami_id,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=changed.timestamp(),
        version=1,
        data_type="aws:ec2:image",
    )
