#!/bin/bash
# ec2vip-report: the health of this node on one page, for its owner and for whoever helps. It needs root, changes
# nothing and asks EC2 nothing. Each of its commands ends after 10 s at most.
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
# The addresses that EC2 says are on this node's interface. Nothing else of the metadata is shown, so no
# credentials.
ask "$INTERPRETER" -Ic 'import sys; sys.path.insert(0, "/usr/lib/ocf/lib/ec2vip"); from agent import metadata, outcome
print(metadata.Metadata(outcome.Deadline(5)).addresses())'
ask sh -c 'dpkg-query --show "$@" || rpm --query "$@"' sh corosync pacemaker pcs resource-agents
# The sources of what this node has built of them.
ask grep http /usr/local/share/ec2vip-built
ask journalctl --no-pager --boot --priority warning --lines 40
