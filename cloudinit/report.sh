#!/bin/bash
# The health of this node on one page, for its owner and for whoever helps: ec2vip-report. It changes nothing,
# needs root, asks EC2 nothing, and no question of it can hang.
set -u
# shellcheck source=/dev/null
. /etc/ec2vip/bootstrap.env

ask() {
    printf '\n== %s\n' "$1"
    shift
    timeout 10 "$@" 2>&1 || printf '(exit code %s)\n' $?
}

# What EC2 says is on this node's interface; nothing else of the metadata, and no credentials.
metadata() {
    local imds=http://169.254.169.254/latest header=X-aws-ec2-metadata-token token interface mac
    token=$(curl -sS --max-time 2 -X PUT -H "$header-ttl-seconds: 60" "$imds/api/token") || return
    interface=$(ip -4 -o address show to "$ADDRESS/32" | awk '{ print $2; exit }')
    mac=$(cat "/sys/class/net/$interface/address")
    curl -sS --max-time 2 -H "$header: $token" \
        "$imds/meta-data/network/interfaces/macs/$mac/local-ipv4s"
}

versions() {
    local names=(corosync pacemaker pcs resource-agents)
    dpkg-query --show "${names[@]}" 2>/dev/null || rpm --query "${names[@]}"
}
export -f metadata versions
export ADDRESS

echo "ec2vip report of $NODE ($ADDRESS), VIP $VIP, $(date --utc +%FT%TZ)"
ask 'bootstrap' journalctl --no-pager --output short-iso --lines 30 --identifier ec2vip-bootstrap
ask 'what its commands said last' tail -n 15 /var/log/ec2vip-bootstrap.log
ask 'cloud-init' cloud-init status --long
ask 'services' systemctl --no-pager --lines 0 status corosync.service pacemaker.service pcsd.service
ask 'cluster' crm_mon --one-shot --inactive --failcounts --operations
ask 'membership' corosync-quorumtool -s
ask 'links' corosync-cfgtool -s
ask 'addresses' ip -4 -o address show
ask 'addresses in the metadata' bash -c metadata
ask 'packages' bash -c versions
ask 'warnings of this boot' journalctl --no-pager --boot --priority warning --lines 40
