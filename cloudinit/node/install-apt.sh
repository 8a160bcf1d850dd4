# shellcheck shell=bash
# What the bootstrap calls on a system with apt.

# A boot that was cut short may have left packages half configured. If an archive's date is in the future, this
# machine's clock is late, and we install all the same. If another apt holds dpkg's lock, such as the image's own
# updates in its first minutes, we wait.
install_packages() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local apt=(limited apt-get --yes -o DPkg::Lock::Timeout=300 -o Acquire::http::Timeout=20
        -o Acquire::Max-FutureTime=90000 -o Dpkg::Options::=--force-confold)
    limited dpkg --configure -a --force-confold &&
        "${apt[@]}" update &&
        "${apt[@]}" --no-install-recommends --fix-broken install "${PACKAGES[@]}"
}

have_packages() {
    local name
    for name; do
        [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && continue
        echo "$name is not installed"
        return 1
    done
}
