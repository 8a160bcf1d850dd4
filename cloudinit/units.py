"""The systemd units of a node, and what a node changes in those of its packages."""

from __future__ import annotations

from cloudinit import places

BOOTSTRAP_UNIT = "ec2vip-bootstrap.service"
GUARD_UNIT = "ec2vip-guard.service"

#: Units that must not start by themselves. pcsd, pcs's web service, is open to the world on port 2224 and
#: stays masked, with its helper on Debian; the bootstrap unmasks and starts the other two.
MASKED = ("pcsd.service", "pcsd-ruby.service", "corosync.service", "pacemaker.service")

# As packages have it, a Corosync that died stays dead, and the node out of the cluster, with Pacemaker waiting and
# the address still in its system, until somebody comes. The pause lets the peer decide first. systemd goes on
# however often it dies: a limit of starts would leave the node out for good. Each start brings Pacemaker along:
# systemd gives up a start of Pacemaker's for good if one of Corosync's fails meanwhile.
COROSYNC = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPost=-systemctl start --no-block pacemaker.service
Restart=on-failure
RestartSec=3
"""

# Pacemaker that gives itself up stays down too: its package takes status 100 for a success, so that a node that
# cannot be fenced keeps away from the others. Here EC2 keeps two holders apart, and a pair has nobody to spare.
# A log file of its own would grow for years where no logrotate runs; the journal is bounded.
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

# A oneshot unit has no time-out of its own; the script bounds each of its waits itself.
BOOTSTRAP = f"""\
[Unit]
Description=Bring this node into its cluster
Wants=network-online.target
After=network-online.target cloud-init.service
[Service]
Type=oneshot
ExecStart={places.BOOTSTRAP_PATH}
"""

# At the package's own hour both nodes would restart what was updated. A timer that makes up for what a node missed
# while it was off would run on both as they boot.
UPDATES = """\
[Timer]
OnCalendar=
OnCalendar={hour}:00
Persistent=no
"""
#: When the first node of a pair installs updates, and when the second, by the nodes' clocks; the package's own
#: delay of up to an hour comes on top.
UPDATE_HOURS = (3, 15)
