#!/bin/bash
# Brings this node into the cluster. ec2vip-bootstrap.service runs it at every boot. Until it has once run to its
# end, every step may be repeated. From then on it only says when the node is a member again, for whoever deploys.
# The console and the journal get one line a step, $LOG what the commands said. `ec2vip-bootstrap image` only
# installs the packages, for an image of them.
set -u -o pipefail
export LC_ALL=C

ROOT=${EC2VIP_ROOT:-}
CONSOLE=${EC2VIP_CONSOLE:-/dev/console}
STATE=$ROOT/var/lib/cloud/instance/ec2vip
LOG=$ROOT/var/log/ec2vip-bootstrap.log
CIB=$ROOT/var/lib/pacemaker/cib
# shellcheck source=/dev/null
. "$ROOT/etc/ec2vip/bootstrap.env" && . "$ROOT/etc/ec2vip/install.sh" || exit 1

# Seconds. Mirrors and peers may be late, and a role's new policy takes seconds to be in force. A node that waits
# longer than this needs its owner. The peer's limit counts from the start of Corosync.
INTERFACE_LIMIT=60
PACKAGES_LIMIT=${EC2VIP_PACKAGES_LIMIT:-900}
KEY_LIMIT=${EC2VIP_KEY_LIMIT:-120}
READY_LIMIT=${EC2VIP_READY_LIMIT:-300}
SETTLE_LIMIT=60
PEER_LIMIT=${EC2VIP_PEER_LIMIT:-6}
PUSH_TRIES=5
STARTED=0
PAUSE=${EC2VIP_PAUSE:-0.5}
# Our exit status for "waiting will not help"; no program that we run ends with it.
FINAL=90

say() {
    printf 'ec2vip: %s\n' "$*" >&3
    if [ -w "$CONSOLE" ]; then printf 'ec2vip: %s\n' "$*" >>"$CONSOLE"; fi
}

# If the disk is full, the log does not get the reason.
last_words() {
    (($(df --output=avail "$STATE" | tail -n 1) < 1024)) && echo 'No space left on device' && return
    grep -v '^[[:space:]]*$' "$LOG" | tail -n 1
}

# step NAME FUNCTION: runs the function, with its output in the log. If it fails, the script ends with one line.
step() {
    local began=$SECONDS
    printf '== %s\n' "$1" >>"$LOG"
    if ! "$2" >>"$LOG" 2>&1; then
        say "bootstrap failed: $1: $(last_words)"
        exit 1
    fi
    say "$1: done ($((SECONDS - began)) s)"
}

# await LIMIT WHAT COMMAND...: tries until the command succeeds, with a line on the console every ten seconds.
await() {
    local limit=$1 what=$2 began=$SECONDS told=$SECONDS
    shift 2
    until "$@"; do
        (($? == FINAL)) && return 1
        if ((SECONDS - began >= limit)); then
            echo "$what: not within $limit s ($(last_words))"
            return 1
        fi
        if ((SECONDS - told >= 10)); then
            told=$SECONDS
            say "still waiting for $what ($((SECONDS - began)) s of $limit s)"
        fi
        sleep "$PAUSE"
    done
}

# Names differ (eth0, ens5, enX0) and there may be several; we want the one with this node's own address.
find_interface() {
    INTERFACE=$(ip -4 -o address show to "$ADDRESS/32" | awk '{ print $2; exit }')
    [ -n "$INTERFACE" ]
}

interface() {
    await "$INTERFACE_LIMIT" "an interface with the address $ADDRESS" find_interface
}

names() {
    # shellcheck disable=SC2153 # HOSTS is in bootstrap.env
    grep -qs '# ec2vip$' "$ROOT/etc/hosts" || printf '%s\n' "${HOSTS[@]/%/ # ec2vip}" >>"$ROOT/etc/hosts"
}

# Some tools put every address that EC2 lists on the interface, on either node. When networkd restarts, as it does
# at an upgrade, it drops the addresses that it does not know. Neither may touch the VIP. We stop only the timers:
# stopping the other units would undo what they configured, and with it DHCP for a moment.
network_tools() {
    local units=("${NETWORK_UNITS[@]//\{interface\}/$INTERFACE}") unit file drop_in
    systemctl mask "${units[@]}" || return
    for unit in "${units[@]}"; do
        if [[ $unit == *.timer ]]; then systemctl stop "$unit" || return; fi
    done
    file=$(networkctl status "$INTERFACE" 2>/dev/null | sed -n 's/^ *Network File: \(\/.*\)$/\1/p')
    for file in ${file:+"$file" "$(readlink -f "$file")"}; do
        drop_in=$ROOT/etc/systemd/network/$(basename "$file").d
        mkdir -p "$drop_in" &&
            printf '[Network]\nKeepConfiguration=static\n' >"$drop_in/50-ec2vip.conf" || return
    done
}

