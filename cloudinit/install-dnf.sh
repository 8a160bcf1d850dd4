# shellcheck shell=bash
# What the bootstrap calls on a system with dnf.

# What the archives of the system have, then what its supplement has, then a repository of the owner's choice.
install_packages() {
    local section
    dnf --assumeyes makecache || return
    dnf --assumeyes install "${PACKAGES[@]}" && return
    say 'packages: trying the supplementary archives'
    dnf --assumeyes install spal-release && dnf --assumeyes install "${PACKAGES[@]}" && return
    if [ -z "$REPOSITORY" ]; then
        echo 'the archives lack the cluster stack: set packageRepository, or use an image that has it'
        return "$FINAL"
    fi
    say "packages: trying $REPOSITORY"
    for section in HighAvailability AppStream BaseOS; do
        # The system's own packages come first: a low number wins, and 99 is the default.
        printf '%s\n' "[ec2vip-$section]" "name=$section" "baseurl=$REPOSITORY/$section/\$basearch/os/" \
            enabled=1 gpgcheck=1 "gpgkey=$REPOSITORY_KEY" priority=200
    done >"$ROOT/etc/yum.repos.d/ec2vip.repo"
    dnf --assumeyes install "${PACKAGES[@]}"
}

have_packages() {
    (($# == 0)) || rpm --query --whatprovides "$@"
}
