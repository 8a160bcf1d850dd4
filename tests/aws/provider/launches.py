"""The arguments of a launch: internal/service/ec2/ec2_instance.go, buildInstanceOpts and what it calls."""

from __future__ import annotations

import base64
from typing import Any

from .cloud import Cloud, tag_specification
from .schema import Values


def launch(cloud: Cloud, inputs: Values) -> Values:
    """The arguments of RunInstances. Looks at the image if there is a block for the root device."""
    subnet, address = inputs.get("subnetId"), inputs.get("privateIp")
    arguments: Values = {
        "ImageId": inputs["ami"],
        "InstanceType": inputs["instanceType"],
        "KeyName": inputs.get("keyName"),
        "UserData": user_data(inputs),
        "EbsOptimized": False,
        "DisableApiTermination": False,
        "HibernationOptions": {"Configured": False},
        "Monitoring": {"Enabled": False},
        **_network(subnet, address, inputs.get("secondaryPrivateIps"), inputs.get("vpcSecurityGroupIds")),
    }
    if inputs["instanceType"].startswith("t3"):
        arguments["CreditSpecification"] = {"CpuCredits": "unlimited"}
    if inputs.get("iamInstanceProfile"):
        arguments["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
    if inputs.get("placementGroup"):
        arguments["Placement"] = {"GroupName": inputs["placementGroup"]}
    if inputs.get("metadataOptions"):
        arguments["MetadataOptions"] = metadata_options(inputs["metadataOptions"])
    if inputs.get("rootBlockDevice"):
        arguments["BlockDeviceMappings"] = [_root(cloud, inputs["ami"], inputs["rootBlockDevice"])]
    tags = tag_specification("instance", inputs.get("tags")).get("TagSpecifications", [])
    # The tags of rootBlockDevice are not here: the provider sets them after the launch.
    tags += tag_specification("volume", inputs.get("volumeTags")).get("TagSpecifications", [])
    if tags:
        arguments["TagSpecifications"] = tags
    return {name: value for name, value in arguments.items() if value is not None}


def _network(
    subnet: str | None, address: str | None, more: list[str] | None, groups: list[str] | None
) -> Values:
    """The network arguments. With an address they describe the interface (buildNetworkInterfaceOpts)."""
    if subnet is None or not (address or more):
        return {"SubnetId": subnet, "SecurityGroupIds": groups}
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "Groups": groups or [],
        "PrivateIpAddress": address,
        "PrivateIpAddresses": [{"PrivateIpAddress": one} for one in more or []] or None,
    }
    return {"NetworkInterfaces": [{name: value for name, value in interface.items() if value is not None}]}


def _root(cloud: Cloud, image_id: str, root: Values) -> dict[str, Any]:
    image = cloud.ec2.describe_images(ImageIds=[image_id])["Images"][0]
    ebs = {
        "DeleteOnTermination": True,
        "Encrypted": root.get("encrypted") or None,
        "VolumeType": root.get("volumeType"),
        # EC2 takes the size from the image by itself; moto does not.
        "VolumeSize": image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"],
    }
    return {
        "DeviceName": image["RootDeviceName"],
        "Ebs": {name: value for name, value in ebs.items() if value is not None},
    }


def metadata_options(options: Values) -> Values:
    """The options as the API takes them; with the endpoint off, it takes no other option."""
    if options.get("httpEndpoint") == "disabled":
        options = {"httpEndpoint": "disabled"}
    return {name[0].upper() + name[1:]: value for name, value in options.items() if value is not None}


def user_data(inputs: Values) -> bytes | None:
    """The user data as bytes, which boto3 encodes."""
    if inputs.get("userData"):
        return str(inputs["userData"]).encode()
    return base64.b64decode(inputs["userDataBase64"]) if inputs.get("userDataBase64") else None


def text(encoded: str | None) -> str | None:
    """The user data as text, or None if they are empty or not UTF-8."""
    try:
        return base64.b64decode(encoded or "").decode() or None
    except UnicodeDecodeError:
        return None
