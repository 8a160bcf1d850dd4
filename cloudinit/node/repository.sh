# shellcheck shell=bash
# Takes what the system's archives lack from the owner's repository: the stack, and those packages it needs that
# the archives have under no name. The repository is enabled for this installation only.

elsewhere() {
    local section address=${REPOSITORY_KEY%#*} print=${REPOSITORY_KEY#*#} key=$ROOT/etc/pki/rpm-gpg/ec2vip
    mkdir -p "${key%/*}" && curl -fsSLm 60 -o "$key" "$address" ||
        return 1
    if ! gpg --batch --with-colons --show-keys "$key" | grep -q "^fpr:.*:$print:$"; then
        echo "the key at $address does not have the fingerprint $print: see packageRepositoryKey"
        return "$FINAL"
    fi
    for section in HighAvailability AppStream BaseOS; do
        # The lowest number wins, and 99 is the default: the system's archives come first.
        printf '%s\n' "[ec2vip-$section]" "name=$section" "baseurl=$REPOSITORY/$section/\$basearch/os/" enabled=0 \
            gpgcheck=1 "gpgkey=file://$key" priority=200
    done >"$ROOT/etc/yum.repos.d/ec2vip.repo"
    # shellcheck disable=SC2034 # get and offered read it
    FROM=('--enablerepo=ec2vip-*')
    get makecache || return
    if offered "${STACK[@]}"; then
        get install "${PACKAGES[@]}"
        return
    fi
    echo "neither the system's archives nor $REPOSITORY have all of ${STACK[*]}: see packageRepository"
    return "$FINAL"
}
