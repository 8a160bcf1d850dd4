"""The instance metadata as a tree: a dict is a directory, a string a leaf.

Source of names and meaning: EC2 user guide, "Instance metadata categories". An empty category is
absent, and a request for it gets a 404.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from .model import Instance
from .principals import Principals, trusted_by_ec2
from .world import World

Tree = dict[str, "Tree | str"]

# The code in `iam/` if the role's trust policy does not name EC2. Source: IAM user guide, "Troubleshoot IAM
# and Amazon EC2".
UNTRUSTED = "AssumeRoleUnauthorizedAccess"


def stamp(moment: datetime, clock_error_s: float = 0.0) -> str:
    """A time as the metadata write it: UTC, whole seconds.

    `clock_error_s` is how far the instance's clock is ahead; the time is moved back by it.
    """
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    seen = moment.astimezone(timezone.utc) - timedelta(seconds=clock_error_s)
    return seen.strftime("%Y-%m-%dT%H:%M:%SZ")


def meta_data(world: World, principals: Principals, instance: Instance) -> Tree:
    """Everything below `meta-data/`. The caller holds the world's lock."""
    found = world.find_instance(instance.id)
    nics = [found.nics[index] for index in sorted(found.nics)]
    primary = nics[0]
    reservation = next((each.id for each in world.ec2.reservations.values() if found in each.instances), "")
    name = world.private_dns_name(primary.private_ip_address)
    tree: Tree = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": found.root_device_name, "root": found.root_device_name},
        "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.type,
        "local-hostname": name,
        "local-ipv4": primary.private_ip_address,
        "mac": primary.mac_address,
        "network": {"interfaces": {"macs": {nic.mac_address: _interface(world, nic) for nic in nics}}},
        "placement": _placement(world, found),
        "profile": "default-hvm",
        "reservation-id": reservation,
        "security-groups": "\n".join(sorted(group.name for group in primary.group_set)),
        "services": {"domain": world.partition.dns_suffix, "partition": world.partition.name},
    }
    if primary.public_ip:
        tree["public-ipv4"] = primary.public_ip
        tree["public-hostname"] = found.public_dns_name or ""
    if instance.profile is not None:
        tree["iam"] = _iam(world, principals, instance)
    if found.key_name:
        tree["public-keys"] = {"0": {"openssh-key": _public_key(world, found.key_name)}}
    if found.metadata_options.instance_metadata_tags == "enabled":
        tree["tags"] = {"instance": {tag["key"]: tag["value"] for tag in found.get_tags()}}
    return tree


def identity_document(world: World, instance: Instance) -> str:
    """The text of `dynamic/instance-identity/document`.

    Its address is the primary one, which does not follow a move.
    """
    found = world.find_instance(instance.id)
    document = {
        "accountId": world.account_id,
        "architecture": found.architecture,
        "availabilityZone": found.availability_zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": stamp(instance.launched, world.faults.clock_error(instance.id)),
        "privateIp": found.nics[0].private_ip_address,
        "ramdiskId": None,
        "region": world.region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


def _placement(world: World, found: Any) -> Tree:
    zone = str(found.availability_zone)
    tree: Tree = {
        "availability-zone": zone,
        "availability-zone-id": found.nics[0].subnet.availability_zone_id,
        "region": world.region,
    }
    if found.placement.group_name:
        tree["group-name"] = found.placement.group_name
    return tree


def _interface(world: World, nic: Any) -> Tree:
    vpc = world.ec2.vpcs[nic.vpc_id]
    # Clients take the first address for the primary (amazonlinux/amazon-ec2-net-utils#19).
    addresses = (nic.private_ip_address, *world.addresses.metadata.of(nic.id))
    tree: Tree = {
        "device-number": str(nic.device_index),
        "interface-id": nic.id,
        "local-hostname": world.private_dns_name(nic.private_ip_address),
        "local-ipv4s": "\n".join(addresses),
        "mac": nic.mac_address,
        "network-card-index": "0",
        "owner-id": world.account_id,
        "security-group-ids": "\n".join(sorted(group.id for group in nic.group_set)),
        "security-groups": "\n".join(sorted(group.name for group in nic.group_set)),
        "subnet-id": nic.subnet_id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": nic.vpc_id,
        "vpc-ipv4-cidr-block": vpc.cidr_block,
        "vpc-ipv4-cidr-blocks": "\n".join(
            association["cidr_block"] for association in vpc.get_cidr_block_association_set()
        ),
    }
    if nic.public_ip:
        tree["ipv4-associations"] = {nic.public_ip: nic.private_ip_address}
        tree["public-hostname"] = nic.association["publicDnsName"]
        tree["public-ipv4s"] = nic.public_ip
    return tree


def _iam(world: World, principals: Principals, instance: Instance) -> Tree:
    profile = world.profile_of(instance.id)
    tree: Tree = {}
    ahead = world.faults.clock_error(instance.id)
    now = stamp(datetime.fromtimestamp(world.clock(), timezone.utc), ahead)
    role = profile.roles[0] if profile.roles else None
    trusted = role is None or trusted_by_ec2(world, role)
    info = {
        "Code": "Success" if trusted else UNTRUSTED,
        "LastUpdated": now,
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    tree["info"] = json.dumps(info, indent=2)
    if role is not None and not trusted:
        text = {
            "Code": UNTRUSTED,
            "Message": f"EC2 cannot assume the role {role.name}.",
            "LastUpdated": now,
        }
        tree["security-credentials"] = {role.name: json.dumps(text, indent=2)}
    elif role is not None:
        session = principals.credentials(instance.id, role)
        credentials = {
            "Code": "Success",
            "LastUpdated": stamp(session.issued, ahead),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": stamp(session.expiration, ahead),
        }
        tree["security-credentials"] = {role.name: json.dumps(credentials, indent=2)}
    return tree


def _public_key(world: World, key_name: str) -> str:
    keys = world.ec2.describe_key_pairs(key_names=[key_name])
    material = keys[0].material_public if keys else b""
    return material.decode() if isinstance(material, bytes) else str(material)