# Keeps the cluster's units from starting by themselves, on installation or at boot. A unit in /etc, in an image of
# the owner's, can't be masked, but an installation does not start it. Once the cluster runs, we leave them to it.
hold_services() {
    local unit
    [ -e "$STATE/seeded" ] && return
    for unit in "${SERVICE_UNITS[@]}"; do
        # The unit may not be installed yet.
        systemctl disable --now "$unit" || true
        [ -e "$ROOT/etc/systemd/system/$unit" ] || systemctl mask "$unit" || return
    done
}

services() {
    local unit agent
    systemctl daemon-reload || return
    for unit in "${SERVICE_UNITS[@]}"; do
        systemctl unmask "$unit" && systemctl disable "$unit" && systemctl cat "$unit" >/dev/null && continue
        echo "$unit is not on this node: name its packages in services, or use an image that has it"
        return 1
    done
    for agent in "${SERVICE_AGENTS[@]}"; do
        [ -x "$ROOT/usr/lib/ocf/resource.d/$agent" ] && continue
        echo "the agent $agent is not on this node: name its packages in services, or use an image that has it"
        return 1
    done
}

installed() {
    local tool
    for tool in corosync pacemakerd crm_mon cibadmin pcs "$ROOT/usr/lib/ocf/resource.d/heartbeat/IPaddr2"; do
        command -v "$tool" >/dev/null || { echo "$tool is not installed"; return 1; }
    done
    have_packages "${SERVICE_PACKAGES[@]}"
}

try_install() {
    install_packages || return
    installed || return "$FINAL"
    # rpm leaves syncing to its caller.
    sync
    rm -f "$STATE/installing"
}

# limited COMMAND...: runs the command, which may hang, and ends it when the step's time is up.
limited() {
    timeout --kill-after=10 "$((UNTIL > SECONDS ? UNTIL - SECONDS : 1))" "$@"
}

# After a boot that was cut short, packages may be there but not set up. The mark `installing` tells.
packages() {
    hold_services || return
    [ ! -e "$STATE/installing" ] && installed && return
    touch "$STATE/installing"
    UNTIL=$((SECONDS + PACKAGES_LIMIT))
    await "$PACKAGES_LIMIT" 'the packages' try_install
}

# fetch ARN DIGEST FILE: puts what a Systems Manager parameter holds into the file.
fetch() {
    timeout 60 "$INTERPRETER" -I "$ROOT/usr/local/sbin/ec2vip-parameter" "$@"
}

# Fetches the key once in an instance's life, even if there is one: an image may have brought another's along.
key() {
    [ -e "$STATE/keyed" ] && return
    await "$KEY_LIMIT" "the key in $KEY_PARAMETER" fetch "$KEY_PARAMETER" "$KEY_DIGEST" \
        "$ROOT/etc/corosync/authkey" && touch "$STATE/keyed"
}

setting() {
    pcs -f "$STATE/wanted.xml" "$@" </dev/null || exit
}

# Has pcs work out in a file what the cluster should hold, in a background process while the daemons start.
wanted() {
    local name
    cibadmin --empty >"$STATE/wanted.xml" || exit
    # shellcheck source=/dev/null
    . "$ROOT/etc/ec2vip/settings"
    # On each node IPaddr2 takes the interface with the subnet's route. If several have one, we name ours.
    if (($(ip -4 -o route show table main scope link to match "${VIPS[0]}" | grep -vc '^default') > 1)); then
        for name in "${IPADDR2[@]}"; do setting resource update "$name" "nic=$INTERFACE"; done
    fi
}

# Writes a CIB for Pacemaker's very first start on this instance: without a dc-deadtime in it a node alone waits
# for 20 s. Its version 0.0.0 loses against the CIB of any running cluster, so a replaced node overwrites nothing.
seed() {
    local new=$CIB/cib.xml.new name
    [ -e "$STATE/seeded" ] && return
    systemctl stop pacemaker.service corosync.service || return
    mkdir -p "$CIB" && rm -f "$CIB"/cib* || return
    cibadmin --empty >"$new" || return
    for name in "${!SEED[@]}"; do
        CIB_file=$new crm_attribute --type crm_config --name "$name" --update "${SEED[$name]}" || return
    done
    sed -i -E 's/ (admin_epoch|epoch|num_updates)="[0-9]+"/ \1="0"/g' "$new" || return
    chown hacluster:haclient "$new" && chmod 600 "$new" && sync "$new" && mv "$new" "$CIB/cib.xml" && touch "$STATE/seeded"
}

