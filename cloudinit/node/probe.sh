#!/bin/bash
# Finds out about a machine what no test can know without an AWS account: what its system has, whether it builds
# the cluster stack, and whether that runs. The answers go to the console, in lines that begin with "probe:".
# Then the machine shuts down.
set -u
export LC_ALL=C
ROOT=${EC2VIP_ROOT:-}
CONSOLE=${EC2VIP_CONSOLE:-/dev/console}
LOG=$ROOT/var/log/ec2vip-bootstrap.log

say() {
    printf 'probe: %s\n' "$*" >>"$CONSOLE"
}

# facts NAME COMMAND...: reports each line of the command's output, and its status if that is not 0.
facts() {
    local name=$1 line status
    shift
    while IFS= read -r line; do
        [ -z "$line" ] || say "$name: $line"
    done < <("$@" 2>&1; status=$?; ((status == 0)) || echo "status $status")
}

offers() {
    dnf --quiet repoquery --latest-limit=1 --queryformat '%{name}-%{version}-%{release} %{reponame}' corosync \
        corosynclib-devel libqb-devel pacemaker pcs resource-agents python3-dacite python3-pyparsing python3-tornado
}

lowest_memory() {
    local least=999999999 now
    while sleep 2; do
        now=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
        if ((now < least)); then
            least=$now
            echo "$least" >"$ROOT/run/probe-memory"
        fi
    done
}

# Starts a cluster of one node, with a VIP of its own subnet that EC2 does not know.
cluster() {
    local address try
    address=$(ip -4 -o address show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
    mkdir -p "$ROOT/etc/corosync"
    printf '%s\n' 'totem {' 'version: 2' 'cluster_name: probe' '}' 'nodelist {' 'node {' "ring0_addr: $address" \
        'name: probe' 'nodeid: 1' '}' '}' 'quorum {' 'provider: corosync_votequorum' '}' 'logging {' \
        'to_syslog: yes' '}' >"$ROOT/etc/corosync/corosync.conf"
    systemctl unmask corosync pacemaker && systemctl start corosync pacemaker || return
    for ((try = 1; try <= 60; try++)); do
        crm_mon --one-shot 2>/dev/null | grep -q 'Current DC: [^N]' && break
        sleep 1
    done
    pcs property set stonith-enabled=false no-quorum-policy=ignore &&
        pcs resource create vip ocf:heartbeat:IPaddr2 "ip=${address%.*}.250" cidr_netmask=32 --wait=30
}

trap 'say end; shutdown -h now' EXIT
shutdown -h +60 # if anything hangs
# shellcheck disable=SC2016 # the inner shell's own
facts system sh -c '. /etc/os-release; echo "$PRETTY_NAME, kernel $(uname -r), $(nproc) processors"'
# shellcheck disable=SC2016 # awk's own
facts memory awk '/^MemTotal/ { print $2, $3 }' /proc/meminfo
facts selinux getenforce
facts version rpm --query system-release dnf rpm python3 glibc openssl-libs libxml2 glib2 gnutls systemd libqb iproute \
    cloud-init amazon-ec2-net-utils
facts dnf.conf grep -v '^#' "$ROOT/etc/dnf/dnf.conf"
facts repository grep -hE '^(\[|baseurl|mirrorlist|priority|enabled|skip_if)' "$ROOT"/etc/yum.repos.d/*.repo
facts before offers
began=$SECONDS
lowest_memory &
"$ROOT/usr/local/sbin/ec2vip-bootstrap" image
say "packages: status $? after $((SECONDS - began)) s"
kill $!
facts memory-left cat "$ROOT/run/probe-memory"
facts disk df -h /
facts log tail -n 15 "$LOG"
facts after offers
facts built grep http "$ROOT/usr/local/share/ec2vip-built"
facts stack sh -c 'pacemakerd --version; pcs --version; python3 --version'
facts cluster cluster
facts status pcs status --full
facts units systemctl is-active corosync pacemaker
facts interfaces ip -4 -o address show
