#!/bin/sh
# bake.sh WORK ROOT MIRROR LAYER PACKAGE...: what installing the packages from the folder MIRROR changes in ROOT,
# as the layer LAYER over it. As an owner does who bakes an image: no service is started, nothing is configured.
# Needs a mount namespace of its own. It works in memory, at WORK: an overlay's upper folder cannot be on every
# disk, but a copy of it can.
set -eu
work=$1 root=$2 mirror=$3 layer=$4
shift 4

mount -t tmpfs -o mode=755 lab-bake /run
mount -t tmpfs -o mode=755,size=1g lab-bake "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/scratch" lab-bake "$work/root"

# shellcheck disable=SC2016 # it is the shell in the image that is to take its arguments
systemd-nspawn --quiet --register=no --keep-unit --private-network --as-pid2 --directory="$work/root" \
    --bind-ro="$mirror:/mirror" --resolv-conf=off --timezone=off --link-journal=no sh -euc '
        printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        echo "deb [trusted=yes] file:/mirror ./" >/tmp/mirror.list
        export DEBIAN_FRONTEND=noninteractive
        apt() { apt-get --quiet --quiet --yes -o Dir::Etc::SourceList=/tmp/mirror.list "$@"; }
        apt update
        apt --no-install-recommends install "$@"
        apt clean
        rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/*
    ' sh "$@"

umount "$work/root"
cp --archive "$work/upper" "$layer"