start() {
    local units=(corosync.service pacemaker.service) unit
    STARTED=$SECONDS
    systemctl unmask "${units[@]}" && systemctl enable "${units[@]}" || return
    for unit in "${units[@]}"; do
        systemctl start "$unit" && continue
        journalctl --no-pager --output cat --lines 5 --unit "$unit"
        return 1
    done
}

# Whether, in this node's own view, a DC is elected and this node has joined it.
joined() {
    local view
    view=$(crm_mon --one-shot --output-as=xml) || return 1
    grep -q '<current_dc present="true"' <<<"$view" &&
        grep -Eq "<node name=\"$NODE\" [^>]*online=\"true\"[^>]* pending=\"false\"" <<<"$view"
}

ready() {
    await "$READY_LIMIT" "$NODE to join the cluster" joined
}

# Until the cluster has probed a new member, a move to that member would wait. If the cluster never settles, a
# service is the cause, so this step does not fail.
settled() {
    crm_resource --wait --timeout="${SETTLE_LIMIT}s" || echo "going on while the cluster is busy"
}

peer_seen() {
    corosync-quorumtool -l | grep -q " $PEER\$"
}

current() {
    cibadmin --query --xpath "//nvpair[@name='$SETTINGS_PROPERTY' and @value='$SETTINGS']" >/dev/null 2>&1
}

# merge NEW: puts what is wanted into NEW, a copy of the cluster's CIB. Our groups replace the old ones as a
# whole. The agent's constraints for VIPs after the first are removed, because such a VIP may be gone. The other
# constraints stay, but we take them out meanwhile: Pacemaker 3 refuses a CIB with a constraint for a group that
# is not there.
merge() {
    local -x CIB_file=$1
    local section old part=$STATE/section.xml kept=$STATE/kept.xml ours="@id='$GROUP' or starts-with(@id,'$GROUP-')"
    for old in "rsc_location[starts-with(@rsc,'ec2vip-') and @id=concat(@rsc,'-taker')]" \
        "rsc_colocation[$ours]" "rsc_order[$ours]"; do
        cibadmin --delete-all --force --xpath "//$old" || return
    done
    cibadmin --query --scope constraints >"$kept" &&
        cibadmin --replace --scope constraints --xml-text '<constraints/>' || return
    for old in "group[$ours]" "primitive[@id='ec2vip' or number(substring-after(@id,'ec2vip-'))>1]"; do
        cibadmin --delete-all --force --xpath "//$old" || return
    done
    for section in crm_config resources constraints rsc_defaults op_defaults; do
        CIB_file=$STATE/wanted.xml cibadmin --query --scope "$section" >"$part" &&
            cibadmin --modify --allow-create --scope "$section" --xml-file "$part" || return
    done
    cibadmin --modify --allow-create --scope constraints --xml-file "$kept"
}

# Pushes one file in one step, so the cluster has either none of the settings or all of them. First we wait for the
# peer, because a node that has heard a running peer sees the cluster's CIB and not its own empty one.
settings() {
    local old=$STATE/old.xml new=$STATE/new.xml try
    current && return
    wait "$WANTED" || { cat "$STATE/wanted.log"; return 1; }
    await $((STARTED + PEER_LIMIT - SECONDS)) "$PEER" peer_seen || echo "going on without $PEER"
    for ((try = 1; try <= PUSH_TRIES; try++)); do
        current && return
        cibadmin --query >"$old" && cp "$old" "$new" && merge "$new" &&
            pcs cluster cib-push "$new" "diff-against=$old" && current && return
        say "settings: try $try of $PUSH_TRIES: $(last_words)"
        sleep "$PAUSE"
    done
    last_words
    return 1
}

exec 3>&1
mkdir -p "$STATE" "$(dirname "$LOG")" || exit 1
# See bootcmd in the user data.
{ sync && touch "$STATE/written"; } &
if [ "$*" = image ]; then
    step packages packages
    say 'image done'
    exit
fi
if [ -e "$STATE/done" ]; then
    say "$NODE boots again"
    step ready ready
    step settled settled
    say "bootstrap done before; in the cluster again ($SECONDS s)"
    exit
fi
say "bootstrap of $NODE begins"
step interface interface
step names names
step 'network tools' network_tools
step packages packages
if ((${#SERVICE_UNITS[@]} + ${#SERVICE_AGENTS[@]})); then step services services; fi
if [ "$BOOTSTRAPS" = yes ]; then
    wanted >"$STATE/wanted.log" 2>&1 &
    WANTED=$!
fi
if [ -n "$KEY_PARAMETER" ]; then step key key; fi
step seed seed
step start start
step ready ready
if [ "$BOOTSTRAPS" = yes ]; then step settings settings; fi
step settled settled
sync
touch "$STATE/done"
say "bootstrap done ($SECONDS s)"
