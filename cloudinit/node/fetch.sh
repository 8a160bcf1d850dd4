# shellcheck shell=bash
# What the bootstrap calls if the installer is in a parameter, because the user data have no room for it.

install_packages() {
    local file=$STATE/installer
    fetch "$INSTALLER_PARAMETER" "$INSTALLER_DIGEST" "$file.gz" && gunzip -c "$file.gz" >"$file" || return 1
    # shellcheck source=/dev/null # install-dnf.sh and what follows it
    . "$file"
    install_packages
}

# If no service has packages, there is nothing to ask for, and so nothing to fetch.
have_packages() {
    (($# == 0)) || rpm --query --whatprovides "$@"
}
