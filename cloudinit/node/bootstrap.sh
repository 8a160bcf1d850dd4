#!/bin/bash
# Brings this node into the cluster. ec2vip-bootstrap.service runs it at every boot: until it has come to its end
# once, every step may be repeated; from then on it only says when the node is a member again, for whoever
# deploys. The console and the journal get one line a step, $LOG what the commands said. `ec2vip-bootstrap image`
# installs the packages alone, for an image of them.
set -u -o pipefail
export LC_ALL=C

ROOT=${EC2VIP_ROOT:-}
CONSOLE=${EC2VIP_CONSOLE:-/dev/console}
STATE=$ROOT/var/lib/cloud/instance/ec2vip
LOG=$ROOT/var/log/ec2vip-bootstrap.log
CIB=$ROOT/var/lib/pacemaker/cib
# shellcheck source=/dev/null
. "$ROOT/etc/ec2vip/bootstrap.env" && . "$ROOT/etc/ec2vip/install.sh" || exit 1

# Seconds. Mirrors and peers may be late, and a role's new policy takes seconds to be in force; a node that waits
# longer than this needs its owner. The peer's limit is from the start of Corosync.
INTERFACE_LIMIT=60
PACKAGES_LIMIT=${EC2VIP_PACKAGES_LIMIT:-900}
KEY_LIMIT=${EC2VIP_KEY_LIMIT:-120}
READY_LIMIT=${EC2VIP_READY_LIMIT:-300}
SETTLE_LIMIT=60
PEER_LIMIT=${EC2VIP_PEER_LIMIT:-6}
PUSH_TRIES=5
STARTED=0
PAUSE=${EC2VIP_PAUSE:-0.5}
# Our own way of saying that waiting will not help: no program that we run ends with it.
FINAL=90

say() {
    printf 'ec2vip: %s\n' "$*" >&3
    if [ -w "$CONSOLE" ]; then printf 'ec2vip: %s\n' "$*" >>"$CONSOLE"; fi
}

# A full disk keeps the reason out of the log.
last_words() {
    (($(df --output=avail "$STATE" | tail -n 1) < 1024)) && echo 'No space left on device' && return
    grep -v '^[[:space:]]*$' "$LOG" | tail -n 1
}

# step NAME FUNCTION: its output goes to the log; its failure ends everything with one line.
step() {
    local began=$SECONDS
    printf '== %s\n' "$1" >>"$LOG"
    if ! "$2" >>"$LOG" 2>&1; then
        say "bootstrap failed: $1: $(last_words)"
        exit 1
    fi
    say "$1: done ($((SECONDS - began)) s)"
}

# await LIMIT WHAT COMMAND...: until the command succeeds; a line on the console every ten seconds.
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

# Names differ (eth0, ens5, enX0) and there may be several: the one with this node's own address.
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

# Some tools put every address that EC2 lists on the interface, on whichever node; networkd drops those that
# it does not know when it starts again, as it does at an upgrade. Neither may touch the VIP. Only timers are
# stopped: stopping the rest would take back what they configured, and with it DHCP for a moment.
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

# A unit that the cluster starts starts by itself neither on installation nor at boot. One that lies in /etc, in an
# image of the owner's, can't be masked, and no installation starts it. Once the cluster runs, it is the cluster's.
hold_services() {
    local unit
    [ -e "$STATE/seeded" ] && return
    for unit in "${SERVICE_UNITS[@]}"; do
        # It may not be there yet.
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
    # rpm leaves that to whoever calls it.
    sync
    rm -f "$STATE/installing"
}

# Ends a program that hangs, when the step's time is up.
limited() {
    timeout --kill-after=10 "$((UNTIL > SECONDS ? UNTIL - SECONDS : 1))" "$@"
}

# What a boot that was cut short had begun to install is there, but not set up.
packages() {
    hold_services || return
    [ ! -e "$STATE/installing" ] && installed && return
    touch "$STATE/installing"
    UNTIL=$((SECONDS + PACKAGES_LIMIT))
    await "$PACKAGES_LIMIT" 'the packages' try_install
}

# fetch ARN DIGEST FILE: what a parameter of the Systems Manager holds.
fetch() {
    timeout 60 "$INTERPRETER" -I "$ROOT/usr/local/sbin/ec2vip-parameter" "$@"
}

# Once in an instance's life: an image may have brought another's key along.
key() {
    [ -e "$STATE/keyed" ] && return
    await "$KEY_LIMIT" "the key in $KEY_PARAMETER" fetch "$KEY_PARAMETER" "$KEY_DIGEST" \
        "$ROOT/etc/corosync/authkey" && touch "$STATE/keyed"
}

setting() {
    pcs -f "$STATE/wanted.xml" "$@" </dev/null || exit
}

# What the cluster should hold, worked out by pcs in a file while the daemons start; in a process of its own.
wanted() {
    local name
    cibadmin --empty >"$STATE/wanted.xml" || exit
    # shellcheck source=/dev/null
    . "$ROOT/etc/ec2vip/settings"
    # IPaddr2 takes the interface with the subnet's route, on each node its own; if several have one, name it.
    if (($(ip -4 -o route show table main scope link to match "${VIPS[0]}" | grep -vc '^default') > 1)); then
        for name in "${IPADDR2[@]}"; do setting resource update "$name" "nic=$INTERFACE"; done
    fi
}

# A CIB for Pacemaker's very first start on this instance: without a dc-deadtime in it a node alone waits for
# 20 s. Version 0.0.0 loses against the CIB of any cluster that runs, so a replaced node takes over nothing.
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

# crm_mon speaks of this node's view: a DC is elected, and this node has joined it.
joined() {
    local view
    view=$(crm_mon --one-shot --output-as=xml) || return 1
    grep -q '<current_dc present="true"' <<<"$view" &&
        grep -Eq "<node name=\"$NODE\" [^>]*online=\"true\"[^>]* pending=\"false\"" <<<"$view"
}

ready() {
    await "$READY_LIMIT" "$NODE to join the cluster" joined
}

# A member that has not yet been asked what it runs makes a move to it wait. What never settles is the services'
# affair, and no reason to say that this node failed.
settled() {
    crm_resource --wait --timeout="${SETTLE_LIMIT}s" || echo "going on while the cluster is busy"
}

peer_seen() {
    corosync-quorumtool -l | grep -q " $PEER\$"
}

current() {
    cibadmin --query --xpath "//nvpair[@name='$SETTINGS_PROPERTY' and @value='$SETTINGS']" >/dev/null 2>&1
}

# merge NEW: what is wanted into a copy of the cluster's CIB; our groups as a whole replace those there are, and what
# the agent has noted of VIPs after the first goes, for one of them may be gone. The other constraints stay, but are
# away meanwhile: one that names a group, without the group, is a CIB that Pacemaker 3 does not take.
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

# One push of one file: the cluster has either none of the settings or all of them. A running peer has been
# heard by then, so that this node sees the cluster's CIB and not its own empty one.
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
