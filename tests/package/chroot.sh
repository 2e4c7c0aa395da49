# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of packages and containers share: a Debian 12 system of their own, made once and kept
# under build/, in a mount and process namespace that takes every mount and process with it at its end.
# Sourced from the root of the repository.

readonly base=build/chroot/bookworm-minbase.tar
readonly base_max_days=14
readonly root_environment=(
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    LC_ALL=C.UTF-8
    DEBIAN_FRONTEND=noninteractive
)
n_failed=0

# Exit status 77 says: not run, and why. tests/check tells it apart from success.
skip() {
    echo "SKIP $*"
    exit 77
}

# The line that a reader looks for.
verdict() {
    if [[ $1 -eq 0 ]]; then
        printf 'ok     %s\n' "$2"
    else
        printf 'FAILED %s\n' "$2"
        n_failed=$((n_failed + 1))
    fi
}

# expect PROMISE COMMAND...: the command succeeds. Its output is shown when it does not.
expect() {
    local promise=$1 output status
    shift
    output=$("$@" 2>&1 </dev/null)
    status=$?
    verdict "$status" "$promise"
    [[ $status -eq 0 ]] || printf '%s\n' "$output" | tail -n 30 | sed 's/^/       /'
}

# refuse PROMISE COMMAND...: the command fails.
refuse() {
    local promise=$1
    shift
    if "$@" >/dev/null 2>&1 </dev/null; then verdict 1 "$promise"; else verdict 0 "$promise"; fi
}

# in_namespace SCRIPT ARGUMENT...: runs the script again in namespaces of its own, unless it is there,
# and removes the systems it made.
in_namespace() {
    [[ ${PORTCULLIS_IN_NAMESPACE:-} ]] && return
    [[ $EUID -eq 0 ]] || skip "only root can make a chroot; the commands are in $1"
    local tool
    for tool in debootstrap unshare setpriv; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    unshare --mount --pid --fork true 2>/dev/null || skip "this machine allows no namespaces"
    PORTCULLIS_IN_NAMESPACE=1 unshare --mount --mount-proc --pid --fork --kill-child "$@" </dev/null
    local status=$?
    # Out here nothing is mounted in them any more, so that nothing else can be removed with them.
    rm -rf --one-file-system build/chroot/root.*
    exit "$status"
}

# The package mirrors of this machine, one source line for each.
debian_sources() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' \
        'Origin: Debian' 'Created-By: Packages' | sort -u |
        awk -F'|' '$2 ~ /^bookworm/ { printf "deb %s %s %s\n", $1, $2, $3 }'
}

# Proxies and the like, if this machine needs them.
apt_settings() { apt-config dump | grep -iE '^Acquire::[a-z]+::Proxy' || true; }

# The base system, anew when it is older than base_max_days.
make_base() {
    local work=build/chroot/base.$$ mirror
    [[ -n $(find "$base" -mtime "-$base_max_days" 2>/dev/null) ]] && return
    mirror=$(debian_sources | awk '$3 == "bookworm" { print $2; exit }')
    [[ -n $mirror ]] || skip "this machine has no package mirror of Debian 12"
    mkdir -p build/chroot
    debootstrap --variant=minbase bookworm "$work" "$mirror" >build/chroot/debootstrap.log 2>&1 || {
        tail -n 5 build/chroot/debootstrap.log
        rm -rf "$work"
        skip "debootstrap failed (no network?); build/chroot/debootstrap.log"
    }
    debian_sources >"$work/etc/apt/sources.list"
    apt_settings >"$work/etc/apt/apt.conf.d/90host"
    printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
    chmod 755 "$work/usr/sbin/policy-rc.d"
    rm -rf "$work"/var/cache/apt/archives/*.deb
    tar -C "$work" --one-file-system -cf "$base.new" . && mv "$base.new" "$base"
    rm -rf "$work"
}

# make_root NAME: a fresh system, with /proc; sets ret_root to its folder. It has the device nodes that
# debootstrap makes, never the machine's own /dev.
make_root() {
    ret_root=$PWD/build/chroot/root.$1
    [[ ! -e $ret_root ]] || rm -rf --one-file-system "$ret_root"
    mkdir -p "$ret_root"
    tar -C "$ret_root" -xf "$base"
    cp /etc/resolv.conf "$ret_root/etc/resolv.conf"
    mount -t proc proc "$ret_root/proc"
}

# in_root FOLDER COMMAND...: without anything of the caller's environment.
in_root() {
    local folder=$1
    shift
    env -i "${root_environment[@]}" chroot "$folder" "$@"
}

# start_in_root LOG FOLDER COMMAND...: the same in the background; sets ret_pid to the command's own.
start_in_root() {
    local output=$1 folder=$2
    shift 2
    (exec env -i "${root_environment[@]}" chroot "$folder" "$@") >"$output" 2>&1 </dev/null &
    # shellcheck disable=SC2034 # for the caller
    ret_pid=$!
}

# wait_until SECONDS COMMAND...
wait_until() {
    local tries=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1 </dev/null; do
        tries=$((tries - 1))
        [[ $tries -gt 0 ]] || return 1
        sleep 0.1
    done
}
