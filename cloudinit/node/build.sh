# shellcheck shell=bash
# Builds the cluster stack from SOURCES, on a system whose archives lack it. It goes into a folder first, and from
# there into the system; a build that was cut short begins anew. Options are short: a parameter has little room.

PLACE=$ROOT/var/tmp/ec2vip-build
BUILT=$ROOT/usr/local/share/ec2vip-built

at() {
    echo "$*" >"$PLACE/at"
}

# download NAME SHA256 ADDRESS...: from any of them. If the last one has another file in its place, waiting will not help.
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

# The parts that a node needs: tests and manuals would cost as much time again.
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

# Agents, in shell, and pcs, in Python, which must be told where Debian has modules.
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
    # Whole, or not at all: half a list would leave the compiler there.
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
        # make's own last words are no reason.
        grep -E 'error:|No space' made
        return "$FINAL"
    fi
    # Presets may enable these at an image's first boot, and a remote executor takes the place of Pacemaker.
    find root -name pacemaker_remote.service -delete -o -name crm_mon.service -delete
    at 'into the system'
    { printf '%s\n' "${SOURCES[@]}" && cd root && find . ! -type d; } >"$BUILT" &&
        tar -cf - . | tar -xf - -C "$ROOT/" --keep-directory-symlink --no-overwrite-dir && ldconfig &&
        systemctl daemon-reload || return "$FINAL"
    # Others' settings may be wrong.
    systemd-tmpfiles --create || true
    # What was there before the first try stays.
    mapfile -t jobs <"$STATE/tools"
    get remove "${jobs[@]}" || true
}

elsewhere() {
    local began=$SECONDS told=$SECONDS job status
    rm -rf "$PLACE" && mkdir -p "$PLACE/root" "${BUILT%/*}" || return 1
    # A process group of its own, which can be ended whole.
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
