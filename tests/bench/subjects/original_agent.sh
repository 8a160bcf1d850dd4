#!/bin/sh
# An agent as the original write-up (2015) describes its own, which uses the AWS CLI for everything. Monitor
# describes the interface, start assigns with AllowReassignment. Both start and stop look first and are
# idempotent. For comparison only: it has the faults that the project's agent was written to avoid.

: "${OCF_ROOT=/usr/lib/ocf}" "${OCF_FUNCTIONS_DIR=$OCF_ROOT/lib/heartbeat}"
# shellcheck source=/dev/null
. "$OCF_FUNCTIONS_DIR/ocf-shellfuncs"

meta_data() {
    cat <<'END'
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="ec2vip-original" version="1.0">
<version>1.0</version>
<longdesc lang="en">A secondary private address of this instance's interface, by the AWS CLI.</longdesc>
<shortdesc lang="en">Secondary private IP on EC2</shortdesc>
<parameters>
<parameter name="ec2_vip" required="1" unique="1">
<longdesc lang="en">The floating address.</longdesc>
<shortdesc lang="en">Floating address</shortdesc>
<content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/>
<action name="stop" timeout="60s"/>
<action name="monitor" timeout="60s" interval="10s"/>
<action name="validate-all" timeout="20s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
END
}

imds() {
    curl -s --max-time 5 -H "X-aws-ec2-metadata-token: $TOKEN" "http://169.254.169.254/latest/meta-data/$1"
}

find_interface() {
    TOKEN=$(curl -s --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
        http://169.254.169.254/latest/api/token)
    ENI=$(imds "network/interfaces/macs/$(imds mac)/interface-id")
    AWS_DEFAULT_REGION=$(imds placement/region)
    export AWS_DEFAULT_REGION
}

# Parameters come in the environment.
VIP=${OCF_RESKEY_ec2_vip:-}

assigned() {
    aws ec2 describe-network-interfaces --network-interface-ids "$ENI" --output text \
        --query 'NetworkInterfaces[].PrivateIpAddresses[].[PrivateIpAddress]' | grep -Fqx "$VIP"
}

case $1 in
meta-data)
    meta_data
    ;;
monitor)
    find_interface
    assigned || exit "$OCF_NOT_RUNNING"
    ;;
start)
    find_interface
    assigned || aws ec2 assign-private-ip-addresses --network-interface-id "$ENI" \
        --private-ip-addresses "$VIP" --allow-reassignment || exit "$OCF_ERR_GENERIC"
    ;;
stop)
    find_interface
    assigned || exit "$OCF_SUCCESS"
    aws ec2 unassign-private-ip-addresses --network-interface-id "$ENI" \
        --private-ip-addresses "$VIP" || exit "$OCF_ERR_GENERIC"
    ;;
validate-all)
    [ -n "$VIP" ] || exit "$OCF_ERR_CONFIGURED"
    ;;
*) exit "$OCF_ERR_UNIMPLEMENTED" ;;
esac
exit "$OCF_SUCCESS"
