#!/bin/sh
# bake.sh WORK ROOT MIRROR LAYER PACKAGE...: installs the packages from the folder MIRROR over the image ROOT,
# and keeps the changes as the layer LAYER. Like an owner who bakes an image, it starts no service and
# configures nothing. It needs a mount namespace of its own. It works in memory, at WORK: not every disk can
# hold an overlay's upper folder, but every disk can hold a copy of one.
set -eu
work=$1 root=$2 mirror=$3 layer=$4
shift 4

mount -t tmpfs -o mode=755 lab-bake /run
mount -t tmpfs -o mode=755,size=1g lab-bake "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/scratch" lab-bake "$work/root"

# shellcheck disable=SC2016 # the shell in the image expands its arguments, not this one
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
