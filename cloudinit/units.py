"""A node's own systemd units, and its changes to those of its packages."""

from __future__ import annotations

from cloudinit import places

BOOTSTRAP_UNIT = "ec2vip-bootstrap.service"
GUARD_UNIT = "ec2vip-guard.service"

#: Units that must not start by themselves. pcsd, pcs's web service, is open to the world on port 2224. It stays
#: masked, as does its helper on Debian; the bootstrap unmasks and starts the other two.
MASKED = ("pcsd.service", "pcsd-ruby.service", "corosync.service", "pacemaker.service")

# With the package's unit, a Corosync that dies stays dead. The node is then out of the cluster until somebody
# comes, while Pacemaker waits and the address stays in the node's system. We restart it after a pause, so that
# the peer decides first. There is no limit of starts, because one would leave the node out for good. Each start
# also starts Pacemaker: systemd gives up on Pacemaker's start for good if Corosync's fails meanwhile.
COROSYNC = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPost=-systemctl start --no-block pacemaker.service
Restart=on-failure
RestartSec=3
"""

# A Pacemaker that gives up stays down too: its package treats exit status 100 as a success, so that a node that
# cannot be fenced keeps away from the others. Here EC2 keeps two holders apart, and a pair has no node to spare.
# Without logrotate its own log file would grow for years; the journal is bounded.
PACEMAKER = f"""\
[Unit]
StartLimitIntervalSec=0
Wants={GUARD_UNIT}
[Service]
Environment=PCMK_logfile=none
RestartForceExitStatus=100
RestartSec=3
"""

GUARD = f"""\
[Unit]
Description=Look after Pacemaker
[Service]
ExecStart={places.GUARD_PATH}
Restart=always
RestartSec=3
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict
"""

# A oneshot unit has no time-out of its own; the script bounds each of its waits.
BOOTSTRAP = f"""\
[Unit]
Description=Bring this node into its cluster
Wants=network-online.target
After=network-online.target cloud-init.service
[Service]
Type=oneshot
ExecStart={places.BOOTSTRAP_PATH}
"""

# At the package's own hour both nodes would restart what was updated at the same time. A persistent timer catches
# up on what a node missed while it was off, so it would fire on both nodes as they boot.
UPDATES = """\
[Timer]
OnCalendar=
OnCalendar={hour}:00
Persistent=no
"""
#: The hours at which the first and the second node of a pair install updates, by the nodes' clocks. The package's
#: own delay of up to an hour comes on top.
UPDATE_HOURS = (3, 15)
