#!/bin/bash
# ec2vip-guard.service: are all of Pacemaker's daemons there? Its first process starts one that died again, unless
# it could not reach Corosync at that moment ("Not respawning … until cluster returns"): then never. Killed
# itself, it is started by systemd, adopts the daemons that run, and starts those that do not.
set -u

DAEMONS=(based fenced execd attrd schedulerd controld)
# Seconds between two looks. A start, or Pacemaker's own restart of a daemon, takes one or two, more on a busy node.
PAUSE=5
LOOKS=3

# Sets DAEMON to the first that does not run. One that died and that nobody looked after has a name, and no program
# any more; one whose package was replaced meanwhile runs a "(deleted)" program.
missing() {
    local programs
    programs=$(readlink /proc/[0-9]*/exe)$'\n'
    for DAEMON in "${DAEMONS[@]/#/pacemaker-}"; do
        [[ $programs == *"/$DAEMON"[$' \n']* ]] || return 0
    done
    return 1
}

# A pacemakerd is judged once all of its daemons have run: one that is not through with starting them, or cannot, is
# not helped by another start.
WHOLE='' SEEN=0
while sleep "$PAUSE"; do
    state=$(systemctl show --property ActiveState,MainPID pacemaker.service)
    if ! missing; then
        WHOLE=$state SEEN=0
    elif [[ $state != "$WHOLE" || $state != *State=active* ]]; then
        SEEN=0
    elif ((++SEEN == LOOKS)); then
        echo "$DAEMON does not run, and nobody starts it: pacemakerd is ended, for systemd to start it anew"
        kill -KILL "${state//[!0-9]/}"
    fi
done
