"""VPC endpoints and the services that have them.

moto accepts any service name, gives an endpoint's interface an address of no subnet, and detects no conflict.
Sources of the texts: terraform-aws-modules/terraform-aws-vpc#481 (unknown service), #583 (two subnets of a zone),
hashicorp/terraform-provider-aws#17269 (conflicting domain). Private DNS needs both DNS attributes of the
VPC: AWS PrivateLink guide, "Access an AWS service using an interface VPC endpoint"; that text is assumed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from .filters import pattern
from .interfaces_api import fail

if TYPE_CHECKING:
    from .parameters import Given
    from .world import World

INTERFACE_SERVICES = (
    *(
        "autoscaling",
        "ebs",
        "ec2",
        "ec2messages",
        "kms",
        "lambda",
        "logs",
        "monitoring",
        "s3",
        "secretsmanager",
    ),
    *("sns", "ssm", "ssmmessages", "sts"),
)
GATEWAY_SERVICES = ("dynamodb", "s3")
DNS_ZONE = "Z7HUB22UULQXV"


class EndpointsApi(EC2BaseResponse):  # type: ignore[misc]
    """The actions on endpoints of AWS's own services."""

    world: World
    given: Given

    def describe_vpc_endpoint_services(self) -> ActionResult:
        self.error_on_dryrun()
        services = self._services()
        names = self.given.get("ServiceNames", [])
        for name in names:
            if not any(service["ServiceName"] == name for service in services):
                raise _unknown(name)
        services = [each for each in services if not names or each["ServiceName"] in names]
        for wanted in self.given.get("Filters", []):
            services = [each for each in services if _passes(each, wanted["Name"], wanted.get("Values", []))]
        return ActionResult(
            {
                "ServiceNames": [each["ServiceName"] for each in services],
                "ServiceDetails": services,
            }
        )

    def create_vpc_endpoint(self) -> ActionResult:
        name = self.given.get("ServiceName", "")
        kind = self.given.get("VpcEndpointType", "Gateway")
        found = [each for each in self._services() if each["ServiceName"] == name]
        if not found:
            raise _unknown(name)
        if all(each["ServiceType"][0]["ServiceType"] != kind for each in found):
            raise fail("InvalidParameter", f"The service {name} does not support endpoints of type {kind}.")
        vpc = self.ec2_backend.get_vpc(self.given["VpcId"])
        subnets = [self.ec2_backend.get_subnet(each) for each in self.given.get("SubnetIds", [])]
        private = kind == "Interface" and self.given.get("PrivateDnsEnabled", True)
        _check_zones(subnets)
        if private:
            self._check_domain(vpc, name, None)
        self.error_on_dryrun()
        self.params["VpcEndpointType"] = kind
        result = super().create_vpc_endpoint()
        endpoint = result.result["VpcEndpoint"]
        if kind == "Interface":
            endpoint.private_dns_enabled = private
            # moto's interfaces have addresses of no subnet, so we create them anew.
            for eni_id in endpoint.network_interface_ids:
                self.ec2_backend.enis.pop(eni_id)
            endpoint.network_interface_ids = []
            self._add_interfaces(endpoint, subnets)
            self._name(endpoint)
        return result

    def modify_vpc_endpoint(self) -> ActionResult:
        endpoint = self.ec2_backend.get_vpc_end_point(self.given["VpcEndpointId"])
        gone = self.given.get("RemoveSubnetIds", [])
        added = [self.ec2_backend.get_subnet(each) for each in self.given.get("AddSubnetIds", [])]
        there = [self.ec2_backend.get_subnet(each) for each in endpoint.subnet_ids or [] if each not in gone]
        _check_zones([*there, *added])
        private = self.given.get("PrivateDnsEnabled")
        if private and not endpoint.private_dns_enabled:
            self._check_domain(self.ec2_backend.get_vpc(endpoint.vpc_id), endpoint.service_name, endpoint.id)
        result = super().modify_vpc_endpoint()
        if endpoint.vpc_endpoint_type == "Interface":
            self._remove_interfaces(endpoint, gone)
            self._add_interfaces(endpoint, added)
            groups = [self.world.group(each) for each in endpoint.security_group_ids]
            for eni_id in endpoint.network_interface_ids:
                self.ec2_backend.enis[eni_id]._group_set = groups
            if private is not None:
                endpoint.private_dns_enabled = private
            self._name(endpoint)
        return result

    def delete_vpc_endpoints(self) -> ActionResult:
        for endpoint_id in self.given["VpcEndpointIds"]:
            endpoint = self.ec2_backend.vpc_end_points.get(endpoint_id)
            if endpoint is not None and endpoint.vpc_endpoint_type == "Interface":
                self._remove_interfaces(endpoint, endpoint.subnet_ids)
        return super().delete_vpc_endpoints()

    def _services(self) -> list[dict[str, Any]]:
        world = self.world
        zones = [zone.name for zone in self.ec2_backend.describe_availability_zones()]
        services = []
        for kind, names in (("Interface", INTERFACE_SERVICES), ("Gateway", GATEWAY_SERVICES)):
            for service in names:
                name = (
                    world.partition.endpoint_service(service, world.region)
                    if kind == "Interface"
                    else f"com.amazonaws.{world.region}.{service}"
                )
                private = f"{service}.{world.region}.{world.partition.dns_suffix}"
                base = f"{service}.{world.region}.vpce.{world.partition.dns_suffix}"
                number = hashlib.sha256(f"{kind} {name}".encode()).hexdigest()[:17]
                services.append(
                    {
                        "ServiceName": name,
                        "ServiceId": f"vpce-svc-{number}",
                        "ServiceType": [{"ServiceType": kind}],
                        "AvailabilityZones": zones,
                        "Owner": "amazon",
                        "BaseEndpointDnsNames": [base if kind == "Interface" else private],
                        **({"PrivateDnsName": private} if kind == "Interface" else {}),
                        **({"PrivateDnsNames": [{"PrivateDnsName": private}]} if kind == "Interface" else {}),
                        "VpcEndpointPolicySupported": True,
                        "AcceptanceRequired": False,
                        "ManagesVpcEndpoints": False,
                        "Tags": [],
                        "PrivateDnsNameVerificationState": "verified",
                        "SupportedIpAddressTypes": ["ipv4"],
                    }
                )
        return sorted(services, key=lambda each: str(each["ServiceName"]))

    def _private_name(self, service_name: str) -> str:
        service = service_name.split(f".{self.world.region}.")[1]
        return f"{service}.{self.world.region}.{self.world.partition.dns_suffix}"

    def _check_domain(self, vpc: Any, service_name: str, itself: str | None) -> None:
        if not (_on(vpc.enable_dns_support) and _on(vpc.enable_dns_hostnames)):
            raise fail(
                "InvalidParameter",
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to "
                f"true for {vpc.id}",
            )
        for other in self.ec2_backend.vpc_end_points.values():
            if (
                other.id != itself
                and other.vpc_id == vpc.id
                and other.service_name == service_name
                and other.vpc_endpoint_type == "Interface"
                and other.private_dns_enabled
                and other.state != "deleted"
            ):
                raise fail(
                    "InvalidParameter",
                    "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                    f"{self._private_name(service_name)} in the VPC {vpc.id}",
                )

    def _add_interfaces(self, endpoint: Any, subnets: Iterable[Any]) -> None:
        groups = list(endpoint.security_group_ids)
        for subnet in subnets:
            eni = self.ec2_backend.create_network_interface(
                subnet,
                self.world.free_address(subnet),
                group_ids=groups,
                description=f"VPC Endpoint Interface {endpoint.id}",
            )
            eni.interface_type, eni.requester_managed, eni.status = "vpc_endpoint", True, "in-use"
            endpoint.network_interface_ids.append(eni.id)
            self.world.adopt(eni)

    def _remove_interfaces(self, endpoint: Any, subnet_ids: list[str]) -> None:
        for eni_id in list(endpoint.network_interface_ids):
            eni = self.ec2_backend.enis.get(eni_id)
            if eni is not None and eni.subnet_id in subnet_ids:
                self.ec2_backend.enis.pop(eni_id)
                endpoint.network_interface_ids.remove(eni_id)
                self.world.addresses.drop(eni_id)

    def _name(self, endpoint: Any) -> None:
        """Set an endpoint's DNS names: its own, and with private DNS the service's too."""
        private = self._private_name(endpoint.service_name)
        own = f"{endpoint.id}-{secrets.token_hex(4)}.{private.replace('amazonaws', 'vpce.amazonaws', 1)}"
        names = [own, private] if endpoint.private_dns_enabled else [own]
        endpoint.dns_entries = [{"DnsName": name, "HostedZoneId": DNS_ZONE} for name in names]


def _on(attribute: Any) -> bool:
    return str(attribute).lower() == "true"


def _unknown(name: str) -> Exception:
    return fail("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")


def _check_zones(subnets: Iterable[Any]) -> None:
    seen: set[str] = set()
    for subnet in subnets:
        if subnet.availability_zone in seen:
            raise fail(
                "DuplicateSubnetsInSameZone",
                f"Found another VPC endpoint subnet in the availability zone of {subnet.id}. VPC endpoint subnets "
                "should be in different availability zones supported by the VPC endpoint service.",
            )
        seen.add(subnet.availability_zone)


def _passes(service: dict[str, Any], name: str, values: list[str]) -> bool:
    kind = service["ServiceType"][0]["ServiceType"]
    found = {"service-name": service["ServiceName"], "service-type": kind, "owner": service["Owner"]}.get(
        name
    )
    if found is None:
        raise fail("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(pattern(value).fullmatch(str(found)) for value in values)
