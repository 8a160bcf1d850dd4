#!/bin/bash
# ec2vip-guard.service: are all of Pacemaker's daemons there? Its first process starts one that died again, unless
# it could not reach Corosync at that moment ("Not respawning … until cluster returns"): then never. Killed
# itself, it is started by systemd, adopts the daemons that run, and starts those that do not.
#
# And is a VIP in this system that the cluster has on the peer? A network tool leaves one, or a stop that could not
# run. EC2 delivers it to the peer, but what runs here reaches itself under it, and the cluster does not look.
set -u
# shellcheck source=/dev/null
. /etc/ec2vip/bootstrap.env

# Seconds between two looks. A start, or Pacemaker's own restart of a daemon, takes one or two, more on a busy node.
PAUSE=5
LOOKS=3

# Sets DAEMON to the first that does not run. One that died and that nobody looked after has a name, and no program
# any more; one whose package was replaced meanwhile runs a "(deleted)" program.
missing() {
    local programs
    programs=$(readlink /proc/[0-9]*/exe)$'\n'
    for DAEMON in pacemaker-{based,fenced,execd,attrd,schedulerd,controld}; do
        [[ $programs == *"/$DAEMON"[$' \n']* ]] || return 0
    done
    return 1
}

# Takes off a VIP that was here at so many looks while crm_mon said that the cluster manages it, has it on the peer
# alone, and has no operation under way (`pending` would follow the number). Whatever else crm_mon says, it stays.
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

# A pacemakerd is judged once all of its daemons have run: one that is not through with starting them, or cannot, is
# not helped by another start.
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
    # Where a VIP is, crm_mon is run, some 20 ms of CPU: each 20 s.
    ((TURN++ % 4)) || strays
done
