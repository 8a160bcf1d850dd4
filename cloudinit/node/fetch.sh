# shellcheck shell=bash
# What the bootstrap calls on a system whose installer is in a parameter: the user data have no room for it.

install_packages() {
    local file=$STATE/installer
    fetch "$INSTALLER_PARAMETER" "$INSTALLER_DIGEST" "$file.gz" && gunzip -c "$file.gz" >"$file" || return 1
    # shellcheck source=/dev/null # install-dnf.sh and what follows it
    . "$file"
    install_packages
}

# Without packages of services there is nothing to ask for, and nothing to fetch.
have_packages() {
    (($# == 0)) || rpm --query --whatprovides "$@"
}
