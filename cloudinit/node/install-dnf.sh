# shellcheck shell=bash
# How a system with dnf gets its packages. In the node's file, repository.sh or build.sh follows. Either one
# defines `elsewhere`, which gets what the system's archives lack.

# What dnf says if trying again cannot help.
HOPELESS='GPG check FAILED|not signed|not correct for this|nothing provides|none of the providers|filtered out|Unable to find a match|space needed|No space left'
FROM=()

# get ARGUMENT...: runs dnf. Amazon's dnf.conf skips a mirror that does not answer, as if that lacked the
# package; we make dnf fail. dnf's output ends with advice, so we print the reason after it.
get() {
    local said=$STATE/dnf.log
    limited dnf --assumeyes --setopt=install_weak_deps=False --setopt=skip_if_unavailable=False \
        '--setopt=*.skip_if_unavailable=False' "${FROM[@]}" "$@" 2>&1 | tee "$said" && return
    grep -E "$HOPELESS" "$said" && return "$FINAL"
    grep -m 1 -E 'Status code|Curl error|Error' "$said"
    return 1
}

# offered NAME...: whether the repositories have all of these packages, by the indices that are here.
offered() {
    local found name
    found=$(dnf --quiet --cacheonly "${FROM[@]}" repoquery --queryformat '%{name}' "$@") || return
    for name; do grep -qx "$name" <<<"$found" || return; done
}

# Looks in the system's archives, then with their supplement, then elsewhere.
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
