"""Instances and placement groups."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar

from .cloud import Cloud, ProviderError, tag_map, tag_specification, wait_until
from .schema import REGION, TAGS, Property, ResourceType, Values

GONE_STATES = ("shutting-down", "terminated")


def _replaces_user_data(inputs: Mapping[str, Any]) -> bool:
    return bool(inputs.get("userDataReplaceOnChange"))


class PlacementGroup(ResourceType):
    """How far apart, or how close together, instances are put."""

    token = "aws:ec2/placementGroup:PlacementGroup"
    label = "EC2 Placement Group"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "strategy": Property(required=True, replaces=True),
        "region": REGION,
        "tags": TAGS,
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        cloud.ec2.create_placement_group(
            GroupName=inputs["name"],
            Strategy=inputs["strategy"],
            **tag_specification("placement-group", inputs.get("tags")),
        )
        return str(inputs["name"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.retag(old["placementGroupId"], old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_placement_groups(GroupNames=[object_id])["PlacementGroups"][0]
        return {
            "arn": cloud.arn("placement-group", object_id),
            "name": found["GroupName"],
            "strategy": found["Strategy"],
            "placementGroupId": found["GroupId"],
            "tags": tag_map(found.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.delete_placement_group(GroupName=object_id)


class Instance(ResourceType):
    """An instance with one network interface, made at its launch."""

    token = "aws:ec2/instance:Instance"
    label = "EC2 Instance"
    inputs: ClassVar = {
        "ami": Property(computed=True, replaces=True),
        "iamInstanceProfile": Property(computed=True),
        "instanceType": Property(computed=True),
        "keyName": Property(computed=True, replaces=True),
        "metadataOptions": Property(
            computed=True,
            kind="block",
            block={
                "httpEndpoint": Property(computed=True),
                "httpTokens": Property(computed=True),
                "httpPutResponseHopLimit": Property(computed=True),
            },
        ),
        "placementGroup": Property(computed=True, replaces=True),
        "privateIp": Property(computed=True, replaces=True),
        "rootBlockDevice": Property(
            computed=True,
            kind="block",
            block={
                "encrypted": Property(computed=True, replaces=True),
                "volumeType": Property(computed=True),
                "tags": Property(kind="map"),
            },
        ),
        "secondaryPrivateIps": Property(computed=True, kind="set"),
        "sourceDestCheck": Property(default=True),
        "subnetId": Property(computed=True, replaces=True),
        "userData": Property(computed=True, replaces=_replaces_user_data),
        "userDataBase64": Property(computed=True, replaces=_replaces_user_data),
        "userDataReplaceOnChange": Property(default=False, unread=True),
        "volumeTags": Property(kind="map"),
        "vpcSecurityGroupIds": Property(computed=True, kind="set"),
        "region": REGION,
        "tags": TAGS,
    }

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        wrong = [
            (name, f'"{name}": one of `{name},launchTemplate` must be specified')
            for name in ("ami", "instanceType")
            if not inputs.get(name)
        ]
        if inputs.get("userData") and inputs.get("userDataBase64"):
            wrong.append(("userData", '"userData": conflicts with userDataBase64'))
        return wrong

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.run_instances(MinCount=1, MaxCount=1, **self._launch(cloud, inputs))
        return str(made["Instances"][0]["InstanceId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        self._wait(cloud, object_id, "create", "running", ("pending",))
        if not inputs["sourceDestCheck"]:
            cloud.ec2.modify_instance_attribute(InstanceId=object_id, SourceDestCheck={"Value": False})
        if wanted := inputs.get("secondaryPrivateIps"):
            self._set_addresses(cloud, object_id, [], wanted)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        def changed(name: str) -> bool:
            return name in new and new[name] != old.get(name)

        stopped_for = [name for name in ("instanceType", "userData", "userDataBase64") if changed(name)]
        if stopped_for:
            # Both can be changed on a stopped instance alone.
            cloud.ec2.stop_instances(InstanceIds=[object_id])
            self._wait(cloud, object_id, "stop", "stopped", ("running", "stopping"))
            if "instanceType" in stopped_for:
                cloud.ec2.modify_instance_attribute(
                    InstanceId=object_id, InstanceType={"Value": new["instanceType"]}
                )
            if changed("userData") or changed("userDataBase64"):
                cloud.ec2.modify_instance_attribute(InstanceId=object_id, UserData={"Value": _user_data(new)})
            cloud.ec2.start_instances(InstanceIds=[object_id])
            self._wait(cloud, object_id, "start", "running", ("stopped", "pending"))
        if changed("vpcSecurityGroupIds"):
            cloud.ec2.modify_instance_attribute(InstanceId=object_id, Groups=new["vpcSecurityGroupIds"])
        if changed("sourceDestCheck"):
            cloud.ec2.modify_instance_attribute(
                InstanceId=object_id, SourceDestCheck={"Value": new["sourceDestCheck"]}
            )
        if changed("secondaryPrivateIps"):
            self._set_addresses(
                cloud, object_id, old.get("secondaryPrivateIps", []), new["secondaryPrivateIps"]
            )
        if changed("metadataOptions"):
            cloud.ec2.modify_instance_metadata_options(
                InstanceId=object_id, **_metadata_options(new["metadataOptions"])
            )
        if changed("iamInstanceProfile"):
            self._set_profile(cloud, object_id, new["iamInstanceProfile"])
        if changed("volumeTags"):
            for volume in self._volumes(cloud, object_id):
                cloud.retag(volume["VolumeId"], old.get("volumeTags", {}), new["volumeTags"])
        if changed("rootBlockDevice"):
            self._set_root(cloud, old.get("rootBlockDevice", {}), new["rootBlockDevice"])
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        instance = self._find(cloud, object_id)
        if instance is None or instance["State"]["Name"] in GONE_STATES:
            return None
        interface = instance["NetworkInterfaces"][0] if instance.get("NetworkInterfaces") else {}
        options = instance.get("MetadataOptions", {})
        user_data = cloud.ec2.describe_instance_attribute(InstanceId=object_id, Attribute="userData")
        addresses = interface.get("PrivateIpAddresses", [])
        return {
            "arn": cloud.arn("instance", object_id),
            "ami": instance["ImageId"],
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "iamInstanceProfile": instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            "instanceState": instance["State"]["Name"],
            "instanceType": instance["InstanceType"],
            "keyName": instance.get("KeyName"),
            "metadataOptions": {
                "httpEndpoint": options.get("HttpEndpoint"),
                "httpTokens": options.get("HttpTokens"),
                "httpPutResponseHopLimit": options.get("HttpPutResponseHopLimit"),
            },
            "placementGroup": instance["Placement"].get("GroupName"),
            "primaryNetworkInterfaceId": interface.get("NetworkInterfaceId"),
            "privateIp": instance.get("PrivateIpAddress"),
            "publicIp": instance.get("PublicIpAddress"),
            "rootBlockDevice": self._root(cloud, instance),
            "secondaryPrivateIps": [a["PrivateIpAddress"] for a in addresses if not a["Primary"]],
            "sourceDestCheck": instance.get("SourceDestCheck", True),
            "subnetId": instance.get("SubnetId"),
            "userData": _text(user_data["UserData"].get("Value")),
            "userDataBase64": user_data["UserData"].get("Value"),
            "volumeTags": {
                key: value
                for volume in self._volumes(cloud, object_id)
                for key, value in tag_map(volume.get("Tags")).items()
            },
            "vpcSecurityGroupIds": [group["GroupId"] for group in instance["SecurityGroups"]],
            "tags": tag_map(instance.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.terminate_instances(InstanceIds=[object_id])
        self._wait(
            cloud,
            object_id,
            "delete",
            "terminated",
            ("pending", "running", "stopping", "stopped", "shutting-down"),
        )

    def _launch(self, cloud: Cloud, inputs: Values) -> Values:
        image = cloud.ec2.describe_images(ImageIds=[inputs["ami"]])["Images"][0]
        root = inputs.get("rootBlockDevice", {})
        launch: Values = {
            "ImageId": inputs["ami"],
            "InstanceType": inputs["instanceType"],
            "SubnetId": inputs.get("subnetId"),
            "PrivateIpAddress": inputs.get("privateIp"),
            "SecurityGroupIds": inputs.get("vpcSecurityGroupIds"),
            "KeyName": inputs.get("keyName"),
            "UserData": _user_data(inputs),
        }
        if inputs.get("iamInstanceProfile"):
            launch["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
        if inputs.get("placementGroup"):
            launch["Placement"] = {"GroupName": inputs["placementGroup"]}
        if inputs.get("metadataOptions"):
            launch["MetadataOptions"] = _metadata_options(inputs["metadataOptions"])
        if root:
            ebs = {
                "Encrypted": root.get("encrypted"),
                "VolumeType": root.get("volumeType"),
                # EC2 would take it from the image by itself; moto wants to be told.
                "VolumeSize": image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"],
                "DeleteOnTermination": True,
            }
            launch["BlockDeviceMappings"] = [
                {
                    "DeviceName": image["RootDeviceName"],
                    "Ebs": {k: v for k, v in ebs.items() if v is not None},
                }
            ]
        tagged = tag_specification("instance", inputs.get("tags")).get("TagSpecifications", [])
        of_volumes = root.get("tags") or inputs.get("volumeTags")
        tagged += tag_specification("volume", of_volumes).get("TagSpecifications", [])
        if tagged:
            launch["TagSpecifications"] = tagged
        return {name: value for name, value in launch.items() if value is not None}

    def _volumes(self, cloud: Cloud, object_id: str) -> list[Values]:
        by_instance = {"Name": "attachment.instance-id", "Values": [object_id]}
        found: list[Values] = cloud.ec2.describe_volumes(Filters=[by_instance])["Volumes"]
        return found

    def _find(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_instances(InstanceIds=[object_id])["Reservations"]
        return found[0]["Instances"][0] if found else None

    def _wait(self, cloud: Cloud, object_id: str, doing: str, wanted: str, pending: tuple[str, ...]) -> None:
        def state() -> str:
            instance = self._find(cloud, object_id)
            if instance is None:
                return "terminated"
            reason = instance.get("StateReason", {}).get("Message")
            name = str(instance["State"]["Name"])
            if name == "terminated" and wanted != "terminated" and reason:
                raise ProviderError(
                    f"waiting for EC2 Instance ({object_id}) {doing}: unexpected state 'terminated', wanted "
                    f"target '{wanted}'. last error: {reason}"
                )
            return name

        wait_until(f"EC2 Instance ({object_id}) {doing}", state, wanted, pending)

    def _root(self, cloud: Cloud, instance: Values) -> Values | None:
        name = instance.get("RootDeviceName")
        for device in instance.get("BlockDeviceMappings", []):
            if device["DeviceName"] == name:
                volume = cloud.ec2.describe_volumes(VolumeIds=[device["Ebs"]["VolumeId"]])["Volumes"][0]
                return {
                    "deviceName": name,
                    "volumeId": volume["VolumeId"],
                    "volumeSize": volume["Size"],
                    "volumeType": volume["VolumeType"],
                    "encrypted": volume["Encrypted"],
                    "tags": tag_map(volume.get("Tags")),
                }
        return None

    def _set_root(self, cloud: Cloud, old: Values, new: Values) -> None:
        if new.get("volumeType", old.get("volumeType")) != old.get("volumeType"):
            cloud.ec2.modify_volume(VolumeId=old["volumeId"], VolumeType=new["volumeType"])
        if "tags" in new:
            cloud.retag(old["volumeId"], old.get("tags", {}), new["tags"])

    def _set_addresses(self, cloud: Cloud, object_id: str, old: list[str], new: list[str]) -> None:
        instance = self._find(cloud, object_id)
        assert instance is not None
        interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
        if gone := sorted(set(old) - set(new)):
            cloud.ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=gone)
        if added := sorted(set(new) - set(old)):
            cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=added)

    def _set_profile(self, cloud: Cloud, object_id: str, name: str) -> None:
        found = cloud.ec2.describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [object_id]}]
        )["IamInstanceProfileAssociations"]
        if found:
            cloud.ec2.replace_iam_instance_profile_association(
                AssociationId=found[0]["AssociationId"], IamInstanceProfile={"Name": name}
            )
        else:
            cloud.ec2.associate_iam_instance_profile(InstanceId=object_id, IamInstanceProfile={"Name": name})


def _metadata_options(options: Values) -> Values:
    return {name[0].upper() + name[1:]: value for name, value in options.items()}


def _user_data(inputs: Values) -> bytes | None:
    """The user data as bytes, which boto3 encodes."""
    if inputs.get("userData"):
        return str(inputs["userData"]).encode()
    return base64.b64decode(inputs["userDataBase64"]) if inputs.get("userDataBase64") else None


def _text(encoded: str | None) -> str | None:
    """The user data as a text, where it is one."""
    try:
        return base64.b64decode(encoded or "").decode() or None
    except UnicodeDecodeError:
        return None
