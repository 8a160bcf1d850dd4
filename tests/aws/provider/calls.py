"""The API calls that terraform-provider-aws makes for each type and operation, in order.

The calls of look-ups are in `calls_of_functions.py`. `tests/engine/test_provider_calls.py` compares the stand-in's
real calls with this table, and demands that each row is used. `file` is below `internal/service/` in
hashicorp/terraform-provider-aws. `at` is the commit or the release at which we read the file. A public index has
few versions of each file, so these differ, and those of 5.x are older than what pulumi-aws 7 wraps (6.x).

The operations are the functions `resource…Create`, `…Read`, `…Update` and `…Delete` in that file. In the older SDK
a create or an update ends in a read. Each update begins with the tags (`updateTags` in `tags_gen.go`, called by
the interceptor of `internal/provider`).
"""

from __future__ import annotations

from .call_table import EC2_TAGS, Call, Resource, polled, when

_STOPPED = (
    Call("ec2:StopInstances"),
    polled("ec2:DescribeInstances"),
    Call("ec2:ModifyInstanceAttribute"),
    Call("ec2:StartInstances"),
    polled("ec2:DescribeInstances"),
)
_ATTACH = (Call("ec2:AttachInternetGateway", many=True), polled("ec2:DescribeInternetGateways"))
_DETACH = (
    Call("ec2:DetachInternetGateway", many=True),
    when("it was attached", polled("ec2:DescribeInternetGateways")),
)
_DISASSOCIATE = (
    Call("ec2:DisassociateRouteTable"),
    when("it was there", polled("ec2:DescribeRouteTables")),
)


def _rule(direction: str) -> Resource:
    return Resource(
        file=f"ec2/vpc_security_group_{direction.lower()}_rule.go",
        at="5.6x, create: 6.x",
        framework=True,
        create=(Call(f"ec2:AuthorizeSecurityGroup{direction}"),),
        read=(Call("ec2:DescribeSecurityGroupRules"),),
        update=(when("anything but tags changes", Call("ec2:ModifySecurityGroupRules")),),
        delete=(Call(f"ec2:RevokeSecurityGroup{direction}"),),
    )


