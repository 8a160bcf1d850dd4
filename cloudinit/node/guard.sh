#!/bin/bash
# ec2vip-guard.service looks after two things. First, do all of Pacemaker's daemons run? pacemakerd restarts one
# that died, unless it cannot reach Corosync at that moment ("Not respawning … until cluster returns"): then it
# never does. If pacemakerd is killed, systemd starts it again; it adopts the daemons that run, and starts the
# others.
#
# Second, does this system have a VIP that the cluster has on the peer? A network tool may leave one, or a stop
# that could not run. EC2 delivers it to the peer, but what runs here reaches itself under it. The cluster does
# not look.
set -u
# shellcheck source=/dev/null
. /etc/ec2vip/bootstrap.env

# PAUSE is the seconds between two looks. A start, or pacemakerd's own restart of a daemon, takes one or two,
# more on a busy node.
PAUSE=5
LOOKS=3

# Sets DAEMON to the first one that does not run. A zombie still has a name, but no program. A daemon whose package
# was replaced meanwhile runs a "(deleted)" program.
missing() {
    local programs
    programs=$(readlink /proc/[0-9]*/exe)$'\n'
    for DAEMON in pacemaker-{based,fenced,execd,attrd,schedulerd,controld}; do
        [[ $programs == *"/$DAEMON"[$' \n']* ]] || return 0
    done
    return 1
}

# Removes a VIP that was here at LOOKS looks in a row while crm_mon said three things: the cluster manages it,
# has it on the peer alone, and has no operation under way (`pending` would follow the number). If crm_mon says
# anything else, the VIP stays.
strays() {
    local here view i
    here=$(ip -4 -o address)
    for i in "${!VIPS[@]}"; do
        # shellcheck disable=SC2153 # PEER is in bootstrap.env
        [[ $here == *" ${VIPS[i]}/"* ]] &&
            view=${view:-$(timeout 9 crm_mon --one-shot --output-as=xml)} &&
            [[ $view =~ \"${IPADDR2[i]}\"[^\>]*managed=.true[^\>]*_on=.1.\>[^\>]*\"$PEER\" ]] || STRAYS[i]=-1
        ((++STRAYS[i] < LOOKS)) && continue
        echo "${VIPS[i]} is in this system, but $PEER has it: removed"
        ip address flush to "${VIPS[i]}"
    done
}

# We judge a pacemakerd only once all of its daemons have run. If it is still starting them, or cannot start them,
# another start does not help.
WHOLE='' SEEN=0 TURN=0 STRAYS=()
while sleep "$PAUSE"; do
    state=$(systemctl show --property ActiveState,MainPID pacemaker.service)
    if ! missing; then
        WHOLE=$state SEEN=0
    elif [[ $state != "$WHOLE" || $state != *State=active* ]]; then
        SEEN=0
    elif ((++SEEN == LOOKS)); then
        echo "$DAEMON does not run, and nobody starts it: ending pacemakerd"
        kill -KILL "${state//[!0-9]/}"
    fi
    # If this system has a VIP, this runs crm_mon, some 20 ms of CPU; so it is done every 20 s.
    ((TURN++ % 4)) || strays
done
