"""The volumes of an instance: internal/service/ec2/ec2_instance.go, readBlockDevices and related code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cloud import Cloud, by, tag_map, wait_until
from .schema import Values


def root_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """The tags in the root device's block."""
    return dict((values.get("rootBlockDevice") or {}).get("tags") or {})


def root_volume(instance: Values) -> str:
    """The id of the root device's volume."""
    return str(
        next(
            device["Ebs"]["VolumeId"]
            for device in instance["BlockDeviceMappings"]
            if device["DeviceName"] == instance["RootDeviceName"]
        )
    )


def volume_ids(cloud: Cloud, instance_id: str) -> list[str]:
    """The ids of all volumes of an instance."""
    found = cloud.ec2.describe_volumes(Filters=by(attachment__instance_id=instance_id))["Volumes"]
    return [volume["VolumeId"] for volume in found]


def volume_tags(cloud: Cloud, instance_id: str) -> dict[str, str]:
    """The tags of all volumes of an instance, in one map."""
    of_volumes = [{"Name": "resource-id", "Values": volume_ids(cloud, instance_id)}]
    return tag_map(cloud.ec2.describe_tags(Filters=of_volumes)["Tags"])


def root_device(cloud: Cloud, instance: Values, *, tagged: bool) -> Values | None:
    """The root device, or None; with its tags if `tagged`.

    It gets no tags of its own if `volumeTags` has those of all volumes.
    """
    devices = {d["Ebs"]["VolumeId"]: d["DeviceName"] for d in instance.get("BlockDeviceMappings", [])}
    if not devices:
        return None
    for volume in cloud.ec2.describe_volumes(VolumeIds=list(devices))["Volumes"]:
        if devices[volume["VolumeId"]] == instance.get("RootDeviceName"):
            return {
                "deviceName": instance["RootDeviceName"],
                "volumeId": volume["VolumeId"],
                "volumeSize": volume["Size"],
                "volumeType": volume["VolumeType"],
                "encrypted": volume["Encrypted"],
                **({"tags": tag_map(volume.get("Tags"))} if tagged else {}),
            }
    return None


def set_root(cloud: Cloud, instance_id: str, old: Values, new: Values) -> None:
    """Change the root volume from the old block to the new one."""
    volume = old["volumeId"]
    if new.get("volumeType", old.get("volumeType")) != old.get("volumeType"):
        cloud.ec2.modify_volume(VolumeId=volume, VolumeType=new["volumeType"])
        # The volume is usable while it is "optimizing", which may last for a day.
        wait_until(
            f"EC2 Instance ({instance_id}) volume ({volume}) update",
            lambda: "modifying" if _modification(cloud, volume) == "modifying" else "modified",
            wanted="modified",
            pending=("modifying",),
        )
    cloud.retag(volume, old.get("tags", {}), new.get("tags", {}))


def _modification(cloud: Cloud, volume: str) -> str:
    found = cloud.ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
    return str(found[0]["ModificationState"])