RESOURCES: dict[str, Resource] = {
    "aws:ec2/vpc:Vpc": Resource(
        file="ec2/vpc_.go",
        at="5.6x",
        create=(
            Call("ec2:CreateVpc"),
            polled("ec2:DescribeVpcs"),
            when("enableDnsHostnames", Call("ec2:ModifyVpcAttribute"), polled("ec2:DescribeVpcAttribute")),
            when("not enableDnsSupport", Call("ec2:ModifyVpcAttribute"), polled("ec2:DescribeVpcAttribute")),
        ),
        read=(
            Call("ec2:DescribeVpcs"),
            Call("ec2:DescribeVpcAttribute"),  # enableDnsHostnames
            Call("ec2:DescribeVpcAttribute"),  # enableDnsSupport
            Call("ec2:DescribeVpcAttribute"),  # enableNetworkAddressUsageMetrics
            Call("ec2:DescribeNetworkAcls", only_warns=True),
            Call("ec2:DescribeRouteTables", only_warns=True),
            Call("ec2:DescribeSecurityGroups", only_warns=True),
        ),
        update=(
            when(
                "enableDnsHostnames changes",
                Call("ec2:ModifyVpcAttribute"),
                polled("ec2:DescribeVpcAttribute"),
            ),
            when(
                "enableDnsSupport changes",
                Call("ec2:ModifyVpcAttribute"),
                polled("ec2:DescribeVpcAttribute"),
            ),
        ),
        delete=(Call("ec2:DeleteVpc", many=True), polled("ec2:DescribeVpcs")),
    ),
    "aws:ec2/subnet:Subnet": Resource(
        file="ec2/vpc_subnet.go",
        at="3db496c3, delete: 6.x",
        create=(
            Call("ec2:CreateSubnet"),
            polled("ec2:DescribeSubnets"),
            when("mapPublicIpOnLaunch", Call("ec2:ModifySubnetAttribute"), polled("ec2:DescribeSubnets")),
        ),
        read=(Call("ec2:DescribeSubnets"),),
        update=(
            when(
                "mapPublicIpOnLaunch changes",
                Call("ec2:ModifySubnetAttribute"),
                polled("ec2:DescribeSubnets"),
            ),
        ),
        delete=(Call("ec2:DescribeNetworkInterfaces"), Call("ec2:DeleteSubnet", many=True)),
    ),
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": Resource(
        file="ec2/vpc_subnet_cidr_reservation.go",
        at="5.6x",
        tags="none",
        create=(Call("ec2:CreateSubnetCidrReservation"),),
        read=(Call("ec2:GetSubnetCidrReservations"),),
        delete=(Call("ec2:DeleteSubnetCidrReservation"),),
    ),
    "aws:ec2/internetGateway:InternetGateway": Resource(
        file="ec2/vpc_internet_gateway.go",
        at="08923b68",
        create=(Call("ec2:CreateInternetGateway"), when("vpcId", *_ATTACH)),
        read=(Call("ec2:DescribeInternetGateways"),),
        update=(when("vpcId changes", when("it had one", *_DETACH), *_ATTACH),),
        delete=(when("vpcId", *_DETACH), Call("ec2:DeleteInternetGateway", many=True)),
    ),
    "aws:ec2/routeTable:RouteTable": Resource(
        file="ec2/vpc_route_table.go",
        at="02209241",
        create=(Call("ec2:CreateRouteTable"), polled("ec2:DescribeRouteTables")),
        read=(Call("ec2:DescribeRouteTables"),),
        delete=(
            Call("ec2:DescribeRouteTables"),
            when("a subnet uses it still", *_DISASSOCIATE),
            Call("ec2:DeleteRouteTable"),
            polled("ec2:DescribeRouteTables"),
        ),
    ),
    "aws:ec2/route:Route": Resource(
        file="ec2/vpc_route.go",
        at="0128541e",
        tags="none",
        create=(Call("ec2:CreateRoute", many=True), polled("ec2:DescribeRouteTables")),
        read=(Call("ec2:DescribeRouteTables"),),
        update=(Call("ec2:ReplaceRoute"), polled("ec2:DescribeRouteTables")),
        delete=(Call("ec2:DeleteRoute", many=True), polled("ec2:DescribeRouteTables")),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Resource(
        file="ec2/vpc_route_table_association.go",
        at="0be71beb",
        tags="none",
        create=(Call("ec2:AssociateRouteTable", many=True), polled("ec2:DescribeRouteTables")),
        read=(Call("ec2:DescribeRouteTables"),),
        update=(
            Call("ec2:ReplaceRouteTableAssociation"),
            when("it is gone", Call("ec2:AssociateRouteTable", many=True)),
            polled("ec2:DescribeRouteTables"),
        ),
        delete=_DISASSOCIATE,
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Resource(
        file="ec2/vpc_endpoint.go",
        at="008db85a",
        create=(Call("ec2:CreateVpcEndpoint"), polled("ec2:DescribeVpcEndpoints")),
        read=(
            Call("ec2:DescribeVpcEndpoints"),
            Call("ec2:DescribePrefixLists"),
            when("it has interfaces", Call("ec2:DescribeNetworkInterfaces", many=True)),
        ),
        update=(
            when(
                "groups, subnets or private DNS change",
                Call("ec2:ModifyVpcEndpoint"),
                polled("ec2:DescribeVpcEndpoints"),
            ),
        ),
        delete=(Call("ec2:DeleteVpcEndpoints"), polled("ec2:DescribeVpcEndpoints")),
    ),
    "aws:ec2/securityGroup:SecurityGroup": Resource(
        file="ec2/vpc_security_group.go",
        at="5.6x",
        create=(
            Call("ec2:CreateSecurityGroup"),
            polled("ec2:DescribeSecurityGroups"),
            Call("ec2:RevokeSecurityGroupEgress"),  # 0.0.0.0/0
            Call("ec2:RevokeSecurityGroupEgress"),  # ::/0, which may not be there
            Call("ec2:DescribeSecurityGroups"),  # it ends in an update
        ),
        read=(Call("ec2:DescribeSecurityGroups"),),
        update=(Call("ec2:DescribeSecurityGroups"),),
        delete=(
            Call("ec2:DescribeNetworkInterfaces"),
            Call("ec2:DeleteSecurityGroup", many=True),
            polled("ec2:DescribeSecurityGroups"),
        ),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule("Ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule("Egress"),
    "aws:iam/role:Role": Resource(
        file="iam/role.go",
        at="5.6x",
        tags="role",
        create=(Call("iam:CreateRole", many=True),),
        read=(
            Call("iam:GetRole"),
            Call("iam:ListRolePolicies"),
            when("it has policies inside", Call("iam:GetRolePolicy", many=True)),
            Call("iam:ListAttachedRolePolicies"),
        ),
        update=(
            when("assumeRolePolicy changes", Call("iam:UpdateAssumeRolePolicy", many=True)),
            when("description changes", Call("iam:UpdateRoleDescription")),
            when("maxSessionDuration changes", Call("iam:UpdateRole")),
            when("permissionsBoundary changes", Call("iam:PutRolePermissionsBoundary")),
            when("permissionsBoundary is gone", Call("iam:DeleteRolePermissionsBoundary")),
        ),
        delete=(
            Call("iam:ListInstanceProfilesForRole"),
            when("a profile has it still", Call("iam:RemoveRoleFromInstanceProfile", many=True)),
            when(
                "forced, or a refresh has seen managed policies",
                Call("iam:ListAttachedRolePolicies"),
                when("some are there still", Call("iam:DetachRolePolicy", many=True)),
            ),
            when(
                "forced, or a refresh has seen policies inside",
                Call("iam:ListRolePolicies"),
                when("some are there still", Call("iam:DeleteRolePolicy", many=True)),
            ),
            Call("iam:DeleteRole", many=True),
        ),
    ),
    "aws:iam/rolePolicy:RolePolicy": Resource(
        file="iam/role_policy.go",
        at="02f97af8",
        tags="none",
        create=(Call("iam:PutRolePolicy"), polled("iam:GetRolePolicy")),
        read=(Call("iam:GetRolePolicy"),),
        update=(Call("iam:PutRolePolicy"),),
        delete=(Call("iam:DeleteRolePolicy"),),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Resource(
        file="iam/role_policy_attachment.go",
        at="6.x",
        tags="none",
        create=(Call("iam:AttachRolePolicy"),),
        read=(Call("iam:ListAttachedRolePolicies"),),
        delete=(Call("iam:DetachRolePolicy"),),
    ),
    "aws:iam/instanceProfile:InstanceProfile": Resource(
        file="iam/instance_profile.go",
        at="013f1736",
        tags="profile",
        create=(
            Call("iam:CreateInstanceProfile"),
            polled("iam:GetInstanceProfile"),
            when("role", Call("iam:AddRoleToInstanceProfile", many=True)),
            polled("iam:GetInstanceProfile"),  # three times in a row
        ),
        read=(Call("iam:GetInstanceProfile"), when("it has a role", Call("iam:GetRole"))),
        update=(
            when(
                "role changes",
                when("it had one", Call("iam:RemoveRoleFromInstanceProfile")),
                when("it gets one", Call("iam:AddRoleToInstanceProfile", many=True)),
            ),
            polled("iam:GetInstanceProfile"),
        ),
        delete=(
            when("it has a role", Call("iam:RemoveRoleFromInstanceProfile")),
            Call("iam:DeleteInstanceProfile"),
        ),
    ),
    "aws:ssm/parameter:Parameter": Resource(
        file="ssm/parameter.go",
        at="0073593e",
        tags="parameter",
        create=(Call("ssm:PutParameter"),),
        read=(
            Call("ssm:GetParameter"),
            Call("ssm:DescribeParameters"),
            Call("ssm:ListTagsForResource"),
        ),
        update=(when("anything but tags changes", Call("ssm:PutParameter")),),
        delete=(Call("ssm:DeleteParameter"),),
    ),
    "aws:ec2/tag:Tag": Resource(
        file="ec2/tag_gen.go",
        at="6.x",
        tags="none",
        create=(Call("ec2:CreateTags"),),
        read=(Call("ec2:DescribeTags"),),
        update=(Call("ec2:CreateTags"),),
        delete=(Call("ec2:DeleteTags"),),
    ),
    "aws:ec2/placementGroup:PlacementGroup": Resource(
        file="ec2/ec2_placement_group.go",
        at="05e34de7",
        create=(Call("ec2:CreatePlacementGroup"), polled("ec2:DescribePlacementGroups")),
        read=(Call("ec2:DescribePlacementGroups"),),
        delete=(Call("ec2:DeletePlacementGroup"), polled("ec2:DescribePlacementGroups")),
    ),
    "aws:ec2/instance:Instance": Resource(
        file="ec2/ec2_instance.go",
        at="5.6x",
        create=(
            when("rootBlockDevice", Call("ec2:DescribeImages")),
            Call("ec2:RunInstances", many=True),  # again while EC2 does not know the profile
            polled("ec2:DescribeInstances"),
            when("rootBlockDevice.tags", Call("ec2:CreateTags", only_warns=True)),
            when("not sourceDestCheck", Call("ec2:ModifyInstanceAttribute")),
        ),
        read=(
            Call("ec2:DescribeInstances"),
            Call("ec2:DescribeInstanceTypes"),
            Call("ec2:DescribeTags"),  # of a launch template
            when("volumeTags", Call("ec2:DescribeVolumes"), Call("ec2:DescribeTags")),
            when("it has a VPC", Call("ec2:DescribeVpcs", only_warns=True)),
            Call("ec2:DescribeInstanceAttribute"),  # instanceInitiatedShutdownBehavior
            when("it has volumes", Call("ec2:DescribeVolumes")),
            Call("ec2:DescribeInstanceAttribute"),  # disableApiStop
            Call("ec2:DescribeInstanceAttribute"),  # disableApiTermination
            Call("ec2:DescribeInstanceAttribute"),  # userData
            when("the type is burstable", Call("ec2:DescribeInstanceCreditSpecifications")),
        ),
        update=(
            when("volumeTags change", Call("ec2:DescribeVolumes"), *EC2_TAGS),
            when(
                "iamInstanceProfile changes",
                Call("ec2:DescribeIamInstanceProfileAssociations"),
                when("it has one and runs", Call("ec2:ReplaceIamInstanceProfileAssociation", many=True)),
                when(
                    "it has one and does not run, or shall have none",
                    Call("ec2:DisassociateIamInstanceProfile"),
                ),
                when("it has none then", Call("ec2:AssociateIamInstanceProfile", many=True)),
                polled("ec2:DescribeInstances"),
            ),
            when("sourceDestCheck changes", Call("ec2:ModifyInstanceAttribute")),
            when(
                "secondaryPrivateIps or vpcSecurityGroupIds change",
                Call("ec2:DescribeInstances"),
                when("addresses are gone", Call("ec2:UnassignPrivateIpAddresses")),
                when("addresses are new", Call("ec2:AssignPrivateIpAddresses")),
                when("groups change", Call("ec2:ModifyNetworkInterfaceAttribute")),
            ),
            when("instanceType changes", *_STOPPED),
            when("user data change in place", *_STOPPED),
            when(
                "metadataOptions change",
                Call("ec2:ModifyInstanceMetadataOptions"),
                polled("ec2:DescribeInstances"),
            ),
            when(
                "rootBlockDevice.volumeType changes",
                Call("ec2:ModifyVolume"),
                polled("ec2:DescribeVolumesModifications"),
            ),
            *EC2_TAGS,  # rootBlockDevice.tags
        ),
        delete=(
            Call(
                "ec2:ModifyInstanceAttribute", only_warns=True
            ),  # disableApiTermination; 6.x may ask forceDestroy
            Call("ec2:TerminateInstances"),
            polled("ec2:DescribeInstances"),
        ),
    ),
}
