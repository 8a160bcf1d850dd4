"""The two instances, and what each gets at its first boot."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudinit.platforms import PLATFORMS, SsmAmi
from cloudinit.spec import Member, NodeSpec
from cloudinit.userdata import MAX_BYTES, render

from .errors import ConfigError, looked_up
from .identity import Kept
from .rollout import CLUSTER_MARK, Rollout, Wanted
from .settings import PairSettings
from .tags import MADE_FROM, PAIR, Scope

# Stands for a key's digest if the nodes' traffic is not encrypted.
NO_KEY = "open"
NO_IMAGE = "set ec2vip:platform to another, or ec2vip:amiId to an image of your own"


def architecture(instance_type: str, addresses: int, opts: pulumi.InvokeOptions) -> str:
    """The instance type's architecture, `x86_64` or `arm64`. `addresses` is how many a node may come to have.

    Raises ConfigError if an interface of the type has no room for so many, or if no platform runs on it.
    """
    facts = looked_up(
        f"instanceType {instance_type}",
        "set ec2vip:instanceType to one that this Region has, such as t3.micro",
        lambda: aws.ec2.get_instance_type(instance_type=instance_type, opts=opts),
    )
    room = facts.maximum_ipv4_addresses_per_interface
    if room < addresses:
        raise ConfigError(
            [
                f"instanceType {instance_type} has room for {room} IPv4 address{'es' * (room > 1)} per "
                f"interface, but a node needs {addresses}: its own and each VIP; set ec2vip:instanceType to a "
                "larger one" + (", such as t3.micro" if addresses == 2 else ", or list fewer in ec2vip:vips")
            ]
        )
    for known in ("x86_64", "arm64"):
        if known in facts.supported_architectures:
            return known
    raise ConfigError(
        [
            f"instanceType {instance_type} is for {', '.join(facts.supported_architectures)}, but the "
            "platforms are for x86_64 and arm64; set ec2vip:instanceType to a type with one of these"
        ]
    )


def newest_ami(platform: str, arch: str, opts: pulumi.InvokeOptions) -> str:
    """The id of the platform's newest image. Raises ConfigError if this Region has none."""
    setting = f"platform {platform} for {arch}"
    source = PLATFORMS[platform].ami[arch]
    if isinstance(source, SsmAmi):
        named = looked_up(setting, NO_IMAGE, lambda: aws.ssm.get_parameter(name=source.parameter, opts=opts))
        return str(named.insecure_value)
    filters = {"name": source.name_pattern, "architecture": arch, "state": "available"}
    found = looked_up(
        setting,
        NO_IMAGE,
        lambda: aws.ec2.get_ami(
            most_recent=True,
            owners=[source.owner],
            filters=[aws.ec2.GetAmiFilterArgs(name=name, values=[value]) for name, value in filters.items()],
            opts=opts,
        ),
    )
    return str(found.id)


def _image(scope: Scope, settings: PairSettings, region: str) -> pulumi.Input[str]:
    """The image: the user's, or the one that was the platform's newest at the first `up`.

    We keep the latter in the state, because a newer image must not replace the nodes by itself. Its name there
    has the platform, the architecture and the Region in it: if one of them changes, we look the image up anew.
    """
    opts = scope.asks()
    arch = architecture(settings.instance_type, 1 + len(settings.vips), opts)  # its own, and every VIP
    if settings.ami_id is not None:
        return settings.ami_id
    newest = newest_ami(settings.platform, arch, opts)
    kept = pulumi.Stash(
        scope.part(f"image-{settings.platform}-{arch}-{region}"),
        input=newest,
        opts=scope.options(ignore_changes=["input"]),
    )
    image: pulumi.Output[str] = pulumi.Output.from_input(kept.output)
    return image.apply(lambda image: _offered(image, newest, opts))


def _offered(image: str, newest: str, opts: pulumi.InvokeOptions) -> str:
    """The image. Warns if its owner has withdrawn it: the nodes run on, but EC2 makes no new ones from it."""
    if image == newest:
        return image
    by_id = aws.ec2.GetAmiFilterArgs(name="image-id", values=[image])
    remedy = (
        f"a lost node can't be made from it again; set ec2vip:amiId to {newest}, the platform's newest: one up "
        "then replaces both nodes, one after the other"
    )
    try:
        looked_up(
            f"image {image}, from which the first up made the nodes,",
            remedy,
            # A deprecated image can still be launched.
            lambda: aws.ec2.get_ami(filters=[by_id], include_deprecated=True, opts=opts),
        )
    except ConfigError as error:
        pulumi.log.warn(error.problems[0])
    return image


def make_nodes(
    scope: Scope,
    roll: Rollout,
    settings: PairSettings,
    specs: Sequence[NodeSpec],
    *,
    region: str,
    subnet_id: pulumi.Input[str],
    security_group_id: pulumi.Input[str],
    profile_name: pulumi.Input[str],
    key: Kept | None,
    installer: Kept | None,
    ready: Sequence[pulumi.Resource],
) -> list[aws.ec2.Instance]:
    """One instance for each spec.

    They wait for `ready`, because a node needs its network from the first boot on, and for their turns.
    """
    apart = aws.ec2.PlacementGroup(
        scope.part("apart"), strategy="spread", tags=scope.tags("apart"), opts=scope.options()
    )
    image = _image(scope, settings, region)
    return [
        _make_node(
            scope,
            roll,
            spec,
            settings,
            ami=image,
            subnet_id=subnet_id,
            vpc_security_group_ids=[security_group_id],
            iam_instance_profile=profile_name,
            placement_group=apart.name,
            user_data_base64=user_data(spec, key=key, installer=installer),
            cluster=key.digest if key else NO_KEY,
            ready=list(ready),
        )
        for spec in specs
    ]


