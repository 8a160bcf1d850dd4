#!/bin/bash
# The health of this node on one page, for its owner and for whoever helps: ec2vip-report. It changes nothing,
# needs root, asks EC2 nothing, and no question of it can hang.
set -u
# shellcheck source=/dev/null
. /etc/ec2vip/bootstrap.env

ask() {
    printf '\n== %s\n' "$*"
    timeout 10 "$@" 2>&1 || printf '(exit code %s)\n' $?
}

echo "ec2vip report of $NODE ($ADDRESS), VIP ${VIPS[*]}, $(date --utc +%FT%TZ)"
ask journalctl --no-pager --output short-iso --lines 30 --identifier ec2vip-bootstrap
ask tail -n 15 /var/log/ec2vip-bootstrap.log
ask cloud-init status --long
ask systemctl --no-pager --lines 0 status corosync.service pacemaker.service ec2vip-guard.service pcsd.service
ask crm_mon --one-shot --inactive --failcounts --operations
ask corosync-quorumtool -s
ask corosync-cfgtool -s
ask ip -4 -o address show
# What EC2 says is on this node's interface; nothing else of the metadata, and no credentials.
ask "$INTERPRETER" -Ic 'import sys; sys.path.insert(0, "/usr/lib/ocf/lib/ec2vip"); from agent import metadata, outcome
print(metadata.Metadata(outcome.Deadline(5)).addresses())'
ask sh -c 'dpkg-query --show "$@" || rpm --query "$@"' sh corosync pacemaker pcs resource-agents
# What this node has built of them, and from where.
ask grep http /usr/local/share/ec2vip-built
ask journalctl --no-pager --boot --priority warning --lines 40
