"""The EC2 actions on network interfaces in which moto differs from AWS.

If a real error is public, we use AWS's code and message, and a comment names the source. Those marked
"second-hand" come from other emulators, whose remaining texts agree with real ones.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidNetworkInterfaceIdError
from moto.ec2.responses._base_response import EC2BaseResponse

from . import filters as filters_of
from .addresses import reserved

if TYPE_CHECKING:
    from .world import World

# API_DescribeNetworkInterfaces: MaxResults is from 5 to 1000.
PAGE_LEAST, PAGE_MOST = 5, 1000


def fail(code: str, message: str) -> Exception:
    """A client error of EC2: HTTP status 400."""
    error: Exception = EC2ClientError(code, message)
    return error


class InterfacesApi(EC2BaseResponse):  # type: ignore[misc]
    """Assign, Unassign, Describe, and the other actions on an interface's addresses and groups."""

    world: World

    def assign_private_ip_addresses(self) -> ActionResult:
        eni = self._interface(self._get_param("NetworkInterfaceId"))
        wanted: list[str] = self._get_param("PrivateIpAddresses", [])
        count = self._get_int_param("SecondaryPrivateIpAddressCount", 0)
        if self._get_param("Ipv4Prefixes") or self._get_param("Ipv4PrefixCount"):
            raise fail("UnsupportedOperation", "This emulator has no IPv4 prefixes; assign single addresses.")
        if wanted and count:  # botocore: the two exclude each other; code second-hand
            raise fail(
                "InvalidParameterCombination",
                "privateIpAddressSet and secondaryPrivateIpAddressCount may not both be specified.",
            )
        if not wanted and not count:  # second-hand
            raise fail(
                "InvalidParameter",
                "One of privateIpAddressSet or secondaryPrivateIpAddressCount must be specified.",
            )
        if wanted:
            self._assign(eni, wanted, self._get_bool_param("AllowReassignment", False))
        else:
            wanted = self._free_addresses(eni.subnet, count)
            self._assign(eni, wanted, allow_reassignment=False)
        result = {
            "NetworkInterfaceId": eni.id,
            "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in wanted],
            "AssignedIpv4Prefixes": [],
            "Return": True,
        }
        return ActionResult(result)

    def _assign(self, eni: Any, wanted: list[str], allow_reassignment: bool) -> None:
        """Assign all or none. Source: EC2 user guide, MultipleIP: the call fails if one is unavailable."""
        for address in wanted:
            self._check_place(eni, address)
        own = {item["PrivateIpAddress"] for item in eni.private_ip_addresses}
        if self.world.settings.same_eni_reassign == "error" and own.intersection(wanted):
            raise _move_not_allowed(address for address in wanted if address in own)
        others = {
            item["PrivateIpAddress"]: (other, item)
            for other in self.ec2_backend.enis.values()
            if other.vpc_id == eni.vpc_id and other.id != eni.id
            for item in other.private_ip_addresses
        }
        taken = [address for address in wanted if address in others]
        if any(others[address][1].get("Primary") for address in taken):
            # That word is the whole message: aws/aws-sdk-go#2864, fog/fog-aws#115.
            raise fail("InvalidParameterValue", "secondary-addresses")
        if taken and not allow_reassignment:
            raise _move_not_allowed(taken)
        new = [address for address in dict.fromkeys(wanted) if address not in own]
        limit = self.world.address_limit(eni)
        if limit is not None and len(own) + len(new) > limit:
            # CloudTrail record in aws/amazon-vpc-cni-k8s#989; SDK error in cilium/cilium#36428.
            raise fail("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
        for address in taken:
            other, item = others[address]
            other.private_ip_addresses.remove(item)
        eni.private_ip_addresses.extend(self._secondary(address) for address in new)
        self.world.addresses.changed(eni.vpc_id, new, eni.id)

    def unassign_private_ip_addresses(self) -> ActionResult:
        eni = self._interface(self._get_param("NetworkInterfaceId"))
        unwanted: list[str] = self._get_param("PrivateIpAddresses", [])
        if not unwanted:  # code seen in ClusterLabs/resource-agents#1395
            raise fail("MissingParameter", "One of privateIpAddresses or ipv4Prefixes must be specified.")
        items = {item["PrivateIpAddress"]: item for item in eni.private_ip_addresses}
        for address in unwanted:
            if items.get(address, {}).get("Primary"):  # second-hand
                raise fail(
                    "InvalidParameterValue",
                    f"Value ({address}) for parameter privateIpAddress is invalid. "
                    "The primary IP address of an interface cannot be unassigned.",
                )
        if any(address not in items for address in unwanted):
            # AWS's own VPC CNI matches this text and treats it as success.
            raise fail(
                "InvalidParameterValue",
                f"Some of the specified addresses are not assigned to interface {eni.id}",
            )
        for address in dict.fromkeys(unwanted):
            eni.private_ip_addresses.remove(items[address])
        self.world.addresses.changed(eni.vpc_id, dict.fromkeys(unwanted), None)
        return ActionResult({"Return": True})

    def describe_network_interfaces(self) -> ActionResult:
        ids: list[str] = self._get_param("NetworkInterfaceIds", [])
        size = self._get_int_param("MaxResults", None)
        self.error_on_dryrun()
        if ids and size is not None:
            raise fail(
                "InvalidParameterCombination",
                "The parameter networkInterfacesSet cannot be used with the parameter maxResults",
            )
        if size is not None and not PAGE_LEAST <= size <= PAGE_MOST:
            raise fail(
                "InvalidParameterValue",
                f"Value ( {size} ) for parameter maxResults is invalid. "
                f"Expecting a value between {PAGE_LEAST} and {PAGE_MOST}.",
            )
        chosen = [self._interface(eni_id) for eni_id in dict.fromkeys(ids)]
        shown = [Described(eni, self.world) for eni in chosen or list(self.ec2_backend.enis.values())]
        filters = self._filters_from_querystring()
        filters_of.check(filters)
        shown = [eni for eni in shown if filters_of.matches(eni, filters)]
        start = _position(self._get_param("NextToken"), shown)
        end = len(shown) if size is None else start + size
        token = _token(shown[end - 1].id) if end < len(shown) else None
        return ActionResult({"NetworkInterfaces": shown[start:end], "NextToken": token})

    def create_network_interface(self) -> ActionResult:
        subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
        address = self._get_param("PrivateIpAddress")
        listed = self._get_param("PrivateIpAddresses", [])
        wanted = [address] if address else []
        wanted += [item["PrivateIpAddress"] for item in listed]
        if wanted:
            self.world.check_launch_addresses(subnet, list(dict.fromkeys(wanted)))
        else:
            wanted = [self.world.free_address(subnet)]
            self.params["PrivateIpAddress"] = wanted[0]
        # moto would take any of the subnet's, also one that is reserved or in use.
        count = int(self.params.pop("SecondaryPrivateIpAddressCount", 0))
        more = self._free_addresses(subnet, count, besides=wanted)
        result = super().create_network_interface()
        eni = result.result["NetworkInterface"]
        eni.private_ip_addresses.extend(map(self._secondary, more))
        self.world.adopt(eni)
        return result

    def delete_network_interface(self) -> ActionResult:
        eni = self._interface(self._get_param("NetworkInterfaceId"))
        self.error_on_dryrun()
        if eni.instance is not None:
            # Seen in hashicorp/terraform-provider-aws issues on security groups that hang at deletion.
            raise fail("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")
        self.ec2_backend.delete_network_interface(eni.id)
        self.world.addresses.drop(eni.id)
        return EmptyResult()

    def modify_network_interface_attribute(self) -> ActionResult:
        eni = self._interface(self._get_param("NetworkInterfaceId"))
        groups = self._get_param("Groups", [])
        found = [self.world.group(group_id) for group_id in groups]
        change = self._get_param("Attachment") or {}
        if "DeleteOnTermination" in change:
            self.error_on_dryrun()
            eni.delete_on_termination = change["DeleteOnTermination"]
        result = super().modify_network_interface_attribute()
        # moto adds the instance's groups to the interface's; in a VPC the two are the same.
        if found and eni.instance is not None and eni.device_index == 0:
            eni.instance.security_groups = found
        return result

    def _interface(self, eni_id: str) -> Any:
        if not re.fullmatch(r"eni-([0-9a-f]{8}|[0-9a-f]{17})", eni_id or ""):
            # We spell the code from memory, as we found no public record.
            raise fail("InvalidNetworkInterfaceId.Malformed", f'Invalid id: "{eni_id}"')
        eni = self.ec2_backend.enis.get(eni_id)
        if eni is None:
            raise InvalidNetworkInterfaceIdError(eni_id)
        return eni

    def _check_place(self, eni: Any, address: str) -> None:
        try:
            ip = ipaddress.IPv4Address(address)
        except ValueError:
            # Seen for CreateNetworkInterface: hashicorp/terraform-provider-aws#23114.
            raise fail("InvalidParameterValue", f"invalid value for parameter address: {address}") from None
        if ip not in ipaddress.IPv4Network(eni.subnet.cidr_block):
            # Seen for RunInstances: JamesWoolfenden/terraform-aws-cassandra#18.
            raise fail(
                "InvalidParameterValue", f"Address {address} does not fall within the subnet's address range"
            )
        if address in reserved(eni.subnet.cidr_block):  # second-hand
            raise fail("InvalidParameterValue", f"Address {address} is in subnet's reserved range.")

    def _free_addresses(self, subnet: Any, count: int, besides: Collection[str] = ()) -> list[str]:
        free: list[str] = []
        for _ in range(count):
            try:
                free.append(self.world.free_address(subnet, besides=[*besides, *free]))
            except EC2ClientError as error:
                # AWS support's text in cilium/cilium#31016.
                raise fail(
                    "InvalidParameterValue", "There aren't sufficient free Ipv4 addresses or prefixes"
                ) from error
        return free

    def _secondary(self, address: str) -> dict[str, Any]:
        item: dict[str, Any] = {"Primary": False, "PrivateIpAddress": address}
        item["PrivateDnsName"] = self.world.private_dns_name(address)
        return item


class Described:
    """A network interface as Describe shows it: moto's, with the addresses that Describe knows by now."""

    def __init__(self, eni: Any, world: World) -> None:
        self._eni = eni
        secondaries = world.addresses.described.of(eni.id)
        self.private_ip_addresses = [
            {
                "Primary": True,
                "PrivateIpAddress": eni.private_ip_address,
                "PrivateDnsName": world.private_dns_name(eni.private_ip_address),
                **({"Association": eni.association} if eni.public_ip else {}),
            },
            *(
                {
                    "Primary": False,
                    "PrivateIpAddress": address,
                    "PrivateDnsName": world.private_dns_name(address),
                }
                for address in secondaries
            ),
        ]
        self.private_dns_name = world.private_dns_name(eni.private_ip_address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._eni, name)


def _move_not_allowed(addresses: Iterable[str]) -> Exception:
    # Quoted in the docs of Ansible's ec2_eni, and matched by clients as a regular expression.
    return fail("InvalidParameterValue", f"[{', '.join(addresses)}] assigned, but move is not allowed.")


def _token(eni_id: str) -> str:
    return base64.urlsafe_b64encode(eni_id.encode()).decode()


def _position(token: str | None, shown: list[Described]) -> int:
    if token is None:
        return 0
    try:
        last = base64.urlsafe_b64decode(token.encode()).decode()
        return [eni.id for eni in shown].index(last) + 1
    except ValueError:
        raise fail("InvalidParameterValue", f"Value ({token}) for parameter NextToken is invalid.") from None