SPREAD = 32
"""By how many bytes user data with one ARN may exceed those with a longer one, for zopfli packs some texts better.
Of sixty random pairs, nine bytes were the most."""


def expected_arn(name: str) -> str:
    """Stands for the ARN of the parameter of that name while it is unknown: no real one takes more room."""
    return f"arn:aws-us-gov:ssm:ap-southeast-99:410283957613:parameter{name}"


def user_data(spec: NodeSpec, **fetched: Kept | None) -> pulumi.Input[str]:
    """The node's user data as EC2 takes it, base64 over gzip. They say where a key is, not what it is.

    `fetched` are `key` and `installer`, as `Identity` has them.
    """
    kept = {what: each for what, each in fetched.items() if each}
    told: dict[str, Any] = {f"{what}_digest": each.digest for what, each in kept.items()}
    told |= {f"{what}_parameter": expected_arn(each.name) for what, each in kept.items()}
    spec = dataclasses.replace(spec, **told)
    # A preview does not know the parameters yet, but must refuse user data that are too large.
    longest = _encoded(spec, SPREAD if kept else 0)
    if not kept:
        return longest
    text: pulumi.Output[str] = pulumi.Output.all(
        **{f"{what}_parameter": each.parameter.arn for what, each in kept.items()}
    ).apply(lambda arns: _encoded(dataclasses.replace(spec, **arns)))
    return text


def _encoded(spec: NodeSpec, spare: int = 0) -> str:
    """The user data in base64. If they are too large, raises ConfigError for `services`, else ValueError."""
    try:
        return base64.b64encode(render(spec, spare=spare)).decode("ascii")
    except ValueError as e:
        if not spec.services:
            raise
        taken = len(zlib.compress(repr(spec.services).encode(), 9))
        raise ConfigError(
            [
                f"services makes the nodes' user data too large: its {len(spec.services)} entries take about "
                f"{taken} of {MAX_BYTES} bytes, compressed; shorten the packages and parameters in "
                f"ec2vip:services ({e})"
            ]
        ) from e


def _make_node(
    scope: Scope,
    roll: Rollout,
    spec: NodeSpec,
    settings: PairSettings,
    *,
    cluster: str,
    ready: list[pulumi.Resource],
    vpc_security_group_ids: pulumi.Input[list[pulumi.Input[str]]],
    iam_instance_profile: pulumi.Input[str],
    **replacing: pulumi.Input[str],
) -> aws.ec2.Instance:
    """The instance, made or changed when its turn has come.

    A change of any of `replacing` makes another one. Nodes with the same `cluster` hear each other.
    """
    role = spec.name.removeprefix(f"{scope.name}-")
    replacing["private_ip"] = str(spec.member.address)
    if settings.key_name is not None:
        replacing["key_name"] = settings.key_name
    digest = _digest({**replacing, "public_ips": str(settings.public_ips)})
    made_from = pulumi.Output.concat(digest, CLUSTER_MARK, cluster)
    node = aws.ec2.Instance(
        spec.name,
        instance_type=settings.instance_type,
        vpc_security_group_ids=vpc_security_group_ids,
        iam_instance_profile=iam_instance_profile,
        metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
            http_endpoint="enabled",
            http_tokens="required",
            http_put_response_hop_limit=1,
            # If they are on, as an account may have it by default, EC2 refuses tag keys with a space or a slash.
            instance_metadata_tags="disabled",
        ),
        source_dest_check=settings.source_dest_check,
        root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(encrypted=True, volume_type="gp3"),
        # These go into RunInstances. The provider would add a root device's own tags later, to an untagged volume,
        # which needs the right to tag any volume (terraform-provider-aws, internal/service/ec2/ec2_instance.go).
        volume_tags=scope.tags(f"{role}-root"),
        user_data_replace_on_change=True,
        tags={**scope.tags(role), MADE_FROM: made_from},
        opts=scope.options(
            depends_on=roll.turn(spec.name, Wanted(made_from, settings.instance_type), ready),
            # A fixed address can be on one instance at a time.
            delete_before_replace=True,
            # The cluster decides where the VIP is. Volume tags would spread to volumes that are attached later.
            ignore_changes=["secondaryPrivateIps", "volumeTags"],
            # The tag must always tell what the node was made from.
            replacement_trigger=made_from,
            transforms=roll.transforms,
        ),
        **replacing,
    )
    roll.made(spec.name, node)
    # The nodes may move addresses only among interfaces with this tag, and an instance has no property to set it.
    # The tag ends with its interface: nothing waits for its removal, and no node loses it before its end.
    aws.ec2.Tag(
        f"{spec.name}-interface",
        resource_id=node.primary_network_interface_id,
        key=PAIR,
        value=scope.full_name,
        opts=scope.options(retain_on_delete=True),
    )
    return node


def _digest(values: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """Sixteen hex digits that change when any of the values does."""
    digest: pulumi.Output[str] = pulumi.Output.all(**values).apply(
        lambda known: hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
    )
    return digest


def specs(
    name: str, addresses: tuple[IPv4Address, IPv4Address], prefix_length: int, settings: PairSettings
) -> list[NodeSpec]:
    """What we tell each node: about itself, its subnet, and the settings that its first boot needs."""
    members = (
        Member(name=f"{name}-a", address=addresses[0]),
        Member(name=f"{name}-b", address=addresses[1]),
    )
    return [
        NodeSpec(
            cluster_name=name,
            name=member.name,
            members=members,
            vips=settings.vips,
            prefix_length=prefix_length,
            platform=settings.platform,
            services=settings.services,
            token_ms=settings.token_ms,
            package_repository=settings.package_repository,
            package_repository_key=settings.package_repository_key,
        )
        for member in members
    ]
