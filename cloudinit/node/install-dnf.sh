# shellcheck shell=bash
# How a system with dnf gets its packages. In the node's file there follows repository.sh or build.sh, which has
# `elsewhere`: where to get what the system's archives lack.

# What dnf says if trying again cannot help.
HOPELESS='GPG check FAILED|not signed|not correct for this|nothing provides|none of the providers|filtered out|Unable to find a match|space needed|No space left'
FROM=()

# A mirror that does not answer is not a mirror without the package, though Amazon's dnf.conf passes it over. dnf ends
# with advice; the reason is put behind it.
get() {
    local said=$STATE/dnf.log
    limited dnf --assumeyes --setopt=install_weak_deps=False --setopt=skip_if_unavailable=False \
        '--setopt=*.skip_if_unavailable=False' "${FROM[@]}" "$@" 2>&1 | tee "$said" && return
    grep -E "$HOPELESS" "$said" && return "$FINAL"
    grep -m 1 -E 'Status code|Curl error|Error' "$said"
    return 1
}

# offered NAME...: whether the repositories, whose indices are here, have all of them.
offered() {
    local found name
    found=$(dnf --quiet --cacheonly "${FROM[@]}" repoquery --queryformat '%{name}' "$@") || return
    for name; do grep -qx "$name" <<<"$found" || return; done
}

# What the system's archives have, then with their supplement, then elsewhere.
install_packages() {
    FROM=()
    get makecache || return
    if ! offered "${STACK[@]}" && offered spal-release; then
        get install spal-release && get makecache || return
    fi
    if offered "${STACK[@]}"; then get install "${PACKAGES[@]}"; else elsewhere; fi
}

have_packages() {
    (($# == 0)) || rpm --query --whatprovides "$@"
}
