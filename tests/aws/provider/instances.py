"""Instances: internal/service/ec2/ec2_instance.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from .cloud import (
    Cloud,
    ProviderError,
    by,
    code,
    is_gone,
    only_a_warning,
    retried,
    tag_map,
    wait_until,
)
from .launches import launch, metadata_options, text, user_data
from .schema import REGION, TAGS, Property, ResourceType, Values
from .volumes import root_device, root_tags, root_volume, set_root, volume_ids, volume_tags

ON_THE_WAY_OUT = ("pending", "running", "stopping", "stopped", "shutting-down")
NOT_RUNNING = ("stopped", "stopping", "shutting-down")
# EC2's errors for a profile, or its role, that IAM has but EC2 does not know yet; the provider retries.
NO_PROFILE_YET = "Invalid IAM Instance Profile"
NO_ROLE_YET = " has no associated IAM Roles"


def _replaces_user_data(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return bool(after.get("userDataReplaceOnChange"))


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
                "instanceMetadataTags": Property(computed=True),
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
        if inputs.get("volumeTags") and root_tags(inputs):
            wrong.append(("rootBlockDevice.tags", '"rootBlockDevice.0.tags": conflicts with volumeTags'))
        return wrong

    def create(self, cloud: Cloud, inputs: Values) -> str:
        arguments = launch(cloud, inputs)
        made = retried(
            ("InvalidParameterValue",),
            lambda: cloud.ec2.run_instances(MinCount=1, MaxCount=1, **arguments),
            (NO_PROFILE_YET, NO_ROLE_YET),
        )
        return str(made["Instances"][0]["InstanceId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        instance = _wait(cloud, object_id, "create", "running", ("pending",))
        if tags := root_tags(inputs):
            # A separate call after the launch; if it is denied, the volume is untagged and there is no error.
            with only_a_warning():
                cloud.retag(root_volume(instance), {}, tags)
        if not inputs["sourceDestCheck"]:
            cloud.ec2.modify_instance_attribute(InstanceId=object_id, SourceDestCheck={"Value": False})

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        def changed(name: str) -> bool:
            return name in new and new[name] != old.get(name)

        if new.get("volumeTags", {}) != old.get("volumeTags", {}):
            for volume in volume_ids(cloud, object_id):
                cloud.retag(volume, old.get("volumeTags", {}), new.get("volumeTags", {}))
        if changed("iamInstanceProfile"):
            _set_profile(cloud, object_id, old, new["iamInstanceProfile"])
        if changed("sourceDestCheck"):
            cloud.ec2.modify_instance_attribute(
                InstanceId=object_id, SourceDestCheck={"Value": new["sourceDestCheck"]}
            )
        moved = changed("secondaryPrivateIps")
        regrouped = "vpcSecurityGroupIds" in new and (
            set(new["vpcSecurityGroupIds"]) != set(old.get("vpcSecurityGroupIds", []))
        )
        if moved or regrouped:
            interface = _interface(_find(cloud, object_id))["NetworkInterfaceId"]
            if moved:
                _set_addresses(
                    cloud, interface, old.get("secondaryPrivateIps", []), new["secondaryPrivateIps"]
                )
            if regrouped:
                # We set the interface's groups: setting the instance's fails if it has several interfaces.
                cloud.ec2.modify_network_interface_attribute(
                    NetworkInterfaceId=interface, Groups=new["vpcSecurityGroupIds"]
                )
        if changed("instanceType"):
            _stopped_for(cloud, object_id, InstanceType={"Value": new["instanceType"]})
        if changed("userData") or changed("userDataBase64"):
            _stopped_for(cloud, object_id, UserData={"Value": user_data(new)})
        if _differs(old.get("metadataOptions", {}), new.get("metadataOptions")):
            _set_metadata_options(
                cloud, object_id, {**old.get("metadataOptions", {}), **new["metadataOptions"]}
            )
        if new.get("rootBlockDevice"):
            # After volumeTags: tags that move from this block to volumeTags are set, and then deleted.
            set_root(cloud, object_id, old["rootBlockDevice"], new["rootBlockDevice"])

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        instance = _find(cloud, object_id)
        # An instance that is shutting down still exists and is read (findInstanceByID).
        if instance["State"]["Name"] == "terminated":
            return None
        kind = cloud.ec2.describe_instance_types(InstanceTypes=[instance["InstanceType"]])["InstanceTypes"][0]
        # The provider asks whether a template launched the instance.
        cloud.ec2.describe_tags(Filters=by(resource_id=object_id, key="aws:ec2launchtemplate:id"))
        of_volumes = bool(known.get("volumeTags")) and not root_tags(known)
        tags_of_all = volume_tags(cloud, object_id) if of_volumes else None
        if instance.get("VpcId"):
            # The provider needs this only for the names of groups in a default VPC.
            with only_a_warning():
                cloud.ec2.describe_vpcs(VpcIds=[instance["VpcId"]])
        shutdown = "instanceInitiatedShutdownBehavior"
        attributes = {shutdown: _attribute(cloud, object_id, shutdown)}
        root = root_device(cloud, instance, tagged=not known.get("volumeTags"))
        for name in ("disableApiStop", "disableApiTermination", "userData"):
            attributes[name] = _attribute(cloud, object_id, name)
        data = attributes.pop("userData")
        encoded = bool(known.get("userDataBase64"))
        if kind.get("BurstablePerformanceSupported"):
            _credits(cloud, object_id)
        interface, options = _interface(instance), instance.get("MetadataOptions", {})
        return {
            "arn": cloud.arn("instance", object_id),
            "ami": instance["ImageId"],
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "iamInstanceProfile": _profile(instance),
            "instanceState": instance["State"]["Name"],
            "instanceType": instance["InstanceType"],
            "keyName": instance.get("KeyName"),
            "metadataOptions": {
                "httpEndpoint": options.get("HttpEndpoint"),
                "httpTokens": options.get("HttpTokens"),
                "httpPutResponseHopLimit": options.get("HttpPutResponseHopLimit"),
                "instanceMetadataTags": options.get("InstanceMetadataTags"),
            },
            "placementGroup": instance["Placement"].get("GroupName"),
            "primaryNetworkInterfaceId": interface.get("NetworkInterfaceId"),
            "privateIp": instance.get("PrivateIpAddress"),
            "publicIp": instance.get("PublicIpAddress"),
            "rootBlockDevice": root,
            "secondaryPrivateIps": [
                address["PrivateIpAddress"]
                for address in interface.get("PrivateIpAddresses", [])
                if not address["Primary"]
            ],
            "sourceDestCheck": instance.get("SourceDestCheck", True),
            "subnetId": instance.get("SubnetId"),
            "userData": None if encoded else text(data),
            "userDataBase64": data if encoded else None,
            "volumeTags": tags_of_all,
            "vpcSecurityGroupIds": [group["GroupId"] for group in instance["SecurityGroups"]],
            "tags": tag_map(instance.get("Tags")),
            **attributes,
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        with only_a_warning():
            cloud.ec2.modify_instance_attribute(InstanceId=object_id, DisableApiTermination={"Value": False})
        cloud.ec2.terminate_instances(InstanceIds=[object_id])
        _wait(cloud, object_id, "delete", "terminated", ON_THE_WAY_OUT)


def _find(cloud: Cloud, object_id: str) -> Values:
    found: Values = cloud.ec2.describe_instances(InstanceIds=[object_id])["Reservations"][0]["Instances"][0]
    return found


def _interface(instance: Values) -> Values:
    """The primary interface; empty for an instance on its way out that no longer has one."""
    for interface in instance.get("NetworkInterfaces", []):
        if interface["Attachment"]["DeviceIndex"] == 0:
            found: Values = interface
            return found
    return {}


def _profile(instance: Values) -> str | None:
    arn = instance.get("IamInstanceProfile", {}).get("Arn")
    return str(arn).rpartition("/")[2] if arn else None


def _wait(cloud: Cloud, object_id: str, doing: str, wanted: str, pending: tuple[str, ...]) -> Values:
    """Wait for a state, and return the instance as it was then; empty if EC2 no longer knows it."""
    seen: Values = {}

    def state() -> str:
        seen.clear()
        try:
            seen.update(_find(cloud, object_id))
        except ClientError as e:
            if is_gone(e):
                return "terminated"
            raise
        reason = seen.get("StateReason", {}).get("Message")
        name = str(seen["State"]["Name"])
        if name == "terminated" and wanted != "terminated" and reason:
            raise ProviderError(
                f"waiting for EC2 Instance ({object_id}) {doing}: unexpected state 'terminated', wanted "
                f"target '{wanted}'. last error: {reason}"
            )
        return name

    wait_until(f"EC2 Instance ({object_id}) {doing}", state, wanted, pending)
    return seen


def _set_profile(cloud: Cloud, object_id: str, old: Values, name: str) -> None:
    found = cloud.ec2.describe_iam_instance_profile_associations(Filters=by(instance_id=object_id))[
        "IamInstanceProfileAssociations"
    ]
    profile = {"Name": name}

    def associate() -> None:
        retried(
            ("InvalidParameterValue",),
            lambda: cloud.ec2.associate_iam_instance_profile(
                InstanceId=object_id, IamInstanceProfile=profile
            ),
            (NO_PROFILE_YET,),
        )

    if found and not name:
        cloud.ec2.disassociate_iam_instance_profile(AssociationId=found[0]["AssociationId"])
    elif found and old.get("instanceState") in NOT_RUNNING:
        cloud.ec2.disassociate_iam_instance_profile(AssociationId=found[0]["AssociationId"])
        associate()
    elif found:
        retried(
            ("InvalidParameterValue",),
            lambda: cloud.ec2.replace_iam_instance_profile_association(
                AssociationId=found[0]["AssociationId"], IamInstanceProfile=profile
            ),
            (NO_PROFILE_YET,),
        )
    elif name:
        associate()
    wait_until(
        f"EC2 Instance ({object_id}) IAM Instance Profile update",
        lambda: "updated" if (_profile(_find(cloud, object_id)) or "") == name else "old",
        wanted="updated",
        pending=("old",),
    )


def _set_addresses(cloud: Cloud, interface: str, old: list[str], new: list[str]) -> None:
    if gone := sorted(set(old) - set(new)):
        cloud.ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=gone)
    if added := sorted(set(new) - set(old)):
        cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=added)


def _stopped_for(cloud: Cloud, object_id: str, **attribute: Values) -> None:
    """Stop the instance, change one attribute that needs that, and start it again."""
    cloud.ec2.stop_instances(InstanceIds=[object_id], Force=False)
    _wait(cloud, object_id, "stop", "stopped", ("pending", "running", "shutting-down", "stopping"))
    cloud.ec2.modify_instance_attribute(InstanceId=object_id, **attribute)
    retried(
        ("InvalidParameterValue",),
        lambda: cloud.ec2.start_instances(InstanceIds=[object_id]),
        ("LaunchPlan instance type does not match attribute value",),
    )
    _wait(cloud, object_id, "start", "running", ("pending", "stopped"))


def _set_metadata_options(cloud: Cloud, object_id: str, options: Values) -> None:
    cloud.ec2.modify_instance_metadata_options(InstanceId=object_id, **metadata_options(options))
    wait_until(
        f"EC2 Instance ({object_id}) metadata options update",
        lambda: str(_find(cloud, object_id)["MetadataOptions"].get("State", "applied")),
        wanted="applied",
        pending=("pending",),
    )


def _differs(live: Values, wanted: Values | None) -> bool:
    """Whether the live block differs from the wanted one in anything that the latter names."""
    return wanted is not None and any(live.get(name) != value for name, value in wanted.items())


def _attribute(cloud: Cloud, object_id: str, name: str) -> Any:
    answer = cloud.ec2.describe_instance_attribute(InstanceId=object_id, Attribute=name)
    return answer.get(name[0].upper() + name[1:], {}).get("Value")


def _credits(cloud: Cloud, object_id: str) -> None:
    """Read the CPU credits, which the program never sets. China and GovCloud do not have the action."""
    try:
        cloud.ec2.describe_instance_credit_specifications(InstanceIds=[object_id])
    except ClientError as e:
        if code(e) != "UnsupportedOperation":
            raise
