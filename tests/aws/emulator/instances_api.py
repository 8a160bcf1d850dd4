"""The EC2 actions on instances in which moto differs from AWS."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import (
    InvalidInstanceIdError,
    OperationDisableApiStopNotPermitted,
    OperationNotPermitted4,
)
from moto.ec2.responses._base_response import EC2BaseResponse

from . import offerings_api, tags
from .interfaces_api import fail
from .model import PENDING, RUNNING, SHUTTING_DOWN, STATE_CODES, STOPPED, STOPPING, TERMINATED
from .profiles_api import show_profile

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World

USER_DATA_LIMIT = 16 * 1024  # bytes before base64; EC2 user guide, user-data
HOP_LIMIT_MOST = 64  # botocore, HttpPutResponseHopLimit: 1 to 64
CONSOLE_LIMIT = 64 * 1024  # bytes; EC2 user guide, instance-console: the most recent 64 KB


class InstancesApi(EC2BaseResponse):  # type: ignore[misc]
    """Run, start, stop, reboot, terminate and the attributes that depend on the state."""

    world: World
    given: Given

    def run_instances(self) -> ActionResult:
        _check_user_data(self._get_param("UserData"))
        _check_hop_limit(self._get_int_param("MetadataOptions.HttpPutResponseHopLimit", None))
        token = self._get_param("ClientToken")
        if token in self.world.launches:  # the client repeats a call that it got no answer to
            return ActionResult(self.world.launches[token])
        group = self._get_param("Placement.GroupName")
        if group and group not in self.world.placement_groups:
            raise fail("InvalidPlacementGroup.Unknown", f"The Placement Group '{group}' is unknown.")
        image_id = self._get_param("ImageId")
        if image_id not in self.ec2_backend.amis:
            raise fail("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        if self._metadata_tags() == "enabled":
            tags.check_metadata(tags.of_kind(self.given, "instance"))
        specs = self._launch_interfaces()
        self._check_interfaces(specs)
        self._check_offered(specs)
        result: ActionResult = super().run_instances()
        if token:
            self.world.launches[token] = result.result
        for found in result.result.instances:
            found.placement.group_name = group or ""
            found.disable_api_termination = self._get_bool_param("DisableApiTermination", False)
            for index, nic in found.nics.items():
                self._finish_interface(nic, specs.get(index, {}))
            self._metadata_defaults(found)
            if association := self.ec2_backend.iam_instance_profile_associations.get(found.id):
                show_profile(association)
            self.world.lifecycle.begin(found, PENDING)
        for found in result.result.instances:
            self.world.lifecycle.ask(found.id, partial(self.world.lifecycle.machines.launch, found.id))
        return result

    def _launch_interfaces(self) -> dict[int, dict[str, Any]]:
        """The interfaces to launch with, by device index; the default has the instance's own parameters."""
        nics: list[dict[str, Any]] = self._get_param("NetworkInterfaces", [])
        if nics:
            return {int(nic.get("DeviceIndex", 0)): nic for nic in nics}
        subnet_id, address = self._get_param("SubnetId"), self._get_param("PrivateIpAddress")
        spec = {"SubnetId": subnet_id, "PrivateIpAddress": address}
        return {0: {name: value for name, value in spec.items() if value}}

    def _check_interfaces(self, specs: dict[int, dict[str, Any]]) -> None:
        count = int(self._get_param("MinCount", 1))
        for spec in specs.values():
            if "SubnetId" not in spec:
                continue
            subnet = self.ec2_backend.get_subnet(spec["SubnetId"])
            wanted = [item["PrivateIpAddress"] for item in spec.get("PrivateIpAddresses", [])]
            wanted += [spec["PrivateIpAddress"]] if "PrivateIpAddress" in spec else []
            if wanted and count > 1:
                raise fail(
                    "InvalidParameterCombination",
                    f"An address can be given to one instance only, and MinCount is {count}.",
                )
            self.world.check_launch_addresses(subnet, dict.fromkeys(wanted))
            if not wanted:
                self.world.free_address(subnet)
            _allocate_by(subnet, self.world)

    def _check_offered(self, specs: dict[int, dict[str, Any]]) -> None:
        """Raise `Unsupported` if a zone of the launch does not have the instance type.

        The zones are the subnets' and the requested one. Without either, EC2 picks one that has the type.
        """
        zones = {self.given.get("Placement", {}).get("AvailabilityZone")}
        for spec in specs.values():
            if "SubnetId" in spec:
                zones.add(self.ec2_backend.get_subnet(spec["SubnetId"]).availability_zone)
        instance_type = self.given.get("InstanceType")
        for zone in zones - {None}:
            if instance_type:
                offerings_api.check_launch(self.world.region, instance_type, zone)

    def _metadata_tags(self) -> str:
        given: str | None = self.given.get("MetadataOptions", {}).get("InstanceMetadataTags")
        return given or self.world.settings.instance_metadata_tags

    def _finish_interface(self, nic: Any, spec: dict[str, Any]) -> None:
        """Complete an interface after the launch.

        An interface that the launch created goes with its instance, unless the launch says otherwise. One that
        existed before stays (EC2 user guide, using-eni, "termination behavior").
        """
        if "NetworkInterfaceId" not in spec:
            nic.delete_on_termination = spec.get("DeleteOnTermination", True)
            for item in spec.get("PrivateIpAddresses", []):
                if item["PrivateIpAddress"] != nic.private_ip_address:
                    nic.private_ip_addresses.append(
                        {"Primary": False, "PrivateIpAddress": item["PrivateIpAddress"]}
                    )
            nic.add_tags(tags.of_kind(self.given, "network-interface"))
        if nic.device_index == 0:
            # An instance has its primary interface's groups, even if the launch gave them to the interface.
            nic.instance.security_groups = list(nic.group_set)
        self.world.adopt(nic)

    def _metadata_defaults(self, found: Any) -> None:
        found.metadata_options.instance_metadata_tags = self._metadata_tags()
        self._image_defaults(found)

    def _image_defaults(self, found: Any) -> None:
        """Set the metadata options that the launch left open, if the image supports only IMDS version 2.

        Source: EC2 user guide, "Configure instance metadata options for new instances".
        """
        if getattr(self.ec2_backend.amis[found.image_id], "imds_support", None) is None:
            return
        given = self._get_param("MetadataOptions", {})
        if "HttpTokens" not in given:
            found.metadata_options.http_tokens = "required"
        if "HttpPutResponseHopLimit" not in given:
            found.metadata_options.http_put_response_hop_limit = 2

    def start_instances(self) -> ActionResult:
        found = self._instances()
        for each in found:
            if each.state in (STOPPING, SHUTTING_DOWN, TERMINATED):
                raise _wrong_state(each.id, "started")
        self.error_on_dryrun()
        changes = []
        for each in found:
            before = each.state
            if before == STOPPED:
                self.world.lifecycle.begin(each, PENDING)
                self.world.lifecycle.fresh_metadata(each)
                each.launch_time = utcnow()
            changes.append(_change(each.id, before, each.state))
            if before == STOPPED:
                self.world.lifecycle.ask(each.id, partial(self.world.lifecycle.machines.start, each.id))
        return ActionResult({"StartingInstances": changes})

    def stop_instances(self) -> ActionResult:
        found = self._instances()
        force = self._get_bool_param("Force", False)
        skip = self._get_bool_param("SkipOsShutdown", False)
        for each in found:
            if each.disable_api_stop:
                raise OperationDisableApiStopNotPermitted(each.id)
            if each.state in (SHUTTING_DOWN, TERMINATED) or (each.state == PENDING and not force):
                raise _wrong_state(each.id, "stopped")
        self.error_on_dryrun()
        stop = partial(self.world.lifecycle.machines.stop, force=force, skip_os_shutdown=skip)
        # A second, forced call to an instance that hangs in stopping must reach its machine too.
        on_the_way = () if force else (STOPPING,)
        return ActionResult({"StoppingInstances": self._end(found, STOPPING, on_the_way, STOPPED, stop)})

    def terminate_instances(self) -> ActionResult:
        found = self._instances()
        for each in found:
            if each.disable_api_termination:
                raise OperationNotPermitted4(each.id)
        self.error_on_dryrun()
        terminate = self.world.lifecycle.machines.terminate
        changes = self._end(found, SHUTTING_DOWN, (SHUTTING_DOWN,), TERMINATED, terminate)
        return ActionResult({"TerminatingInstances": changes})

    def _end(
        self,
        found: list[Any],
        state: str,
        on_the_way: tuple[str, ...],
        ended: str,
        act: Callable[[str], None],
    ) -> list[dict[str, Any]]:
        """Have the machines act, except for those on the way or ended, and return the changes of state."""
        changes = []
        for each in found:
            before = each.state
            if before != ended:
                self.world.lifecycle.begin(each, state)
            changes.append(_change(each.id, before, each.state))
            if before not in (*on_the_way, ended):
                self.world.lifecycle.ask(each.id, partial(act, each.id))
        return changes

    def reboot_instances(self) -> ActionResult:
        """Reboot: state and addresses stay; terminated instances are skipped (botocore, RebootInstances)."""
        found = [each for each in self._instances() if each.state != TERMINATED]
        for each in found:
            if each.state != RUNNING:
                raise _wrong_state(each.id, "rebooted")
        self.error_on_dryrun()
        for each in found:
            self.world.lifecycle.fresh_metadata(each)
            self.world.lifecycle.ask(each.id, partial(self.world.lifecycle.machines.reboot, each.id))
        return EmptyResult()

    def modify_instance_attribute(self) -> ActionResult:
        (found,) = self._instances([self._get_param("InstanceId")])
        attribute = self._get_param("Attribute")
        user_data = self._get_param("UserData.Value")
        if isinstance(user_data, bytes):  # a blob, which moto's parser has decoded already
            user_data = base64.b64encode(user_data).decode()
        if attribute == "userData":
            user_data = self._get_param("Value", "")
        needs_stop = user_data is not None or self._get_param("InstanceType.Value") is not None
        if (needs_stop or attribute == "instanceType") and found.state != STOPPED:
            raise fail("IncorrectInstanceState", f"The instance '{found.id}' is not in the 'stopped' state.")
        if user_data is not None:
            _check_user_data(user_data)
            self.error_on_dryrun()
            found.user_data = Base64EncodedString(_text(user_data)) if user_data else None
            return EmptyResult()
        groups = self._get_param("Groups", [])
        if groups:
            return self._set_groups(found, groups)
        result: ActionResult = super().modify_instance_attribute()
        check = self._get_param("SourceDestCheck.Value")
        if check is not None and 0 in found.nics:
            found.nics[0].source_dest_check = check
        return result

    def _set_groups(self, found: Any, group_ids: list[str]) -> ActionResult:
        """Replace the groups of the instance and of its interface; moto would add the new ones to the old."""
        groups = [self.world.group(group_id) for group_id in group_ids]
        self.error_on_dryrun()
        found.security_groups = groups
        found.nics[0]._group_set = groups
        return EmptyResult()

    def modify_instance_metadata_options(self) -> ActionResult:
        """Change only the options that are named; moto would reset the others."""
        (found,) = self._instances([self._get_param("InstanceId")])
        _check_hop_limit(self._get_int_param("HttpPutResponseHopLimit", None))
        if self.given.get("InstanceMetadataTags") == "enabled":
            tags.check_metadata(tag["key"] for tag in found.get_tags())
        self.error_on_dryrun()
        options = found.metadata_options
        for name, attribute in _METADATA_OPTIONS.items():
            value = self._get_param(name)
            if value is not None:
                setattr(options, attribute, value)
        return ActionResult({"InstanceId": found.id, "InstanceMetadataOptions": options})

    def get_console_output(self) -> ActionResult:
        (found,) = self._instances([self._get_param("InstanceId")])
        text = self.world.lifecycle.machines.console_output(found.id).encode()[-CONSOLE_LIMIT:]
        output = Base64EncodedString(base64.b64encode(text).decode())
        return ActionResult({"InstanceId": found.id, "Timestamp": utcnow(), "Output": output})

    def _instances(self, ids: list[str] | None = None) -> list[Any]:
        ids = self._get_param("InstanceIds", []) if ids is None else ids
        found = [self.world.find_instance(instance_id) for instance_id in ids]
        missing = [instance_id for instance_id, each in zip(ids, found, strict=True) if each is None]
        if missing or not ids:
            raise InvalidInstanceIdError(missing or [""])
        return found


