"""An application that reaches its database through the VIP, whichever node holds it."""

import pulumi
import pulumi_aws as aws

pair = pulumi.StackReference(pulumi.Config().require("pair"))
vip = pair.require_output("vip")

application = aws.ec2.Instance(
    "application",
    ami=aws.ssm.get_parameter(
        name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    ).insecure_value,
    instance_type="t3.micro",
    subnet_id=pair.require_output("subnetId"),
    # This group lets the application reach the VIP. It could have groups of its own as well.
    vpc_security_group_ids=[pair.require_output("clientSecurityGroupId")],
    user_data=pulumi.Output.format("#!/bin/sh\necho DATABASE_HOST={0} >> /etc/environment\n", vip),
    tags={"Name": "application"},
)

pulumi.export("databaseHost", vip)
pulumi.export("instanceId", application.id)
