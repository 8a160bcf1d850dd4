# shellcheck shell=bash
# Builds the cluster stack from SOURCES, on a system whose archives lack it. The stack goes into a folder first,
# and from there into the system. A build that was cut short begins anew. Options are short because a parameter
# has little room.

PLACE=$ROOT/var/tmp/ec2vip-build
BUILT=$ROOT/usr/local/share/ec2vip-built

at() {
    echo "$*" >"$PLACE/at"
}

# download NAME SHA256 ADDRESS...: takes the file from the first address that has it. If the last one has another
# file in its place, waiting will not help.
download() {
    local url
    for url in "${@:3}"; do
        rm -f "$1"
        curl -fsSLm 120 -o "$1" "$url" || continue
        sha256sum --status -c <<<"$2  $1" && return
        echo "$url has another file than the one with the SHA-256 $2"
    done
    [ ! -e "$1" ] || return "$FINAL"
    return 1
}

# Builds only the parts that a node needs: tests and manuals would cost as much time again.
compile() {
    local name parts='replace include lib daemons tools xml'
    at 'Pacemaker, configure'
    tar -xf pacemaker.tar.gz && cd pacemaker-* && tar -xf ../patches.tar.xz || return
    while read -r name; do patch -p1 <"debian/patches/$name" || return; done <debian/patches/series
    ./autogen.sh && ./configure --libexecdir=/usr/lib --libdir="$(pkg-config --variable=libdir libqb)" \
        --disable-{static,nls,dependency-tracking,fatal-warnings} CFLAGS='-O1 -g0' || return
    at 'Pacemaker, compile'
    make -j"$(nproc)" CORE="$parts" || return
    at 'Pacemaker, install'
    make CORE="$parts" install DESTDIR="$PLACE/root"
}

# Unpacks the agents, which are in shell, and pcs, which is in Python. The .pth file says where Debian has modules.
unpack() {
    local name site
    site=root$("$INTERPRETER" -c 'import site; print(site.getsitepackages()[-1])') && mkdir -p "$site" &&
        echo /usr/lib/python3/dist-packages >"$site/ec2vip.pth" || return
    for name in *.deb; do
        ar p "$name" data.tar.xz | tar -xJf - -C root --exclude={./etc,./lib,'*/pcsd'} || return
    done
}

steps() {
    local each jobs=()
    at 'tools and sources'
    for each in "${SOURCES[@]}"; do
        # shellcheck disable=SC2086 # a name, a digest and addresses
        download $each >>fetched 2>&1 &
        jobs+=("$!")
    done
    # We write the list whole or not at all: with half a list, the compiler would stay on the node.
    if [ ! -e "$STATE/tools" ]; then
        for each in "${BUILD_TOOLS[@]}"; do
            rpm -q --whatprovides "$each" >&2 || echo "$each"
        done >"$STATE/tools~"
        mv "$STATE/tools~" "$STATE/tools"
    fi
    get install "${BUILD_NEEDS[@]}" "${SERVICE_PACKAGES[@]}" "${BUILD_TOOLS[@]}" || return
    for each in "${jobs[@]}"; do
        wait "$each" && continue
        each=$?
        cat fetched
        return "$each"
    done
    id hacluster || { groupadd -rf haclient && useradd -r -g haclient -s /sbin/nologin hacluster; } || return
    if ! { unpack && (compile); } >made 2>&1; then
        cat made
        # make's own last line does not say why, so the reason comes last.
        grep -E 'error:|No space' made
        return "$FINAL"
    fi
    # Presets may enable these at an image's first boot, and the remote executor would run in place of Pacemaker.
    find root -name pacemaker_remote.service -delete -o -name crm_mon.service -delete
    at 'into the system'
    { printf '%s\n' "${SOURCES[@]}" && cd root && find . ! -type d; } >"$BUILT" &&
        tar -cf - . | tar -xf - -C "$ROOT/" --keep-directory-symlink --no-overwrite-dir && ldconfig &&
        systemctl daemon-reload || return "$FINAL"
    # Other packages' settings may make it fail.
    systemd-tmpfiles --create || true
    # Tools that were there before the first try stay.
    mapfile -t jobs <"$STATE/tools"
    get remove "${jobs[@]}" || true
}

elsewhere() {
    local began=$SECONDS told=$SECONDS job status
    rm -rf "$PLACE" && mkdir -p "$PLACE/root" "${BUILT%/*}" || return 1
    # The build gets a process group of its own, so that we can kill all of it.
    set -m
    (cd "$PLACE" && steps) &
    job=$!
    set +m
    while kill -0 "$job" 2>/dev/null && ((SECONDS < UNTIL)); do
        sleep 1
        ((SECONDS - told < 10)) && continue
        told=$SECONDS
        say "building: $(cat "$PLACE/at"), $((SECONDS - began)) s"
    done
    kill -KILL -- "-$job" 2>/dev/null
    wait "$job"
    status=$?
    ((SECONDS < UNTIL)) || echo "the build was at: $(cat "$PLACE/at")"
    ((status)) || rm -rf "$PLACE"
    return "$status"
}