_METADATA_OPTIONS = {
    "HttpTokens": "http_tokens",
    "HttpPutResponseHopLimit": "http_put_response_hop_limit",
    "HttpEndpoint": "http_endpoint",
    "HttpProtocolIpv6": "http_protocol_ipv6",
    "InstanceMetadataTags": "instance_metadata_tags",
}


def _allocate_by(subnet: Any, world: World) -> None:
    """Make moto's subnet give out only addresses that are really free.

    moto knows only the addresses of launches, not those that were assigned, created with an interface, or
    reserved.
    """
    subnet.get_available_subnet_ip = lambda instance: world.free_address(subnet)
    subnet.request_ip = lambda ip, instance: None


def _change(instance_id: str, before: str, now: str) -> dict[str, Any]:
    return {
        "InstanceId": instance_id,
        "CurrentState": {"Code": STATE_CODES[now], "Name": now},
        "PreviousState": {"Code": STATE_CODES[before], "Name": before},
    }


def _wrong_state(instance_id: str, verb: str) -> Exception:
    return fail(
        "IncorrectInstanceState",
        f"The instance '{instance_id}' is not in a state from which it can be {verb}.",
    )


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _check_user_data(encoded: Any) -> None:
    if not encoded:
        return
    try:
        size = len(base64.b64decode(_text(encoded), validate=True))
    except (binascii.Error, ValueError):
        raise fail("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if size > USER_DATA_LIMIT:
        raise fail("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")


def _check_hop_limit(limit: int | None) -> None:
    if limit is not None and not 1 <= limit <= HOP_LIMIT_MOST:
        raise fail(
            "InvalidParameterValue",
            f"Value ({limit}) for parameter HttpPutResponseHopLimit is invalid. Use 1 to {HOP_LIMIT_MOST}.",
        )
